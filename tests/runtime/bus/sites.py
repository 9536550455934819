"""The bus on every kind of database, with as many members as a test wants."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import sqlalchemy as sa

from gatewright.runtime.bus import Bus, Delivery, Subscription, Topic
from gatewright.runtime.bus.cursors import Group, Stand
from gatewright.runtime.bus.schemas import Models
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.writer import Transaction, Writer, arrival

LEASE = 0.6  # seconds
SOON = Topic(backoff=0.0, longest_backoff=0.0)


class Site:
    """A database, and the buses of processes that work on it."""

    def __init__(self, database: Database, stack: AsyncExitStack) -> None:
        self.database = database
        self._stack = stack
        self._writer: Writer | None = None

    @property
    def writer(self) -> Writer:
        """A writer for the test itself."""
        if self._writer is None:
            self._writer = self._open_writer()
        return self._writer

    def _open_writer(self) -> Writer:
        writer = Writer(self.database)
        self._stack.push_async_callback(asyncio.to_thread, writer.close)
        return writer

    async def bus(
        self,
        kind: type[Bus] = Bus,
        *,
        models: Mapping[str, Models] | None = None,
        lease: float = LEASE,
        **topics: Topic,
    ) -> Bus:
        """The bus of one more process; on a database of several it has a writer of its own."""
        writer = self._open_writer() if self.database.shared else self.writer
        bus = kind(self.database, writer, source="test", settings={"t": SOON, **topics}, models=models, lease=lease)
        await bus.open()
        if not self.database.shared:  # for the bus there are no others then, and so it does not look for them
            bus._main.log.watch()  # pyright: ignore[reportPrivateUsage]
        self._stack.push_async_callback(bus.close, 0.2)
        return bus

    async def query_nothing(self, text: Any) -> None:
        """Execute a statement that gives no rows."""
        await arrival(self.writer.submit(lambda transaction: transaction.run(text)))

    async def query(self, text: Any, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database; the statement is a constant."""

        def read(transaction: Transaction) -> list[tuple[Any, ...]]:
            return transaction.all(text, **values)

        return await arrival(self.writer.submit(read))


class Seen:
    """A handler that notes what it is given."""

    def __init__(self, handle: Callable[[Delivery], Awaitable[Any]] | None = None) -> None:
        self.data: list[Any] = []
        self.deliveries: list[Delivery] = []
        self._handle = handle
        self._changed = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> Any:
        self.deliveries.append(delivery)
        self.data.append(delivery.data)
        self._changed.set()
        return None if self._handle is None else await self._handle(delivery)

    async def wait(self, count: int) -> list[Any]:
        """What it was given, when that is so many."""
        async with asyncio.timeout(20):
            while len(self.data) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.data


async def until(true: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


class Unfenced(Group):
    """A group that believes every member and notes nothing: the negative control of what epochs are for."""

    def fence(self, transaction: Transaction, stands: Sequence[Stand]) -> set[int]:
        for stand in stands:
            transaction.run(
                _BELIEVE,
                topic=self.topic,
                group=self.name,
                part=stand.partition,
                position=stand.position,
                since=stand.since,
            )
        return {stand.partition for stand in stands}

    def store(self, transaction: Transaction, ahead: Iterable[tuple[int, int]]) -> None:
        del transaction, ahead


_BELIEVE = sa.text(
    "UPDATE cursor SET position = :position, since = :since "
    'WHERE topic = :topic AND "group" = :group AND "partition" = :part'
)


class UnfencedBus(Bus):
    """The bus with the fences taken out."""

    group_type = Unfenced


def freeze(subscription: Subscription) -> None:
    """Let a member renew its leases no more, as if its process were stopped; what it handles goes on."""
    attending = subscription._tasks[-2]  # pyright: ignore[reportPrivateUsage]
    attending.cancel()
    subscription._lease_end = math.inf  # pyright: ignore[reportPrivateUsage]


async def die(subscription: Subscription) -> None:
    """Let a member end as if its process were killed: it hands nothing back, and writes nothing more."""
    subscription._closing = True  # pyright: ignore[reportPrivateUsage]
    subscription._chain.broken = True  # pyright: ignore[reportPrivateUsage]
    for task in subscription._tasks:  # pyright: ignore[reportPrivateUsage]
        task.cancel()
    await asyncio.gather(*subscription._tasks, return_exceptions=True)  # pyright: ignore[reportPrivateUsage]
