"""A broker's settings, topics of a test's own, and members that keep what they were told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import pytest
from deploy.cluster.kafka import Kafka
from deploy.cluster.tansu import Tansu

from gatewright.runtime.kafka import Batch, Consumer, Partition, Producer, Received, Settings, Topics
from gatewright.runtime.kafka.polling import Reset

PATIENCE = 60.0  # seconds; a test that works takes a fraction of it
SESSION = 2.0  # seconds


class Member:
    """A consumer whose owner keeps positions in a mapping that members may share, as they would in a database."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        positions: dict[Partition, int] | None = None,
        *,
        changed: asyncio.Condition,
        reset: Reset = "earliest",
        records: int = 2000,
        hold: bool = False,
    ) -> None:
        self.positions = {} if positions is None else positions
        self.received: list[Received] = []
        self.batches: list[Batch] = []
        self.owned: set[Partition] = set()
        self.gained: list[Partition] = []
        self.lost: list[Partition] = []
        self.hold = hold  # keep batches without releasing them
        self.changed = changed  # of any member of the test
        self.consumer = Consumer(
            settings,
            group=group,
            topics=topics,
            assigned=self._assigned,
            revoked=self._revoked,
            reset=reset,
            records=records,
            session=SESSION,
        )
        self.reading = asyncio.create_task(self._read())

    async def _assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        self.owned.update(partitions)
        self.gained += partitions
        await self._tell()
        return {partition: self.positions.get(partition) for partition in partitions}

    async def _revoked(self, partitions: Sequence[Partition]) -> None:
        self.owned.difference_update(partitions)
        self.lost += partitions
        await self._tell()

    async def _read(self) -> None:
        async for batches in self.consumer.batches():
            self.batches += batches
            for batch in batches:
                self.received += batch.records
                if not self.hold:
                    self.positions[batch.partition] = batch.following
                    self.consumer.release(batch)
            await self._tell()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a batch or a change of partitions brings about."""
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(condition)

    async def close(self) -> None:
        await self.consumer.close(deadline=time.monotonic() + PATIENCE)
        await self.reading


@pytest.fixture
def settings(kafka: Kafka | Tansu) -> Settings:
    return Settings.parse(f"kafka://{kafka.bootstrap}")


@pytest.fixture
async def topics(settings: Settings) -> AsyncGenerator[Topics]:
    made = Topics(settings)
    yield made
    await made.close(deadline=time.monotonic() + PATIENCE)


@pytest.fixture
async def topic(topics: Topics, topic_prefix: str) -> str:
    """A topic with four partitions."""
    name = f"{topic_prefix}cases"
    await topics.create(name, partitions=4, deadline=time.monotonic() + PATIENCE)
    return name


@pytest.fixture
async def producer(settings: Settings) -> AsyncGenerator[Producer]:
    made = Producer(settings)
    yield made
    await made.close(deadline=time.monotonic() + PATIENCE)


@pytest.fixture
async def join(settings: Settings) -> AsyncGenerator[Callable[..., Member]]:
    """Makes members of a group, which leave it when the test ends."""
    members: list[Member] = []
    changed = asyncio.Condition()

    def make(*arguments: object, on: Settings = settings, **options: object) -> Member:
        members.append(Member(on, *arguments, changed=changed, **options))  # type: ignore[arg-type]  # passed through
        return members[-1]

    yield make
    for member in members:
        with suppress(Exception):  # a test that provokes an error has looked at it
            await member.close()


@pytest.fixture
def turns() -> Callable[[Awaitable[object]], Awaitable[bool]]:
    """Says whether the event loop went on turning while something was awaited, which may fail."""

    async def turned(awaited: Awaitable[object]) -> bool:
        task = asyncio.ensure_future(awaited)
        for _ in range(20):
            await asyncio.sleep(0)
        pending = not task.done()
        with suppress(Exception):
            await task
        return pending

    return turned
