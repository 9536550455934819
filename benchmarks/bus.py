"""The message bus in SQLite against AutoGen's in-memory runtime, over Kafka against kafka-python, a request a commit.

10,000 messages of 1 KB are published by 64 tasks, each of which waits until its message is durable, and consumed by a
group in the same process; it counts until the last one is handled. The reference keeps nothing: it is autogen-core's
`SingleThreadedAgentRuntime`, with an agent that subscribes to the topic, and the same publishers.

A request is answered through the bus, where replies need not outlive the machine; it is published with `disk`
durability, and then on a topic as it is by default (`process`). The reference of both is one bare INSERT and COMMIT at
`synchronous=FULL` in the same folder.

Over Kafka, the same messages go with `disk` durability into the outbox, to a broker on this machine, back into the log
and to the group. The reference keeps nothing of its own: it is kafka-python, which sends the same bytes to a topic with
as many partitions and reads them meanwhile, in one process, with the settings that it has by itself (`acks="all"`,
idempotence; batches of 16 KiB that do not wait). Where this machine cannot run Apache Kafka, the figure is left out.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import uvloop
from deploy.cluster import jars
from deploy.cluster.kafka import Kafka

from gatewright.runtime.bus import Bus, Delivery, Topic
from gatewright.runtime.bus.topics import Durability
from gatewright.runtime.service import COLLECT

from . import autogen, carried
from .figures import Bar, Figure, compare, say, take_turns
from .program import Setting, main

PUBLISHERS = 64
KEYS = 200
TEXT = "x" * 1000
DISK = Bar(value=8.0, sense="at least")
PROCESS = Bar(value=12.0, sense="at least")
REQUEST = Bar(value=3.0, sense="at most")
KAFKA = Bar(value=0.7, sense="at least")
SETTINGS = {
    "process": Topic(durability="process"),
    "disk": Topic(durability="disk"),
    "asked": Topic(durability="disk"),
    "asked-by-default": Topic(),
}


class Consumer:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.count = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        assert delivery.data["text"] is not None
        self.count += 1
        if self.count == self._wanted:
            self._reached.set()

    def expect(self, count: int) -> asyncio.Event:
        """Is set when so many more have come."""
        self._wanted = self.count + count
        self._reached = asyncio.Event()
        return self._reached


def message(number: int) -> tuple[str, dict[str, object]]:
    """Key and data of a message."""
    return f"case-{number % KEYS}", {"number": number, "text": TEXT}


async def ours(bus: Bus, consumer: Consumer, topic: str, count: int) -> float:
    """Messages per second."""
    numbers = iter(range(count))
    reached = consumer.expect(count)

    async def publish() -> None:
        for number in numbers:
            key, data = message(number)
            await bus.publish(topic, data, key=key)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(PUBLISHERS):
            group.create_task(publish())
    async with asyncio.timeout(600):
        await reached.wait()
    return count / (time.perf_counter() - began)


async def asked(bus: Bus, topic: str, count: int) -> float:
    """Median time from a request to its reply, in milliseconds."""
    times: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        reply = await bus.request(topic, {"number": number}, timeout=60)
        times.append(time.perf_counter() - began)
        assert reply.data == {"number": number}
    return statistics.median(times) * 1000


async def committed(file: Path, count: int) -> float:
    """Median time of a durable commit, in milliseconds."""
    return await asyncio.to_thread(_commits, file, count)


def _commits(file: Path, count: int) -> float:
    times: list[float] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT)")
        for _ in range(count):
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO note (text) VALUES (?)", (TEXT,))
            connection.execute("COMMIT")
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def answer(delivery: Delivery) -> object:
    """Gives back what was asked."""
    return delivery.data


async def over_kafka(setting: Setting, count: int, turns: int) -> Figure:
    """The whole way of messages over a broker."""
    messages = [message(number) for number in range(count)]
    broker = Kafka(setting.folder / "broker")
    await asyncio.to_thread(broker.start)
    try:
        async with (
            carried.opened(setting.folder / "carried", SETTINGS, broker.bootstrap) as bus,
            carried.bare(broker.bootstrap, "bare", SETTINGS["disk"].partitions) as bare,
        ):
            consumer = Consumer()
            await bus.subscribe("disk", "counter", consumer)
            gc.collect()
            gc.freeze()  # for both sides, as in `measure`
            pairs = await take_turns(
                partial(ours, bus, consumer, "disk", count), partial(bare.throughput, messages), turns
            )
    finally:
        await asyncio.to_thread(broker.stop)
    return compare("kafka_against_raw", "messages/s", pairs, KAFKA)


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures of the bus."""
    gc.set_threshold(COLLECT)  # for both sides: the service does so when it is loaded
    count, turns = setting.size(10_000, 200), setting.size(7, 1)
    figures: list[Figure] = []
    async with carried.opened(setting.folder / "ours", SETTINGS) as bus:
        levels: tuple[tuple[Durability, Bar], ...] = (("disk", DISK), ("process", PROCESS))
        for durability, bar in levels:
            consumer = Consumer()
            await bus.subscribe(durability, "counter", consumer)
            say(f"bus: {PUBLISHERS} publishers at {durability!r}, against autogen-core")
            pairs = await take_turns(
                partial(ours, bus, consumer, durability, count),
                partial(autogen.throughput, count, PUBLISHERS, TEXT),
                turns,
            )
            figures.append(compare(f"{durability}_against_autogen", "messages/s", pairs, bar))
        few = setting.size(100, 5)
        file = setting.folder / "bare.sqlite"
        for topic, name in (("asked", "request"), ("asked-by-default", "request_by_default")):
            say(f"bus: requests on topic {topic!r}, against bare commits")
            await bus.subscribe(topic, "answerer", answer)
            await asked(bus, topic, 10)
            pairs = await take_turns(partial(asked, bus, topic, few), partial(committed, file, few), setting.size(9, 1))
            figures.append(compare(f"{name}_p50_against_commit", "ms", pairs, REQUEST))
    if (why := jars.missing()) is not None:
        say(f"bus: kafka_against_raw is left out: {why}")
        return figures
    say(f"bus: {PUBLISHERS} publishers over Kafka, against kafka-python")
    figures.append(await over_kafka(setting, count, turns))
    return figures


if __name__ == "__main__":
    # For both sides: the service runs on it.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # pyright: ignore[reportDeprecated]  # by Python 3.14
    main(measure, __doc__)
