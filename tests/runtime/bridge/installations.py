"""Installations on one Kafka: each a database with the buses of its processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gatewright.runtime.bridge import Bridge, outboxes
from gatewright.runtime.bus import Bus, Topic
from gatewright.runtime.kafka import Settings
from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.writer import Writer

TOPIC = Topic(partitions=3, attempts=2, backoff=0.0, longest_backoff=0.0)


class Installation:
    """A database, whose processes carry messages over Kafka."""

    def __init__(self, name: str, database: Database, kafka: Settings, stack: AsyncExitStack) -> None:
        self.name = name
        self.database = database
        self._kafka = kafka
        self._stack = stack
        self._shared: Writer | None = None

    async def bus(self, *topics: str, bridge: type[Bridge] = Bridge, limit: int = TOPIC.limit) -> Bus:
        """The bus of one more process."""
        settings = {**outboxes(), **dict.fromkeys(topics, TOPIC.model_copy(update={"limit": limit}))}
        carrier = bridge(self._kafka, settings, group=self.name)
        bus = Bus(self.database, self.writer(), settings=settings, lease=1.0, carrier=carrier)
        await bus.open()
        self._stack.push_async_callback(bus.close, 0.2)
        self._stack.push_async_callback(carrier.close, 2.0)
        await carrier.open(bus)
        return bus

    def writer(self) -> Writer:
        """A writer of this process; SQLite has one only."""
        if self._shared is not None and not self.database.shared:
            return self._shared
        self._shared = Writer(self.database)
        self._stack.push_async_callback(asyncio.to_thread, self._shared.close)
        return self._shared


@asynccontextmanager
async def installation(
    name: str, folder: Path, bootstrap: str, url: str = "", options: Mapping[str, str] | None = None
) -> AsyncGenerator[Installation]:
    """An installation on a SQLite file, or on the database at `url`; `options` say how Kafka is entered."""
    folder.mkdir(exist_ok=True)
    database = of(url, folder)
    database.hold()
    try:
        await asyncio.to_thread(database.prepare)
        async with AsyncExitStack() as stack:
            yield Installation(name, database, Settings.parse(f"kafka://{bootstrap}", options), stack)
    finally:
        database.release()
