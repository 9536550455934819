"""A way over Kafka for tests that call their topics the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from gatewright.runtime.bridge import Bridge, intake, relay
from gatewright.runtime.bridge.bridge import OUT
from gatewright.runtime.bus import Bus, Topic
from gatewright.runtime.bus.log import Entry, Log
from gatewright.runtime.kafka import Consumer, Record, Settings
from gatewright.runtime.store.writer import Transaction

PARTITIONS = 4  # of a topic in Kafka; fewer than the log has, so that a broker with many topics stays quick


LEASE = 0.8  # seconds that a process has the outbox for, and is a member of a group in Kafka a little longer
SESSION = 1.0


class Broker(NamedTuple):
    """Where Kafka is, and how the names of topics and groups begin there that belong to one test."""

    bootstrap: str
    prefix: str


class Prefixed(Bridge):
    """Gives topics other names in Kafka: a topic that is deleted there between two tests is not gone at once."""

    def __init__(self, broker: Broker, topics: Mapping[str, Topic]) -> None:
        super().__init__(Settings.parse(f"kafka://{broker.bootstrap}"), topics, group=f"{broker.prefix}group")
        self._prefix = broker.prefix

    async def open(self, bus: Bus) -> None:
        await super().open(bus)
        assert self._intake is not None
        self._intake._log = cast(Log, _Unprefixed(bus.log, self._prefix))  # pyright: ignore[reportPrivateUsage]

    def follow(self, topic: str) -> None:
        super().follow(self._prefix + topic)

    def _topic(self, name: str) -> Topic:
        found = super()._topic(name.removeprefix(self._prefix))
        return found.model_copy(update={"partitions": PARTITIONS})

    def _full(self, transaction: Transaction, topic: str) -> bool:
        return super()._full(transaction, topic.removeprefix(self._prefix))

    async def _give(self, records: Sequence[Record]) -> None:
        await super()._give([record._replace(topic=self._prefix + record.topic) for record in records])


class _Member(Consumer):
    """A member of a group that is soon thought dead, and hears soon that others have come."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, session=SESSION)


def hasten(replace: Callable[[Any, str, Any], None]) -> None:
    """Let processes that carry be thought dead soon; `replace` sets attributes of modules."""
    replace(intake, "Consumer", _Member)
    replace(relay, "LEASE", LEASE)


class Forgetful(Log):
    """Knows nothing again that it is given from Kafka: the negative control of reading once."""

    def put(self, transaction: Transaction, entries: Sequence[Entry]) -> None:
        super().put(
            transaction,
            [entry if entry.topic.startswith(OUT) else entry._replace(id=uuid.uuid4().hex) for entry in entries],
        )


class _Unprefixed:
    """A log that puts messages under the names that the test knows."""

    def __init__(self, log: Log, prefix: str) -> None:
        self._log = log
        self._prefix = prefix

    def put(self, transaction: Transaction, entries: Sequence[Entry]) -> None:
        named = [entry._replace(topic=entry.topic.removeprefix(self._prefix)) for entry in entries]
        self._log.put(transaction, named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)
