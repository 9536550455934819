"""Retention: what all groups have settled goes after its time, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Retry
from gatewright.runtime.bus import Bus, Delivery

pytestmark = pytest.mark.not_on("kafka", reason="it is the log's own, and messages there come into it later")

_STORED = sa.text('SELECT "offset" FROM message WHERE topic = \'t\' ORDER BY "offset"')
_POSITION = sa.text("SELECT min(position) FROM cursor WHERE topic = 't'")
BRIEF = SOON.model_copy(update={"partitions": 1, "retention": 0.0})


async def test_what_every_group_has_settled_is_removed_but_for_the_newest(site: Site) -> None:
    bus = await site.bus(t=BRIEF)
    for name in ("one", "other"):
        await bus.subscribe("t", name, Seen())
    for number in range(5):
        await bus.publish("t", number, key="k")
    await until(lambda: _is(site, _POSITION, 5))
    assert await _remove(bus) == 4
    assert await site.query(_STORED) == [(4,)]
    await bus.publish("t", 5, key="k")
    assert await site.query(_STORED) == [(4,), (5,)]


async def test_what_one_group_has_not_settled_stays(site: Site) -> None:
    bus, gate = await site.bus(t=BRIEF), asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.data == 2:
            await gate.wait()

    await bus.subscribe("t", "quick", Seen())
    await bus.subscribe("t", "slow", handle)
    for number in range(5):
        await bus.publish("t", number, key="k")
    await until(lambda: _is(site, _POSITION, 2))
    assert await _remove(bus) == 2
    assert await site.query(_STORED) == [(2,), (3,), (4,)]
    gate.set()


async def test_what_is_parked_stays(site: Site) -> None:
    bus, seen = await site.bus(t=BRIEF.model_copy(update={"attempts": 1000})), Seen()
    removed = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.data < 2 and not removed.is_set():
            raise Retry(after=0.05)
        await seen(delivery)

    await bus.subscribe("t", "g", handle)
    for number in range(4):
        await bus.publish("t", number)
    await until(lambda: _is(site, _POSITION, 4))
    await _remove(bus)
    assert await site.query(_STORED) == [(0,), (1,), (3,)]
    removed.set()
    assert sorted(await seen.wait(4)) == [0, 1, 2, 3]


async def test_what_is_not_old_enough_stays(site: Site) -> None:
    bus, seen = await site.bus(t=BRIEF.model_copy(update={"retention": 3600.0})), Seen()
    await bus.subscribe("t", "g", seen)
    for number in range(3):
        await bus.publish("t", number)
    await until(lambda: _is(site, _POSITION, 3))
    assert await _remove(bus) == 0


async def test_a_group_that_begins_after_messages_were_removed_gets_those_that_are_left(site: Site) -> None:
    bus = await site.bus(t=BRIEF)
    for number in range(5):
        await bus.publish("t", number, key="k")
    assert await _remove(bus) == 4
    seen = Seen()
    await bus.subscribe("t", "late", seen)
    assert await seen.wait(1) == [4]
    await bus.publish("t", 5, key="k")
    assert await seen.wait(2) == [4, 5]


async def _remove(bus: Bus) -> int:
    return await bus._main.retention.remove()  # pyright: ignore[reportPrivateUsage]


async def _is(site: Site, query: object, wanted: int) -> bool:
    return await site.query(query) == [(wanted,)]
