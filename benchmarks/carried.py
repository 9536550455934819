"""Messages over Kafka: ours from one database through a broker back into it, and kafka-python alone on that broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from gatewright.agents.envelopes import Message
from gatewright.runtime.bridge import Bridge, formats, outboxes
from gatewright.runtime.bus import Bus, Topic
from gatewright.runtime.kafka import Record, Settings, Topics
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Writer

PATIENCE = 120.0  # seconds


@asynccontextmanager
async def opened(folder: Path, settings: Mapping[str, Topic], bootstrap: str | None = None) -> AsyncGenerator[Bus]:
    """The bus on a SQLite file of its own; over the broker at `bootstrap`, where one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    database = SQLite(folder)
    database.hold()
    database.prepare()
    writer = Writer(database)
    bridge = None
    if bootstrap is not None:
        settings = {**outboxes(), **settings}
        bridge = Bridge(Settings.parse(f"kafka://{bootstrap}"), settings, group="benchmark")
    bus = Bus(database, writer, source="benchmark", settings=settings, carrier=bridge)
    await bus.open(alone=True)
    try:
        if bridge is not None:
            await bridge.open(bus)
        yield bus
    finally:
        if bridge is not None:
            await bridge.close()
        await bus.close()
        await asyncio.to_thread(writer.close)
        database.release()


class Bare:
    """A producer and a consumer of kafka-python in this process, each with the settings that it has by itself.

    Since 3.0 those of the producer are `acks="all"` and idempotence, which are ours too. Nothing else is tuned: neither
    the time for which a batch waits nor its size. The consumer reads all partitions by itself, without a group.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self._producer: Any = KafkaProducer(bootstrap_servers=bootstrap)  # Any: the stubs are of 2.x
        self._consumer: Any = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer.assign(assigned)
        self._consumer.seek_to_beginning(*assigned)

    def close(self) -> None:
        """Leave the broker."""
        self._producer.close(5)
        self._consumer.close()

    async def throughput(self, messages: Sequence[tuple[str, object]]) -> float:
        """Messages per second, from the first one's sending to the last one's reception, both at the same time."""
        records = [self._record(key, data) for key, data in messages]
        began = time.perf_counter()
        await asyncio.gather(asyncio.to_thread(self._send, records), asyncio.to_thread(self._receive, len(records)))
        return len(records) / (time.perf_counter() - began)

    def _record(self, key: str, data: object) -> Record:
        """What our side gives to Kafka for such a message."""
        body = Message(source="benchmark", type=self._topic, data=data, key=key).to_json()
        return formats.outbound(self._topic, key, body)

    def _send(self, records: Sequence[Record]) -> None:
        for record in records:
            self._producer.send(self._topic, record.value, key=record.key, headers=list(record.headers))
        self._producer.flush(PATIENCE)

    def _receive(self, count: int) -> None:
        end = time.monotonic() + PATIENCE
        while count > 0:
            if time.monotonic() > end:
                raise RuntimeError(f"{count} messages did not come back from Kafka within {PATIENCE:.0f} s")
            count -= sum(len(found) for found in self._consumer.poll(timeout_ms=200).values())


@asynccontextmanager
async def bare(bootstrap: str, topic: str, partitions: int) -> AsyncGenerator[Bare]:
    """kafka-python on a topic that is new."""
    topics = Topics(Settings.parse(f"kafka://{bootstrap}"))
    await topics.create(topic, partitions=partitions, deadline=time.monotonic() + PATIENCE)
    await topics.close(deadline=time.monotonic() + PATIENCE)
    side = await asyncio.to_thread(Bare, bootstrap, topic, partitions)
    try:
        yield side
    finally:
        await asyncio.to_thread(side.close)
