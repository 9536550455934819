"""The producer on a broker that works; `test_outages` has the others."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.kafka import Position, Producer, Record, Settings, Topics
from gatewright.runtime.kafka.producer import LARGEST_SUBMISSION
from gatewright.runtime.kafka.sending import LARGEST_RECORD


def soon() -> float:
    return time.monotonic() + 60


async def test_a_record_is_sent_and_its_position_told(producer: Producer, topic: str) -> None:
    first = await producer.send(Record(topic, b"k", b"one", partition=2), deadline=soon())
    second = await producer.send(Record(topic, b"k", b"two", partition=2), deadline=soon())
    assert (first, second) == (Position(topic, 2, 0), Position(topic, 2, 1))


async def test_what_was_sent_is_what_is_read(producer: Producer, topic: str, join: Callable[..., Any]) -> None:
    sent = Record(topic, b"key", b"value", (("ce_id", b"1"), ("ce_id", b"2")), 1, 1_700_000_000_000)
    await producer.send(sent, deadline=soon())
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == 1)
    found = member.received[0]
    assert (found.topic, found.key, found.value, found.partition, found.timestamp) == (
        (sent.topic, sent.key, sent.value, sent.partition, sent.timestamp)
    )
    assert tuple(found.headers) == sent.headers


async def test_a_value_of_none_is_a_deletion(producer: Producer, topic: str, join: Callable[..., Any]) -> None:
    await producer.send(Record(topic, b"key", None), deadline=soon())
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == 1)
    assert member.received[0].value is None


async def test_many_records_keep_the_order_of_their_keys(
    producer: Producer, topic: str, join: Callable[..., Any]
) -> None:
    keys = [b"case-%d" % number for number in range(20)]

    async def tell(key: bytes) -> None:
        for start in range(0, 100, 10):
            records = [Record(topic, key, b"%d" % number) for number in range(start, start + 10)]
            await producer.send_many(records, deadline=soon())

    await asyncio.gather(*(tell(key) for key in keys))
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == 2000)
    order: dict[bytes | None, list[int]] = defaultdict(list)
    for record in member.received:
        order[record.key].append(int(record.value or b""))
    assert order == {key: list(range(100)) for key in keys}


async def test_a_key_goes_where_other_clients_of_kafka_put_it(producer: Producer, topics: Topics, topic: str) -> None:
    # Kafka's own test vectors of murmur2 (clients, UtilsTest.testMurmur2), modulo 4 as DefaultPartitioner does
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, digest in vectors.items():
        position = await producer.send(Record(topic, key, b""), deadline=soon())
        assert position.partition == (digest & 0x7FFFFFFF) % 4


async def test_more_records_than_there_is_room_for_are_sent_in_parts(
    settings: Settings, topic: str, join: Callable[..., Any]
) -> None:
    producer = Producer(settings, records=10)
    records = [Record(topic, b"k", b"%d" % number, partition=0) for number in range(95)]
    await producer.send_many(records, deadline=soon())
    await producer.close(deadline=soon())
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == 95)
    assert [record.value for record in member.received] == [record.value for record in records]


async def test_no_records_are_sent_at_once(producer: Producer) -> None:
    await producer.send_many([], deadline=time.monotonic())


async def test_a_large_submission_keeps_the_order_of_its_partition(
    producer: Producer, topic: str, join: Callable[..., Any]
) -> None:
    count = 2 * LARGEST_SUBMISSION + 1
    records = [Record(topic, None, b"%d" % number, partition=3) for number in range(count)]
    await producer.send_many(records, deadline=soon())
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == count)
    assert [record.value for record in member.received] == [record.value for record in records]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record("t", "key", b""), "takes bytes"),  # type: ignore[arg-type]  # what is tested
        (Record("t", b"", {"a": 1}), "takes bytes"),  # type: ignore[arg-type]
        (Record("t", None, None), "neither a key nor a value"),
        (Record("t", b"", bytes(LARGEST_RECORD)), "at most 1000000"),
        (Record("no topic!", b"", b""), "is no name of a topic"),
    ],
)
async def test_what_is_no_record_is_refused(producer: Producer, record: Record, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        await producer.send(record, deadline=soon())


async def test_a_partition_that_is_not_there_is_refused(producer: Producer, topic: str) -> None:
    with pytest.raises(UsageError, match="has 4 partitions; there is none of number 4"):
        await producer.send(Record(topic, None, b"", partition=4), deadline=soon())


async def test_a_topic_that_nobody_made_is_not_made_by_sending(
    producer: Producer, topics: Topics, topic_prefix: str
) -> None:
    with pytest.raises(UnavailableError, match="Create the topic"):
        await producer.send(Record(f"{topic_prefix}nothing", None, b""), deadline=soon())
    assert f"{topic_prefix}nothing" not in await topics.names(deadline=soon())


async def test_the_loop_is_not_held_up_by_a_topic_that_is_unknown(
    producer: Producer, topic: str, turns: Callable[..., Any]
) -> None:
    await producer.send(Record(topic, None, b""), deadline=soon())
    # kafka-python's own `send` blocks for as long as a topic is looked up
    assert await turns(producer.send(Record(f"{topic}.nothing", None, b""), deadline=soon()))


async def test_what_kafka_rejects_fails_alone_and_for_good(
    settings: Settings, topics: Topics, topic_prefix: str
) -> None:
    name = f"{topic_prefix}small"
    await topics.create(name, partitions=1, configs={"max.message.bytes": "2000"}, deadline=soon())
    producer = Producer(settings)
    with pytest.raises(UsageError, match="rejects"):
        await producer.send(Record(name, None, bytes(5000)), deadline=soon())
    assert await producer.send(Record(name, None, b"small"), deadline=soon()) == Position(name, 0, 0)
    await producer.close(deadline=soon())


async def test_nothing_behind_a_failed_record_arrives_before_it_is_sent_again(
    settings: Settings, topics: Topics, topic_prefix: str, join: Callable[..., Any]
) -> None:
    name = f"{topic_prefix}order"
    await topics.create(name, partitions=1, configs={"max.message.bytes": "2000"}, deadline=soon())
    producer = Producer(settings)
    numbers = [b"%d" % number for number in range(50)]
    wishes = [Record(name, b"k", value if index != 10 else bytes(5000)) for index, value in enumerate(numbers)]
    outcomes = await asyncio.gather(
        *(producer.send(record, deadline=soon()) for record in wishes), return_exceptions=True
    )
    failed = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
    assert failed == list(range(failed[0], 50)) and failed[0] <= 10
    for index in failed:
        await producer.send(Record(name, b"k", numbers[index]), deadline=soon())
    member = join(f"{name}.readers", [name])
    await member.until(lambda: any(record.value == b"49" for record in member.received))
    seen = [record.value for record in member.received]
    assert list(dict.fromkeys(seen)) == numbers  # without repetitions: the order in which they were sent
    await producer.close(deadline=soon())


async def test_a_closed_producer_sends_nothing(settings: Settings, topic: str) -> None:
    producer = Producer(settings)
    await producer.send(Record(topic, None, b""), deadline=soon())
    await producer.close(deadline=soon())
    with pytest.raises(UnavailableError, match="is closed"):
        await producer.send(Record(topic, None, b""), deadline=soon())


async def test_closing_waits_for_what_was_sent(settings: Settings, topic: str) -> None:
    producer = Producer(settings)
    sending = asyncio.create_task(producer.send(Record(topic, None, b"", partition=0), deadline=soon()))
    await asyncio.sleep(0)
    await producer.close(deadline=soon())
    assert await sending == Position(topic, 0, 0)


async def test_a_caller_that_is_cancelled_takes_no_room_away(settings: Settings, topic: str) -> None:
    producer = Producer(settings, records=2)
    for _ in range(5):
        sending = asyncio.create_task(producer.send(Record(topic, None, b""), deadline=soon()))
        await asyncio.sleep(0)
        sending.cancel()
    records = [Record(topic, None, b"x", partition=1)] * 2
    async with asyncio.timeout(60):
        await producer.send_many(records, deadline=soon())
    await producer.close(deadline=soon())
