"""A broker that is killed, frozen or not there yet: nothing unbounded, nothing late, nothing lost."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from deploy.cluster.kafka import Kafka
from deploy.cluster.tansu import Tansu
from kafka.net.selector import NetworkSelector

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.kafka import Producer, Record, Settings, Topics, UnknownOutcomeError

Join = Callable[..., Any]
NOWHERE = Settings.parse("kafka://127.0.0.1:9")  # the port of `discard`, where nobody listens


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def made(broker: Kafka | Tansu, name: str, *, partitions: int = 4) -> Settings:
    settings = Settings.parse(f"kafka://{broker.bootstrap}")
    topics = Topics(settings)
    await topics.create(name, partitions=partitions, deadline=soon())
    await topics.close(deadline=soon())
    return settings


async def test_without_a_broker_every_send_ends_by_its_deadline(turns: Callable[..., Any]) -> None:
    producer = Producer(NOWHERE)
    # kafka-python's own client blocks for a minute
    assert await turns(asyncio.gather(*(producer.send(Record("t", b"k", b"v"), deadline=soon(1)) for _ in range(100))))
    with pytest.raises(UnknownOutcomeError, match="by the deadline"):
        await producer.send(Record("t", b"k", b"v"), deadline=soon(0.1))
    await producer.close(deadline=soon(0.5))


async def test_closing_without_a_broker_leaves_nobody_waiting() -> None:
    producer = Producer(NOWHERE)
    sending = [asyncio.create_task(producer.send(Record("t", b"k", b"v"), deadline=soon())) for _ in range(10)]
    await asyncio.sleep(0)
    await producer.close(deadline=soon(0.1))
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert all(isinstance(outcome, UnknownOutcomeError) for outcome in outcomes)


async def test_closing_while_the_broker_is_dead_leaves_nobody_waiting(
    kafka_broker: Kafka | Tansu, topic_prefix: str
) -> None:
    settings = await made(kafka_broker, f"{topic_prefix}t")
    producer = Producer(settings)
    await producer.send(Record(f"{topic_prefix}t", b"k", b"v"), deadline=soon())
    kafka_broker.kill()
    sending = [
        asyncio.create_task(producer.send(Record(f"{topic_prefix}t", b"k", bytes(1000)), deadline=soon()))
        for _ in range(5000)
    ]
    await asyncio.sleep(0.5)
    await producer.close(deadline=soon(1))
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert all(isinstance(outcome, UnknownOutcomeError) for outcome in outcomes)


async def test_attempts_while_the_broker_is_dead_are_bounded_in_memory(
    kafka_broker: Kafka | Tansu, topic_prefix: str
) -> None:
    settings = await made(kafka_broker, f"{topic_prefix}t")
    producer = Producer(settings, records=5000, size=8 * 1024 * 1024)
    await producer.send(Record(f"{topic_prefix}t", b"k", b"v"), deadline=soon())
    kafka_broker.kill()
    gc.collect()
    idle = memory()
    refused = unknown = 0
    for attempt in range(100):
        outcomes = await asyncio.gather(
            *(producer.send(Record(f"{topic_prefix}t", b"k", bytes(1000)), deadline=soon(0.02)) for _ in range(1000)),
            return_exceptions=True,
        )
        unknown += sum(isinstance(outcome, UnknownOutcomeError) for outcome in outcomes)
        refused += sum(isinstance(outcome, UnavailableError) for outcome in outcomes)
        if attempt % 10 == 0:
            gc.collect()  # errors and their frames are cycles; in a process of many tests it comes to them late
    assert refused == 100_000 and unknown <= 5000
    assert memory() - idle < 50 * 1024 * 1024
    await producer.close(deadline=soon(0.5))


async def test_everything_acknowledged_survives_kills_of_the_broker_in_order(
    kafka_broker: Kafka | Tansu, topic_prefix: str, join: Join
) -> None:
    name = f"{topic_prefix}t"
    settings = await made(kafka_broker, name)
    producer = Producer(settings)
    acknowledged: dict[bytes, int] = {}
    stopped = asyncio.Event()

    async def tell(key: bytes) -> None:
        for number in itertools.count():
            while True:  # as an outbox does: the same record until it is acknowledged
                try:
                    await producer.send(Record(name, key, b"%d" % number), deadline=soon(1))
                    break
                except UnavailableError:
                    await asyncio.sleep(0.05)
            acknowledged[key] = number
            if stopped.is_set():
                return

    member = join(f"{name}.readers", [name], on=settings)
    tasks = [asyncio.create_task(tell(b"case-%d" % number)) for number in range(16)]
    for _ in range(2):
        seen = sum(acknowledged.values())
        while sum(acknowledged.values()) < seen + 500:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(kafka_broker.kill)
        await asyncio.sleep(1.5)  # some deadlines pass
        await asyncio.to_thread(kafka_broker.restart)
    seen = sum(acknowledged.values())
    while sum(acknowledged.values()) < seen + 500:
        await asyncio.sleep(0.01)
    stopped.set()
    await asyncio.gather(*tasks)
    order: dict[bytes, dict[int, None]] = defaultdict(dict)

    def everything() -> bool:
        for record in member.received:
            order[record.key].setdefault(int(record.value))
        return all(number in order[key] for key, number in acknowledged.items())

    await member.until(everything)
    assert {key: list(numbers) for key, numbers in order.items()} == {
        key: list(range(number + 1)) for key, number in acknowledged.items()
    }
    await producer.close(deadline=soon())


async def test_what_waited_while_the_broker_was_away_arrives_when_it_is_back(
    kafka_broker: Kafka | Tansu, topic_prefix: str, join: Join
) -> None:
    name = f"{topic_prefix}t"
    settings = await made(kafka_broker, name)
    producer = Producer(settings)
    await producer.send(Record(name, b"k", b"before"), deadline=soon())
    kafka_broker.kill()
    with pytest.raises(UnknownOutcomeError):
        await producer.send(Record(name, b"k", b"meanwhile"), deadline=soon(0.5))
    await asyncio.to_thread(kafka_broker.restart)
    await producer.send(Record(name, b"k", b"after"), deadline=soon())
    member = join(f"{name}.readers", [name], on=settings)
    await member.until(lambda: len(member.received) == 3)
    assert [record.value for record in member.received] == [b"before", b"meanwhile", b"after"]
    await producer.close(deadline=soon())


async def test_a_consumer_goes_on_after_its_broker_was_killed(
    kafka_broker: Kafka | Tansu, topic_prefix: str, join: Join
) -> None:
    name = f"{topic_prefix}t"
    settings = await made(kafka_broker, name)
    producer = Producer(settings)
    member = join(f"{name}.readers", [name], on=settings)
    for number in range(3):
        await producer.send(Record(name, b"k", b"%d" % number), deadline=soon())
        await member.until(lambda seen=number: len(member.received) > seen)
        await asyncio.to_thread(kafka_broker.kill)
        await asyncio.to_thread(kafka_broker.restart)
    await producer.send(Record(name, b"k", b"3"), deadline=soon())
    await member.until(lambda: len(member.received) > 3)
    assert [record.value for record in member.received] == [b"0", b"1", b"2", b"3"]
    await producer.close(deadline=soon())


async def test_a_broker_that_freezes_holds_up_nobody_else(
    kafka_broker: Kafka | Tansu, topic_prefix: str, turns: Callable[..., Any]
) -> None:
    name = f"{topic_prefix}t"
    settings = await made(kafka_broker, name)
    producer = Producer(settings)
    await producer.send(Record(name, b"k", b"before"), deadline=soon())
    kafka_broker.pause()
    assert await turns(producer.send(Record(name, b"k", b"meanwhile"), deadline=soon(1)))
    kafka_broker.resume()
    assert (await producer.send(Record(name, b"k", b"after"), deadline=soon())).offset == 2
    await producer.close(deadline=soon())


async def test_a_broker_that_hangs_leaves_the_processor_to_others(
    kafka_broker: Kafka | Tansu, topic_prefix: str, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal rounds
            rounds += 1
            return method(*arguments, **options)

        return call

    name = f"{topic_prefix}t"
    settings = await made(kafka_broker, name)
    impatient = replace(settings, options={"request_timeout_ms": 1000})  # by itself, kafka-python waits 30 s
    producer = Producer(impatient)
    await producer.send(Record(name, b"k", b"before"), deadline=soon())
    member = join(f"{name}.readers", [name], on=settings)
    await member.until(lambda: len(member.received) == 1)
    for name_of in ("poll", "run"):  # of the producer, of the consumer
        monkeypatch.setattr(NetworkSelector, name_of, counted(getattr(NetworkSelector, name_of)))
    kafka_broker.pause()
    with pytest.raises(UnknownOutcomeError):
        await producer.send(Record(name, b"k", b"meanwhile"), deadline=soon(8))  # some heartbeats are due by then
    kafka_broker.resume()
    assert rounds < 50_000  # without sleep they are hundreds of thousands
    await producer.send(Record(name, b"k", b"after"), deadline=soon())
    await producer.close(deadline=soon())


async def test_members_that_wait_for_a_broker_hold_no_more_and_more_of_the_machine(join: Join) -> None:
    producer = Producer(NOWHERE)
    join("nobody", ["t"], on=NOWHERE)
    with pytest.raises(UnknownOutcomeError):
        await producer.send(Record("t", b"k", b"v"), deadline=soon(3))
    before = descriptors()
    await asyncio.sleep(5)  # two more attempts of each
    assert descriptors() <= before + 6  # those of the attempts under way
    await producer.close(deadline=soon(0.5))


async def test_a_consumer_that_waits_for_a_broker_can_be_closed(join: Join) -> None:
    member = join("nobody", ["t"], on=NOWHERE)
    await asyncio.sleep(0.1)
    await member.close()
    assert member.reading.done() and member.received == []


async def test_a_producer_that_gave_its_client_up_makes_another(
    settings: Settings, topics: Topics, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{topic_prefix}gone"
    await topics.create(name, partitions=1, deadline=soon())
    producer = Producer(settings)
    await producer.send(Record(name, None, b"0"), deadline=soon())
    first = producer._sender._client  # pyright: ignore[reportPrivateUsage]
    assert first is not None
    first.give_up()  # as when Kafka has forgotten the producer
    assert (await producer.send(Record(name, None, b"1"), deadline=soon())).offset == 1
    assert producer._sender._client is not first  # pyright: ignore[reportPrivateUsage]
    await producer.close(deadline=soon())
