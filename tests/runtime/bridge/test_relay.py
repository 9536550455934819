"""The outbox's way out, without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.bridge import relay as relaying
from gatewright.runtime.bridge.relay import Refused, Relay
from gatewright.runtime.bus import Bus, Topic
from gatewright.runtime.bus.cursors import Group, Stand
from gatewright.runtime.bus.log import Log, Row, Scan
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Transaction, Writer

COUNT = 3000  # more than two batches

_LEFT = sa.text(
    "SELECT sum(head.next - cursor.position) FROM head JOIN cursor "
    'ON cursor.topic = head.topic AND cursor."partition" = head."partition" WHERE head.topic = \'out\''
)
_FREE = sa.text("SELECT 1 FROM cursor WHERE topic = 'out' AND holder IS NULL")


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncGenerator[Bus]:
    database = SQLite(tmp_path)
    database.hold()
    database.prepare()
    writer = Writer(database)
    async with Bus(database, writer, settings={"out": Topic(partitions=3)}) as opened:
        yield opened
    await asyncio.to_thread(writer.close)
    database.release()


class Far:
    """Takes all messages; notes their places in the order in which they come."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        self.under_way = 0
        self.everything = asyncio.Event()

    async def take(self, rows: Sequence[Row]) -> list[Refused]:
        assert self.under_way == 0, "two batches at once could overtake each other"
        self.under_way += 1
        await asyncio.sleep(0)
        self.under_way -= 1
        if rows:
            self.batches.append([(row.partition, row.offset) for row in rows])
        if len(self.places()) == COUNT:
            self.everything.set()
        return []

    def places(self) -> dict[tuple[int, int], None]:
        """What has come, by its first time."""
        return dict.fromkeys(place for batch in self.batches for place in batch)


class Forgetful(Group):
    """Its second batch cannot be noted, as when the database is away just then."""

    noted: Sequence[Stand] = ()
    lost: Sequence[Stand] = ()

    def fence(self, transaction: Transaction, stands: Sequence[Stand]) -> set[int]:
        if self.noted and not self.lost:
            self.lost = stands
        if stands is self.lost:  # again where the writer tries the operation by itself
            raise UnavailableError("planted")
        self.noted = stands
        return super().fence(transaction, stands)


async def carried(bus: Bus, group: Group, far: Far) -> None:
    """Everything, by a relay that is closed then."""
    relay = Relay(bus.log, group, far.take)
    await relay.open()
    async with asyncio.timeout(60):
        await far.everything.wait()
        while await bus.log.write(lambda transaction: transaction.all(_LEFT)) != [(0,)]:
            await asyncio.sleep(0.01)
    await relay.close()


async def publish(bus: Bus) -> None:
    await asyncio.gather(*(bus.publish("out", number, key=f"k{number % 7}") for number in range(COUNT)))


async def test_a_batch_that_could_not_be_noted_is_carried_again_before_what_follows(bus: Bus) -> None:
    far = Far()
    await publish(bus)
    await carried(bus, Forgetful("out", "far", "one"), far)
    assert sum(map(len, far.batches)) > COUNT, "nothing was carried again"
    for part in range(3):
        first = [offset for partition, offset in far.places() if partition == part]
        assert first == list(range(len(first)))


async def test_what_has_been_noted_is_not_carried_again(bus: Bus) -> None:
    far = Far()
    await publish(bus)
    await carried(bus, Group("out", "far", "one"), far)
    assert sum(map(len, far.batches)) == COUNT
    later = Relay(bus.log, Group("out", "far", "two"), far.take)
    await later.open()
    await bus.publish("out", "new", key="k0")
    async with asyncio.timeout(60):
        while sum(map(len, far.batches)) == COUNT:
            await asyncio.sleep(0.01)
    await later.close()
    assert sum(map(len, far.batches)) == COUNT + 1


async def test_what_this_process_publishes_is_carried_without_being_read(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, reads = Far(), 0
    read = Log.read

    def count(*arguments: Any) -> Scan:
        nonlocal reads
        reads += 1
        return read(*arguments)

    monkeypatch.setattr(Log, "read", count)
    relay = Relay(bus.log, Group("out", "far", "one"), far.take)
    await relay.open()
    await held(bus)
    async with asyncio.timeout(60):
        for number in range(200):
            await bus.publish("out", number, key=f"k{number % 7}")
        while sum(map(len, far.batches)) < 200:
            await asyncio.sleep(0.01)
    await relay.close()
    assert reads == 0
    assert_in_order(far)


async def test_what_does_not_fit_into_memory_is_read_in_its_order(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "READY", 10)
    monkeypatch.setattr(relaying, "READY_BYTES", 2000)
    far = Far()
    relay = Relay(bus.log, Group("out", "far", "one"), far.take)
    await relay.open()
    await held(bus)
    await publish(bus)
    async with asyncio.timeout(60):
        await far.everything.wait()
    await relay.close()
    assert sum(map(len, far.batches)) == COUNT
    assert_in_order(far)


async def held(bus: Bus) -> None:
    """Wait until a relay has the partitions."""
    async with asyncio.timeout(60):
        while await bus.log.write(lambda transaction: transaction.all(_FREE)):
            await asyncio.sleep(0.01)
    await bus.log.write(lambda _: None)  # its own operation has been told by now


def assert_in_order(far: Far) -> None:
    for part in range(3):
        offsets = [offset for batch in far.batches for partition, offset in batch if partition == part]
        assert offsets == list(range(len(offsets)))
