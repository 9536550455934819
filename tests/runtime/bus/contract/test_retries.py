"""Retries: a message that fails is given again, and its key waits, not its partition."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Retry
from gatewright.agents.envelopes import partition_of
from gatewright.runtime.bus import Delivery, Topic

_PARKED = sa.text('SELECT key, attempts, due_at IS NULL FROM parked ORDER BY "offset"')
_POSITIONS = sa.text("SELECT sum(position) FROM cursor WHERE topic = 't'")
ONE_PARTITION = SOON.model_copy(update={"partitions": 1})


async def test_a_failed_message_is_given_again_with_its_attempt_counted(site: Site) -> None:
    bus = await site.bus()

    async def handle(delivery: Delivery) -> None:
        if delivery.attempt < 3:
            raise ValueError("not yet")

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", "x", key="k")
    await seen.wait(3)
    assert [delivery.attempt for delivery in seen.deliveries] == [1, 2, 3]
    assert [delivery.message.attempt for delivery in seen.deliveries] == [1, 2, 3]
    await until(lambda: _is(site, _PARKED, []))


async def test_later_messages_of_the_key_wait_and_others_of_the_partition_do_not(site: Site) -> None:
    bus = await site.bus(t=ONE_PARTITION.model_copy(update={"attempts": 1000}))  # it is not given up meanwhile
    mended = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.data == "bad-1" and not mended.is_set():
            raise Retry(after=0.05)

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    for data in ("bad-1", "bad-2", "bad-3"):
        await bus.publish("t", data, key="bad")
    for number in range(10):
        await bus.publish("t", f"good-{number}", key=f"good-{number}")
    await until(lambda: sum(data.startswith("good") for data in seen.data) == 10)
    assert "bad-2" not in seen.data
    mended.set()
    await until(lambda: "bad-3" in seen.data)
    assert [data for data in seen.data if data in ("bad-2", "bad-3")] == ["bad-2", "bad-3"]
    assert seen.data.index("bad-2") > max(place for place, data in enumerate(seen.data) if data == "bad-1")
    await until(lambda: _is(site, _PARKED, []))


async def test_the_position_goes_past_what_is_parked(site: Site) -> None:
    bus = await site.bus(t=ONE_PARTITION)

    async def handle(delivery: Delivery) -> None:
        if delivery.key == "bad":
            raise Retry(after=3600)

    await bus.subscribe("t", "g", handle)
    for number in range(6):
        await bus.publish("t", number, key="bad" if number % 2 == 0 else "good")
    await until(lambda: _is(site, _POSITIONS, [(6,)]))
    assert await site.query(_PARKED) == [("bad", 1, False), ("bad", 0, True), ("bad", 0, True)]


async def test_what_is_parked_is_taken_up_by_the_next_holder_in_order(site: Site) -> None:
    first = await site.bus(t=ONE_PARTITION.model_copy(update={"attempts": 1000}))

    async def fails(_: Delivery) -> None:
        raise Retry(after=0.3)

    member = await first.subscribe("t", "g", fails)
    for number in range(4):
        await first.publish("t", number, key="k")
    await until(lambda: _is(site, _POSITIONS, [(4,)]))
    await member.close()
    second, seen = await site.bus(t=ONE_PARTITION), Seen()
    await second.subscribe("t", "g", seen)
    assert await seen.wait(4) == [0, 1, 2, 3]
    tried, *others = [delivery.attempt for delivery in seen.deliveries]
    assert tried >= 2  # on a slow machine it was tried again meanwhile
    assert others == [1, 1, 1]


async def test_messages_without_a_key_hold_up_nobody(site: Site) -> None:
    bus = await site.bus(t=ONE_PARTITION)

    async def handle(delivery: Delivery) -> None:
        if delivery.data == 0 and delivery.attempt == 1:
            raise Retry(after=0.05)

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    for number in range(5):
        await bus.publish("t", number)
    assert sorted(await seen.wait(6)) == [0, 0, 1, 2, 3, 4]


async def test_a_handler_that_takes_too_long_is_stopped_and_tried_again(site: Site) -> None:
    bus = await site.bus(lease=0.3)

    async def handle(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            await asyncio.sleep(3600)

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen, timeout=0.1)
    await bus.publish("t", "x")
    await seen.wait(2)


async def test_a_handler_that_takes_more_time_keeps_its_message(site: Site) -> None:
    bus = await site.bus(lease=1)
    done = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        for _ in range(8):
            delivery.extend()
            await asyncio.sleep(0.2)
        done.set()

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen, timeout=1)  # it takes longer than this, and never so long at a stretch
    await bus.publish("t", "x")
    async with asyncio.timeout(60):
        await done.wait()
    assert len(seen.data) == 1


def test_delays_double_up_to_the_longest_with_jitter() -> None:
    topic = Topic(backoff=1.0, longest_backoff=10.0)
    for attempts, delay in ((1, 1.0), (2, 2.0), (4, 8.0), (5, 10.0), (500, 10.0)):
        assert topic.delay(attempts) == pytest.approx(delay, rel=0.2001)
    assert len({topic.delay(1) for _ in range(10)}) > 1


def test_the_keys_of_these_tests_are_in_different_places() -> None:
    assert partition_of("k0") != partition_of("k1")


async def _is(site: Site, query: object, wanted: object) -> bool:
    return await site.query(query) == wanted
