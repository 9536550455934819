"""Reading Kafka into the log: as one member of this database's group, from the positions that the database holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.bus.log import Entry, Log
from gatewright.runtime.bus.outgoing import LOOK
from gatewright.runtime.kafka import Batch, Consumer, Partition, Settings
from gatewright.runtime.store.writer import Transaction

from . import formats, positions
from .positions import Move

T = TypeVar("T")

RETRY = 1.0  # seconds before reading is begun again after an error
AGAIN = 60.0  # seconds before a topic that is not to be had is asked for again
CLOSING = 5.0  # seconds
AT_ONCE = 1000  # records after which no more batches are added to those that are stored together

_log = logging.getLogger(__name__)


class Intake:
    """Brings topics of Kafka into the log. Several processes share the partitions by Kafka's group protocol."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        group: str,
        exists: Callable[[str], Awaitable[None]],
        full: Callable[[Transaction, str], bool],
    ) -> None:
        """`exists`: sees to it that a topic is there; a member of a group would hear of it only minutes later.

        `full`: whether a topic has so much in the log that wants to be handled that the rest stays in Kafka.
        """
        self._exists = exists
        self._full = full
        self._settings = settings
        self._log = log
        self._group = group
        self._topics: set[str] = set()
        self._changed = asyncio.Event()
        self._next: dict[Partition, int | None] = {}
        self._task: asyncio.Task[None] | None = None

    def follow(self, topic: str) -> None:
        """Read this topic too."""
        if topic not in self._topics:
            self._topics.add(topic)
            self._changed.set()
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="kafka intake")

    async def close(self) -> None:
        """Read no more; what is on its way to the database goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            reading = asyncio.create_task(self._read(sorted(self._topics)))
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([reading, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, changed):
                    task.cancel()
                await asyncio.wait([reading, changed])
            if not reading.cancelled() and (error := reading.exception()) is not None:
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                _log.warning("reading from Kafka begins again: %s", error)
                await asyncio.sleep(RETRY)

    async def _read(self, topics: Sequence[str]) -> None:
        refused = [topic for topic in topics if not await self._there(topic)]
        topics = [topic for topic in topics if topic not in refused]
        if refused:  # others are read meanwhile
            asyncio.get_running_loop().call_later(AGAIN, self._changed.set)
        if not topics:
            await asyncio.Event().wait()
        consumer = Consumer(
            self._settings, group=self._group, topics=topics, assigned=self._assigned, revoked=self._revoked
        )
        try:
            async with asyncio.TaskGroup() as storing:  # each topic by itself: one that is full holds up no other
                lines: dict[str, asyncio.Queue[list[Batch]]] = {}  # bounded by what the consumer gives unreleased
                for topic in topics:
                    lines[topic] = asyncio.Queue()
                    storing.create_task(self._store(consumer, topic, lines[topic]))
                async for batches in consumer.batches():
                    for topic in {batch.partition.topic for batch in batches}:
                        lines[topic].put_nowait([batch for batch in batches if batch.partition.topic == topic])
        finally:
            await asyncio.shield(consumer.close(deadline=time.monotonic() + CLOSING))

    async def _store(self, consumer: Consumer, topic: str, line: asyncio.Queue[list[Batch]]) -> None:
        def full(transaction: Transaction) -> bool:
            return self._full(transaction, topic)

        while True:
            batches = await line.get()
            while not line.empty() and sum(len(batch.records) for batch in batches) < AT_ONCE:
                batches = batches + line.get_nowait()  # has come while the last ones were stored
            if await self._take(consumer, batches, full):
                while await self._insist(full):
                    await asyncio.sleep(LOOK)

    async def _there(self, topic: str) -> bool:
        try:
            await self._exists(topic)
        except UsageError as error:
            _log.error("topic %r is not read from Kafka, which is asked again in %g s: %s", topic, AGAIN, error)
            return False
        return True

    async def _assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        def read(transaction: Transaction) -> dict[Partition, int | None]:
            return {partition: positions.read(transaction, partition) for partition in partitions}

        found = await self._insist(read)
        self._next |= found
        return found

    async def _revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)

    async def _take(self, consumer: Consumer, batches: Sequence[Batch], full: Callable[[Transaction], bool]) -> bool:
        """Put batches into the log with one operation, apart from those whose partition is another's by now; gives
        whether their topic was full already."""
        while batches := [batch for batch in batches if consumer.holds(batch)]:
            entries = [formats.inbound(record) for batch in batches for record in batch.records]
            following = {batch.partition: batch.following for batch in batches}
            moves = [Move(partition, self._next[partition], to) for partition, to in following.items()]

            def put(
                transaction: Transaction, moves: Sequence[Move] = moves, entries: Sequence[Entry] = entries
            ) -> bool:
                positions.move(transaction, moves)
                self._log.put(transaction, entries)
                return full(transaction)

            try:
                was_full = await self._log.write(put)
            except UnavailableError:
                await asyncio.sleep(RETRY)
                continue
            for batch in batches:
                if consumer.holds(batch):
                    self._next[batch.partition] = batch.following
                    consumer.release(batch)
            return was_full
        return False

    async def _insist(self, read: Callable[[Transaction], T]) -> T:
        """What is read from the database, however long it is away; Kafka waits."""
        while True:
            try:
                return await self._log.write(read)
            except UnavailableError:
                await asyncio.sleep(RETRY)
