"""Messages over a real Kafka, from the log of one database to those of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from deploy.cluster.kafka import Kafka
from kafka import KafkaProducer
from tests.runtime.bridge.installations import Installation, installation

from gatewright.agents.envelopes import Retry
from gatewright.runtime.bridge import Bridge, bridge
from gatewright.runtime.bus import Bus, Delivery
from gatewright.runtime.bus.outgoing import backlog
from gatewright.runtime.kafka import Record, UnknownOutcomeError, polling

_LETTERS = sa.text("SELECT topic, message_id, reason, detail FROM dead_letter")

Opened = Callable[..., Awaitable[Installation]]


@pytest.fixture
async def opened(tmp_path: Path, kafka: Kafka, topic_prefix: str) -> AsyncGenerator[Opened]:
    """Opens installations on the shared broker."""
    async with AsyncExitStack() as stack:

        async def open_one(name: str = "one", url: str = "", bootstrap: str = "") -> Installation:
            made = installation(topic_prefix + name, tmp_path / name, bootstrap or kafka.bootstrap, url)
            return await stack.enter_async_context(made)

        yield open_one


class Collector:
    """A handler that notes what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, Any]] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.seen.append((delivery.message.key, delivery.data))

    def of(self, key: str | None) -> list[Any]:
        return [data for found, data in self.seen if found == key]

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.seen) < count:
                await asyncio.sleep(0.02)


async def publish(bus: Bus, topic: str, key: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        await bus.publish(topic, number, key=key)


async def test_messages_of_a_key_arrive_in_order_and_once(opened: Opened, topic_prefix: str) -> None:
    topic = f"{topic_prefix}t"
    bus = await (await opened()).bus(topic)
    collector = Collector()
    await bus.subscribe(topic, "g", collector)
    await asyncio.gather(*(publish(bus, topic, f"k{each}", range(50)) for each in range(5)))
    await collector.wait(250)
    for each in range(5):
        assert collector.of(f"k{each}") == list(range(50))


async def test_every_installation_gets_every_message(opened: Opened, topic_prefix: str) -> None:
    topic = f"{topic_prefix}t"
    one, two = await (await opened("one")).bus(topic), await (await opened("two")).bus(topic)
    here, there = Collector(), Collector()
    await one.subscribe(topic, "g", here)
    await two.subscribe(topic, "g", there)
    await publish(one, topic, "k", range(20))
    await asyncio.gather(here.wait(20), there.wait(20))
    assert here.of("k") == there.of("k") == list(range(20))


async def test_the_same_id_arrives_once_however_often_it_is_sent(opened: Opened, topic_prefix: str) -> None:
    topic = f"{topic_prefix}t"

    class Repeating(Bridge):
        """Sends every batch twice, as after a failure whose outcome nobody knows."""

        async def _insist(self, records: Sequence[Record]) -> None:
            await super()._insist(records)
            await super()._insist(records)

    bus = await (await opened()).bus(topic, bridge=Repeating)
    collector = Collector()
    await bus.subscribe(topic, "g", collector)
    await publish(bus, topic, "k", range(20))
    await bus.publish(topic, "last", key="end")
    await bus.publish(topic, "again", key="end", id="twice")
    await bus.publish(topic, "again", key="end", id="twice")
    await collector.wait(22)
    assert collector.of("k") == list(range(20))
    assert collector.of("end") == ["last", "again"]


async def test_what_fails_on_its_way_is_sent_again_in_order(opened: Opened, topic_prefix: str) -> None:
    topic = f"{topic_prefix}t"

    class Failing(Bridge):
        """Every second attempt ends with an unknown outcome, half of them after Kafka had the records."""

        attempts = 0

        async def _give(self, records: Sequence[Record]) -> None:
            Failing.attempts += 1
            if Failing.attempts % 4 == 0:
                raise UnknownOutcomeError("planted before")
            await super()._give(records)
            if Failing.attempts % 4 == 2:
                raise UnknownOutcomeError("planted after")

    bus = await (await opened()).bus(topic, bridge=Failing)
    collector = Collector()
    await bus.subscribe(topic, "g", collector)
    await publish(bus, topic, "k", range(60))
    await collector.wait(60)
    assert collector.of("k") == list(range(60))


async def test_retries_and_dead_letters_are_those_of_the_log(opened: Opened, topic_prefix: str) -> None:
    topic = f"{topic_prefix}t"
    site = await opened()
    bus = await site.bus(topic)
    collector = Collector()

    async def handle(delivery: Delivery) -> None:
        if delivery.data == "bad":
            raise Retry("not yet", after=0.05)
        await collector(delivery)

    await bus.subscribe(topic, "g", handle)
    await bus.publish(topic, "bad", key="k")
    await bus.publish(topic, "good", key="k")
    await collector.wait(1)
    assert collector.of("k") == ["good"]
    ((where, _id, reason, _detail),) = await bus.log.write(lambda transaction: transaction.all(_LETTERS))
    assert (where, reason) == (topic, "attempts")


async def test_existing_topics_of_others_are_read(opened: Opened, topic_prefix: str, kafka: Kafka) -> None:
    topic = f"{topic_prefix}orders"
    bus = await (await opened()).bus(topic)
    collector = Collector()
    await bus.publish(topic, "ours", key="k")  # and so the topic is there
    await bus.subscribe(topic, "g", collector)
    await collector.wait(1)

    def produce() -> None:
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
        for number in range(3):
            producer.send(topic, key=b"customer", value=orjson.dumps({"order": number}))
        producer.flush(10)
        producer.close()

    await asyncio.to_thread(produce)
    await collector.wait(4)
    assert collector.of("customer") == [{"order": 0}, {"order": 1}, {"order": 2}]


async def test_what_nobody_handles_stays_in_kafka_and_holds_up_no_other_topic(
    opened: Opened, topic_prefix: str, kafka: Kafka
) -> None:
    slow, quick = f"{topic_prefix}slow", f"{topic_prefix}quick"
    bus = await (await opened()).bus(slow, quick, limit=100)
    handled, collector, go_on = Collector(), Collector(), asyncio.Event()

    async def wait(delivery: Delivery) -> None:
        await go_on.wait()
        await handled(delivery)

    await bus.subscribe(slow, "g", wait)
    await bus.subscribe(quick, "g", collector)
    await bus.publish(slow, "first", key="k")
    await bus.publish(quick, "first", key="k")
    await collector.wait(1)

    def produce() -> None:
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
        for number in range(8000):
            producer.send(slow, orjson.dumps({"number": number, "text": "x" * 200}), key=b"k")
        producer.flush()
        for number in range(20):
            producer.send(quick, orjson.dumps(number), key=b"k")
        producer.close()

    await asyncio.to_thread(produce)
    await collector.wait(21)
    await asyncio.sleep(1)  # time in which more would come
    waiting, _ = await bus.log.write(partial(backlog, topic=slow))
    go_on.set()
    await handled.wait(8001)

    assert 100 <= waiting < 4000
    assert [data["number"] for _, data in handled.seen[1:]] == list(range(8000))


async def test_another_process_goes_on_where_one_ends(database_url: str, opened: Opened, topic_prefix: str) -> None:
    topic = f"{topic_prefix}t"
    site = await opened(url=database_url)
    first, second = await site.bus(topic), await site.bus(topic)
    collector = Collector()
    await first.subscribe(topic, "g", collector)
    await second.subscribe(topic, "g", collector)
    await publish(first, topic, "k", range(30))
    await first.close(0.5)
    await publish(second, topic, "k", range(30, 60))
    await collector.wait(60)
    assert collector.of("k") == list(range(60))


async def test_nothing_is_lost_when_kafka_is_killed(opened: Opened, topic_prefix: str, kafka_broker: Kafka) -> None:
    topic = f"{topic_prefix}t"
    bus = await (await opened(bootstrap=kafka_broker.bootstrap)).bus(topic)
    collector = Collector()
    await bus.subscribe(topic, "g", collector)
    await publish(bus, topic, "k", range(100))
    await collector.wait(10)
    await asyncio.to_thread(kafka_broker.kill)
    await publish(bus, topic, "k", range(100, 200))  # accepted, and kept
    await asyncio.to_thread(kafka_broker.restart)
    await collector.wait(200)
    assert collector.of("k") == list(range(200))


async def test_the_log_says_that_kafka_is_away_and_that_it_is_back(
    opened: Opened,
    topic_prefix: str,
    kafka_broker: Kafka,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bridge, "PATIENCE", 0.5)
    monkeypatch.setattr(polling, "SILENCE", 0.5)
    topic = f"{topic_prefix}t"
    bus = await (await opened(bootstrap=kafka_broker.bootstrap)).bus(topic)
    collector = Collector()
    await bus.subscribe(topic, "g", collector)
    await publish(bus, topic, "k", [1])
    await collector.wait(1)

    async def said(*texts: str) -> None:
        async with asyncio.timeout(60):
            while not all(text in caplog.text for text in texts):
                await asyncio.sleep(0.05)

    await asyncio.to_thread(kafka_broker.kill)
    await publish(bus, topic, "k", [2])
    await said("what is published waits in the outbox: ", "no broker of Kafka answers the group ")
    await asyncio.to_thread(kafka_broker.restart)
    await said("Kafka takes again what waits in the outbox", "Kafka answers the group ")
    await collector.wait(2)
