"""The bridge of one process: an outbox that goes to Kafka, an inbox for the topics that somebody here listens to."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence

from gatewright.agents.errors import ConflictError, UnavailableError, UsageError
from gatewright.runtime.bus.bus import Bus
from gatewright.runtime.bus.cursors import Group
from gatewright.runtime.bus.log import Entry, Row
from gatewright.runtime.bus.outgoing import backlog
from gatewright.runtime.bus.requests import REPLIES
from gatewright.runtime.bus.topics import Durability, Topic
from gatewright.runtime.kafka import Producer, Record, Settings, Topics
from gatewright.runtime.store.writer import Transaction

from . import formats
from .intake import Intake
from .relay import Refused, Relay

OUT = "_kafka."  # and a durability: topics of the log that are the outbox
PATIENCE = 30.0  # seconds that Kafka has to take a record, before it is asked again
LONGEST_PAUSE = 5.0  # seconds between two tries
KEPT = 3600.0  # seconds that the outbox keeps what Kafka has: for as long, an id that is published again is known

_DEFAULT = Topic()
_KEYED, _UNKEYED = "key:", "id:"

_log = logging.getLogger(__name__)


def outboxes() -> dict[str, Topic]:
    """The settings of the outbox's topics. When `limit` messages wait for Kafka, those who publish wait."""
    kept: tuple[Durability, ...] = ("process", "disk")
    return {f"{OUT}{durability}": Topic(durability=durability, retention=KEPT) for durability in kept}


class Bridge:
    """Carries what is published to Kafka, under the name of its topic."""

    def __init__(self, settings: Settings, topics: Mapping[str, Topic], *, group: str) -> None:
        """`topics`: the settings of those that are configured; `group`: tells this database from others in Kafka."""
        self._settings = settings
        self._configured = topics
        self._group = group
        self._producer = Producer(settings)
        self._topics = Topics(settings)
        self._known: dict[str, asyncio.Task[None]] = {}
        self._intake: Intake | None = None
        self._relays: list[Relay] = []

    async def open(self, bus: Bus) -> None:
        """Begin to carry, as one of the processes that do."""
        self._intake = Intake(self._settings, bus.log, self._group, self._exists, self._full)
        for out in outboxes():
            relay = Relay(bus.log, Group(out, "kafka", bus.name), self._send)
            await relay.open()
            self._relays.append(relay)

    def follow(self, topic: str) -> None:
        if travels(topic, self._topic(topic)) and self._intake is not None:
            self._intake.follow(topic)

    def _full(self, transaction: Transaction, topic: str) -> bool:
        """Whether so much waits for a group of this database that no more is fetched."""
        return backlog(transaction, topic)[0] >= self._topic(topic).limit

    def _topic(self, name: str) -> Topic:
        return self._configured.get(name) or _DEFAULT

    def route(self, entry: Entry) -> Entry:
        """Where a message that is published goes: into the outbox, unless it is for this database alone."""
        if not travels(entry.topic, self._topic(entry.topic)):
            return entry
        key = f"{entry.topic}/{_UNKEYED}{entry.id}" if entry.key is None else f"{entry.topic}/{_KEYED}{entry.key}"
        out = f"{OUT}{self._topic(entry.topic).durability}"
        return Entry(out, f"{entry.topic}/{entry.id}", key, entry.body, entry.new)

    async def _send(self, rows: Sequence[Row]) -> list[Refused]:
        """Give messages of the outbox to Kafka, in their order; gives those that it will never take."""
        try:
            await self._insist([_record(row) for row in rows])
        except UsageError as error:
            if len(rows) == 1:
                return [Refused(rows[0], str(error))]
            return [refused for row in rows for refused in await self._send([row])]
        return []

    async def _insist(self, records: Sequence[Record]) -> None:
        """Give records to Kafka, however long it is away."""
        pause, away = 0.1, False
        while True:
            try:
                await self._give(records)
                if away:
                    _log.warning("Kafka takes again what waits in the outbox")
                return
            except UnavailableError as error:
                away = True  # nobody knows what Kafka has; whoever reads a message twice drops the second
                _log.warning("what is published waits in the outbox: %s", error)
                await asyncio.sleep(random.uniform(0.5, 1.0) * pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _give(self, records: Sequence[Record]) -> None:
        for topic in {record.topic for record in records}:
            await self._exists(topic)
        await self._producer.send_many(records, deadline=time.monotonic() + PATIENCE)

    async def _exists(self, topic: str) -> None:
        """See to it that a topic is there, once in the life of this process."""
        found = self._known.get(topic)
        if found is None or (found.done() and (found.cancelled() or found.exception() is not None)):
            found = self._known[topic] = asyncio.create_task(self.create(topic))
        if not found.done() or found.exception() is not None:
            await asyncio.shield(found)

    async def create(self, topic: str) -> None:
        """Create a topic in Kafka with as many partitions as the log has for it, if there is none of that name.

        Raises:
            UsageError: Kafka does not take the name, or does not let us have the topic.
            UnavailableError: Kafka is away.
        """
        try:
            await self._topics.create(
                topic, partitions=self._topic(topic).partitions, deadline=time.monotonic() + PATIENCE
            )
        except ConflictError as error:  # somebody else has made it; each keeps the order of keys
            _log.info("%s", error)

    async def close(self, grace: float = 5.0) -> None:
        """Carry no more; what has not arrived is carried by others, or later."""
        await asyncio.gather(*(relay.close() for relay in self._relays))
        if self._intake is not None:
            await self._intake.close()
        deadline = time.monotonic() + grace
        await asyncio.gather(
            self._producer.close(deadline=deadline), self._topics.close(deadline=deadline), return_exceptions=True
        )
        for task in self._known.values():
            task.cancel()


def _record(row: Row) -> Record:
    """The record of a message in the outbox, whose key tells its topic and its own key."""
    topic, _slash, key = (row.key or "").partition("/")
    return formats.outbound(topic, key.removeprefix(_KEYED) if key.startswith(_KEYED) else None, row.body)


def travels(name: str, topic: Topic) -> bool:
    """Whether messages of a topic go over Kafka."""
    return topic.durability != "memory" and name != REPLIES and not name.startswith(OUT)
