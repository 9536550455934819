"""The bus on every kind of database, with as many members as a test wants."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from tests.runtime.bus.carriers import Broker, Prefixed

from gatewright.runtime.bridge import outboxes
from gatewright.runtime.bus import Bus, Delivery, Subscription, Topic
from gatewright.runtime.bus.cursors import Group, Stand
from gatewright.runtime.bus.schemas import Models
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.writer import Transaction, Writer, arrival

LEASE = 0.6  # seconds
SOON = Topic(backoff=0.0, longest_backoff=0.0)
_IN_LOG = sa.text("SELECT count(*) FROM message WHERE topic = :topic")
_IN_OUTBOX = sa.text("SELECT count(*) FROM message WHERE topic LIKE '^_kafka.%' ESCAPE '^' AND id LIKE :topic || '/%'")


class Site:
    """A database, and the buses of processes that work on it; with a broker, their messages go over Kafka."""

    def __init__(self, database: Database, broker: Broker | None = None) -> None:
        self.database = database
        self._broker = broker
        self._writer: Writer | None = None
        self._writers: list[Writer] = []
        self._buses: list[Bus] = []
        self._carriers: list[Prefixed] = []

    async def close(self) -> None:
        """End all processes, at the same time."""
        await asyncio.gather(*(carrier.close() for carrier in self._carriers))
        await asyncio.gather(*(bus.close(0.2) for bus in self._buses))
        await asyncio.gather(*(asyncio.to_thread(writer.close) for writer in self._writers))

    @property
    def writer(self) -> Writer:
        """A writer for the test itself."""
        if self._writer is None:
            self._writer = self._open_writer()
        return self._writer

    def _open_writer(self) -> Writer:
        self._writers.append(Writer(self.database))
        return self._writers[-1]

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
        settings = {**outboxes(), "t": SOON, **topics}
        carrier = None if self._broker is None else Prefixed(self._broker, settings)
        bus = kind(self.database, writer, source="test", settings=settings, models=models, lease=lease, carrier=carrier)
        await bus.open()
        if not self.database.shared:  # for the bus there are no others then, and so it does not look for them
            bus._main.log.watch()  # pyright: ignore[reportPrivateUsage]
        self._buses.append(bus)
        if carrier is not None:
            self._carriers.append(carrier)
            await carrier.open(bus)
        return bus

    async def published(self, topic: str) -> int:
        """How many messages of a topic there are, wherever those are kept that somebody publishes."""
        ((count,),) = await self.query(_IN_LOG if self._broker is None else _IN_OUTBOX, topic=topic)
        return int(count)

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
        async with asyncio.timeout(60):
            while len(self.data) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.data


async def until(true: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(60):
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
