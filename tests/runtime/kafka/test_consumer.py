"""The consumer on a broker that works; `test_outages` has the others."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.kafka import Consumer, Partition, Producer, Record, Settings, Topics, polling

Join = Callable[..., Any]


def soon() -> float:
    return time.monotonic() + 60


async def send(producer: Producer, topic: str, count: int, *, partition: int | None = None, start: int = 0) -> None:
    records = [
        Record(topic, b"case-%d" % (number % 40), b"%d" % number, partition=partition)
        for number in range(start, start + count)
    ]
    await producer.send_many(records, deadline=soon())


def values(member: Any) -> list[int]:
    return [int(record.value) for record in member.received]


async def test_all_partitions_are_read_from_the_beginning(producer: Producer, topic: str, join: Join) -> None:
    await send(producer, topic, 500)
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == 500)
    assert sorted(values(member)) == list(range(500))
    assert member.owned == {Partition(topic, number) for number in range(4)}


async def test_a_batch_holds_one_partition_in_the_order_of_offsets(producer: Producer, topic: str, join: Join) -> None:
    await send(producer, topic, 500)
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.received) == 500)
    for batch in member.batches:
        offsets = [record.offset for record in batch.records]
        assert {(record.topic, record.partition) for record in batch.records} == {batch.partition}
        assert offsets == sorted(offsets) and batch.following == offsets[-1] + 1


async def test_the_owners_position_wins_over_what_was_committed(
    producer: Producer, topics: Topics, topic: str, join: Join
) -> None:
    await send(producer, topic, 20, partition=1)
    first = join(f"{topic}.readers", [topic])
    await first.until(lambda: len(first.received) == 20)
    await first.close()
    assert (await topics.committed(f"{topic}.readers", deadline=soon()))[Partition(topic, 1)] == 20
    second = join(f"{topic}.readers", [topic], {Partition(topic, 1): 15})
    await second.until(lambda: len(second.received) == 5)
    assert [record.offset for record in second.received] == [15, 16, 17, 18, 19]


async def test_what_was_committed_does_not_count_without_a_position(producer: Producer, topic: str, join: Join) -> None:
    await send(producer, topic, 20, partition=1)
    first = join(f"{topic}.readers", [topic])
    await first.until(lambda: len(first.received) == 20)
    await first.close()
    second = join(f"{topic}.readers", [topic])
    await second.until(lambda: len(second.received) == 20)
    assert values(second) == list(range(20))


async def test_nothing_comes_before_the_owner_has_given_the_position(
    settings: Settings, producer: Producer, topic: str
) -> None:
    await send(producer, topic, 10, partition=0)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def assigned(partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        asked.set()
        await answer.wait()
        return {Partition(topic, 0): 7}

    async def revoked(partitions: Sequence[Partition]) -> None:
        pass

    consumer = Consumer(
        settings, group=f"{topic}.readers", topics=[topic], assigned=assigned, revoked=revoked, session=2.0
    )
    batches = consumer.batches()
    first = asyncio.ensure_future(anext(batches))
    await asyncio.wait_for(asked.wait(), 60)
    done, _ = await asyncio.wait([first], timeout=0.5)
    assert not done
    answer.set()
    (batch,) = await asyncio.wait_for(first, 60)
    assert [record.offset for record in batch.records] == [7, 8, 9]
    await consumer.close(deadline=soon())


async def test_reading_from_the_latest_record_leaves_out_what_was_there(
    producer: Producer, topic: str, join: Join
) -> None:
    await send(producer, topic, 50)
    member = join(f"{topic}.readers", [topic], reset="latest")
    await member.until(lambda: len(member.owned) == 4)
    number = 1000
    while not member.received:  # until the ends have been looked up
        await send(producer, topic, 1, start=number)
        number += 1
        await asyncio.sleep(0.05)
    assert min(values(member)) >= 1000


async def test_without_a_position_reading_can_be_refused(topic: str, join: Join) -> None:
    member = join(f"{topic}.readers", [topic], reset="error")
    with pytest.raises(UnavailableError, match="there is no position"):
        await asyncio.wait_for(member.reading, 60)


async def test_a_position_beyond_the_end_can_be_an_error(producer: Producer, topic: str, join: Join) -> None:
    await send(producer, topic, 5, partition=0)
    positions = {Partition(topic, number): 100 for number in range(4)}
    member = join(f"{topic}.readers", [topic], positions, reset="error")
    with pytest.raises(UnavailableError, match="is not there any more"):
        await asyncio.wait_for(member.reading, 60)


async def test_a_position_beyond_the_end_is_said_and_reading_begins_again(
    producer: Producer, topic: str, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    await send(producer, topic, 5, partition=0)
    member = join(f"{topic}.readers", [topic], {Partition(topic, 0): 100})
    await member.until(lambda: len(member.received) == 5)
    assert any("are not there any more" in message for message in caplog.messages)


async def test_buffers_are_bounded_and_drain_on_release(producer: Producer, topic: str, join: Join) -> None:
    numbered: list[Record] = []
    for number in range(5000):  # 5 MB in five fetches
        numbered.append(Record(topic, None, b"%d" % number + bytes(1000), partition=2))
    await producer.send_many(numbered, deadline=soon())
    member = join(f"{topic}.readers", [topic], records=100, hold=True)
    await member.until(lambda: len(member.received) >= 100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await member.until(lambda: len(member.received) > 4000)  # the bound, and one fetch on top of it
    member.hold = False
    for batch in member.batches:
        member.consumer.release(batch)
    await member.until(lambda: len(member.received) == 5000)
    assert [int(record.value.rstrip(b"\0")) for record in member.received] == list(range(5000))


async def test_partitions_that_were_full_together_all_go_on(producer: Producer, topic: str, join: Join) -> None:
    for number in range(4):
        await send(producer, topic, 3000, partition=number)
    member = join(f"{topic}.readers", [topic], records=10)
    await member.until(lambda: len(member.received) == 12_000)
    await send(producer, topic, 400, start=3000)
    await member.until(lambda: len(member.received) == 12_400)


async def test_all_partitions_together_are_bounded(
    producer: Producer, topic: str, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "HELD_MOST", 100_000)
    member = join(f"{topic}.readers", [topic], hold=True)
    await member.until(lambda: len(member.owned) == 4)
    numbered = [Record(topic, None, b"%d" % number + bytes(1000), partition=number % 4) for number in range(100)]
    await producer.send_many(numbered, deadline=soon())
    await member.until(lambda: len(member.received) == 100)  # no partition by itself is full
    await producer.send_many(numbered, deadline=soon())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await member.until(lambda: len(member.received) > 100)
    member.hold = False
    for batch in member.batches:
        member.consumer.release(batch)
    await member.until(lambda: len(member.received) == 200)


async def test_a_partition_that_is_full_does_not_hold_up_another(producer: Producer, topic: str, join: Join) -> None:
    await send(producer, topic, 1000, partition=0)
    member = join(f"{topic}.readers", [topic], records=10, hold=True)
    await member.until(lambda: len(member.received) > 10)
    await send(producer, topic, 5, partition=3, start=5000)
    await member.until(lambda: any(record.partition == 3 for record in member.received))


async def test_a_member_that_is_slow_stays_in_its_group(producer: Producer, topic: str, join: Join) -> None:
    await send(producer, topic, 100, partition=0)
    member = join(f"{topic}.readers", [topic], records=10, hold=True)
    await member.until(lambda: len(member.received) > 10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):  # more than two sessions
            await member.until(lambda: bool(member.lost))


async def test_joining_a_group_may_take_longer_than_a_poll(
    producer: Producer, topic: str, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "SLICE", 1)  # in which no group is joined
    monkeypatch.setattr(polling, "SHORT_SLICE", 1)
    await send(producer, topic, 100)
    members = [join(f"{topic}.readers", [topic], positions) for positions in [dict[Partition, int]()] for _ in range(3)]
    await members[0].until(lambda: sum(len(member.received) for member in members) >= 100)
    await members[0].until(lambda: all(member.owned for member in members))


async def test_two_members_share_partitions_and_lose_nothing(producer: Producer, topic: str, join: Join) -> None:
    positions: dict[Partition, int] = {}
    first = join(f"{topic}.readers", [topic], positions)
    await send(producer, topic, 400)
    await first.until(lambda: len(first.received) == 400)
    second = join(f"{topic}.readers", [topic], positions)
    await second.until(lambda: len(second.owned) == 2)
    await first.until(lambda: len(first.owned) == 2)
    assert first.owned.isdisjoint(second.owned)
    await send(producer, topic, 400, start=400)
    await first.until(lambda: len(first.received) + len(second.received) >= 800)
    await second.close()
    await first.until(lambda: len(first.owned) == 4)
    await send(producer, topic, 400, start=800)
    await first.until(lambda: len(first.received) + len(second.received) >= 1200)
    counts = Counter(values(first) + values(second))
    assert counts == Counter(range(1200))
    order: dict[Any, list[int]] = defaultdict(list)
    for record in sorted(first.received + second.received, key=lambda found: (found.partition, found.offset)):
        order[record.key].append(int(record.value))
    assert all(numbers == sorted(numbers) for numbers in order.values())


async def test_the_owner_may_use_the_bus_while_it_lets_go(
    settings: Settings, producer: Producer, topic: str, join: Join
) -> None:
    lost: list[Partition] = []

    async def assigned(partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        return {}

    async def revoked(partitions: Sequence[Partition]) -> None:
        await producer.send(Record(topic, b"k", b"1"), deadline=soon())  # kafka-python would refuse to block here
        lost.extend(partitions)

    consumer = Consumer(
        settings, group=f"{topic}.readers", topics=[topic], assigned=assigned, revoked=revoked, session=2.0
    )
    await send(producer, topic, 1)
    assert await asyncio.wait_for(anext(consumer.batches()), 60)
    second = join(f"{topic}.readers", [topic])
    await second.until(lambda: len(second.owned) == 2)
    assert len(lost) == 2
    await consumer.close(deadline=soon())
    assert len(lost) == 4


async def test_batches_of_a_lost_partition_are_dropped_and_their_release_ignored(
    producer: Producer, topic: str, join: Join
) -> None:
    await send(producer, topic, 400)
    first = join(f"{topic}.readers", [topic], hold=True)
    await first.until(lambda: len(first.received) == 400)
    second = join(f"{topic}.readers", [topic], hold=True)
    await second.until(lambda: len(second.owned) == 2)
    for batch in first.batches:
        assert first.consumer.holds(batch) == (batch.partition in first.owned)
        first.consumer.release(batch)
    await second.close()
    await first.until(lambda: len(first.owned) == 4)
    again = [batch for batch in first.batches if batch.partition in first.lost]
    await first.until(lambda: len(first.received) >= 400 + sum(len(batch.records) for batch in again[:1]))
    old, new = again[0], first.batches[-1]
    assert new.epoch > old.epoch and not first.consumer.holds(old) and first.consumer.holds(new)


async def test_an_error_of_the_owner_ends_the_consumer(settings: Settings, topic: str) -> None:
    async def assigned(partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        raise UnavailableError("the database is away")

    async def revoked(partitions: Sequence[Partition]) -> None:
        pass

    consumer = Consumer(
        settings, group=f"{topic}.readers", topics=[topic], assigned=assigned, revoked=revoked, session=2.0
    )
    with pytest.raises(UnavailableError, match="the database is away"):
        await asyncio.wait_for(anext(consumer.batches()), 60)
    await consumer.close(deadline=soon())


async def test_closing_ends_the_iteration(topic: str, join: Join) -> None:
    member = join(f"{topic}.readers", [topic])
    await member.until(lambda: len(member.owned) == 4)
    await member.close()
    assert member.reading.done() and not member.owned


async def test_the_committed_offset_follows_what_was_released(
    producer: Producer, topics: Topics, topic: str, join: Join
) -> None:
    await send(producer, topic, 10, partition=0)
    member = join(f"{topic}.readers", [topic], hold=True)
    await member.until(lambda: len(member.received) == 10)
    member.consumer.release(member.batches[0], following=4)
    await member.close()
    assert (await topics.committed(f"{topic}.readers", deadline=soon())) == {Partition(topic, 0): 4}


async def test_a_consumer_of_no_topics_is_refused(settings: Settings) -> None:
    async def assigned(partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        return {}

    async def revoked(partitions: Sequence[Partition]) -> None:
        pass

    with pytest.raises(UsageError, match="reads no topics"):
        Consumer(settings, group="g", topics=[], assigned=assigned, revoked=revoked)
