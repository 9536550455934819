"""What may have ended a process is suspected, and condemned in the end; what was only there is neither."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, die, until

from gatewright.agents import Retry
from gatewright.agents.errors import UnavailableError
from gatewright.runtime.bus import Bus, Delivery, Handler, Subscription, Topic, parking
from gatewright.runtime.bus.cursors import Group
from gatewright.runtime.bus.parking import Parked, Started
from gatewright.runtime.store.writer import Transaction

ONE_PARTITION = SOON.model_copy(update={"partitions": 1, "attempts": 3})
LONG = 60.0  # seconds of a lease that nobody waits for
INTERRUPTIONS = 6  # more than there are attempts

_OVER = sa.text("UPDATE cursor SET until = 1")
_DEATHS = sa.text("SELECT deaths FROM cursor WHERE topic = 't'")
_SUSPECT = sa.text("UPDATE cursor SET deaths = 5 WHERE topic = 't'")
_TAKE = sa.text("UPDATE cursor SET epoch = epoch + 1, holder = NULL, until = 0 WHERE topic = 't'")
_LEFT = sa.text("SELECT (SELECT count(*) FROM parked), (SELECT position FROM cursor WHERE topic = 't')")
_ATTEMPTS = sa.text("SELECT attempts FROM parked")
_MESSAGES = sa.text("SELECT count(*) FROM message WHERE topic = 't'")
_LETTERS = sa.text("SELECT reason, attempts, key, detail FROM dead_letter")

Start = Callable[[Transaction, Group, Parked], Started | None]
Interruption = Callable[[Transaction, Subscription, asyncio.AbstractEventLoop], object]


@pytest.mark.parametrize("waits", [False, True], ids=["with nothing in it", "with a message that waits for an hour"])
async def test_a_partition_whose_holders_end_while_it_is_idle_makes_nothing_suspect(site: Site, waits: bool) -> None:
    bus = await site.bus(lease=LONG, t=ONE_PARTITION)

    async def handle(delivery: Delivery) -> None:
        if delivery.data == "later":
            raise Retry(after=3600)

    if waits:
        await bus.publish("t", "later", key="later")
    for _ in range(5):
        member = await bus.subscribe("t", "g", handle)
        await until(partial(_holds, member))
        await until(lambda: _is(site, _LEFT, (1, 1) if waits else (0, 0)))
        await die(member)
        await site.query_nothing(_OVER)
    seen = Seen(handle)
    member = await bus.subscribe("t", "g", seen)
    await until(partial(_holds, member))
    assert not member._held[0].careful  # pyright: ignore[reportPrivateUsage]
    assert await site.query(_DEATHS) == [(0,)]
    await bus.publish("t", "new", key="k")
    assert await seen.wait(1) == ["new"]
    assert seen.deliveries[0].attempt == 1


def _lose(transaction: Transaction, member: Subscription, loop: asyncio.AbstractEventLoop) -> None:
    del member, loop
    transaction.run(_TAKE)


def _be_late(transaction: Transaction, member: Subscription, loop: asyncio.AbstractEventLoop) -> None:
    del transaction, loop
    member._lease_end = 0.0  # pyright: ignore[reportPrivateUsage]


def _begin_anew(transaction: Transaction, member: Subscription, loop: asyncio.AbstractEventLoop) -> None:
    del transaction
    loop.call_soon_threadsafe(member._break, UnavailableError("it is away"))  # pyright: ignore[reportPrivateUsage]


def _hand_back(transaction: Transaction, member: Subscription, loop: asyncio.AbstractEventLoop) -> None:
    del transaction
    holding = member._held[0]  # pyright: ignore[reportPrivateUsage]
    holding.leaving = True
    loop.call_soon_threadsafe(member._hand_back, holding)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("interrupt", [_lose, _be_late, _begin_anew, _hand_back])
@pytest.mark.parametrize("careful", [True, False], ids=["one at a time", "again"])
async def test_an_attempt_of_which_nothing_came_is_given_back_by_a_process_that_lives(
    site: Site, monkeypatch: pytest.MonkeyPatch, interrupt: Interruption, careful: bool
) -> None:
    bus, seen = await _counting(site, careful)
    loop, members, left = asyncio.get_running_loop(), list[Subscription](), INTERRUPTIONS
    start: Start = parking.start

    def interrupted(transaction: Transaction, group: Group, parked: Parked) -> Started | None:
        nonlocal left
        started = start(transaction, group, parked)
        if left:
            left -= 1
            interrupt(transaction, members[0], loop)
        return started

    monkeypatch.setattr(parking, "start", interrupted)
    members.append(await bus.subscribe("t", "g", seen))
    await until(lambda: _is(site, _LEFT, (0, 1)))
    assert left == 0
    assert {delivery.attempt for delivery in seen.deliveries} == ({1} if careful else {1, 2})
    assert await site.query(_LETTERS) == []


@pytest.mark.parametrize("careful", [True, False], ids=["one at a time", "again"])
async def test_an_attempt_that_is_interrupted_is_given_back_by_a_process_that_lives(site: Site, careful: bool) -> None:
    interruptions = 0

    async def interrupt(delivery: Delivery) -> None:
        nonlocal interruptions
        if delivery.parked and interruptions < INTERRUPTIONS:
            interruptions += 1
            member._break(UnavailableError("it is away"))  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(3600)

    bus, seen = await _counting(site, careful, interrupt)
    member = await bus.subscribe("t", "g", seen)
    await until(lambda: _is(site, _LEFT, (0, 1)))
    assert interruptions == INTERRUPTIONS
    assert {delivery.attempt for delivery in seen.deliveries} == ({1} if careful else {1, 2})
    assert await site.query(_LETTERS) == []


@pytest.mark.parametrize("careful", [True, False], ids=["one at a time", "again"])
async def test_an_attempt_that_was_counted_while_the_service_closed_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, careful: bool
) -> None:
    bus, seen = await _counting(site, careful)
    loop, start = asyncio.get_running_loop(), parking.start
    counted, going_on = asyncio.Event(), threading.Event()

    def held_up(transaction: Transaction, group: Group, parked: Parked) -> Started | None:
        started = start(transaction, group, parked)
        loop.call_soon_threadsafe(counted.set)
        going_on.wait(20)
        return started

    monkeypatch.setattr(parking, "start", held_up)
    for _ in range(INTERRUPTIONS):
        counted.clear()
        going_on.clear()
        member = await bus.subscribe("t", "g", seen)
        await counted.wait()
        closing = asyncio.create_task(member.close(0.0))
        await asyncio.sleep(0.01)
        going_on.set()
        await closing
        assert await site.query(_ATTEMPTS) == [(0 if careful else 1,)]
    monkeypatch.setattr(parking, "start", start)
    await bus.subscribe("t", "g", seen)
    await until(lambda: _is(site, _LEFT, (0, 1)))
    assert await site.query(_LETTERS) == []


async def test_a_message_that_freezes_processes_beyond_their_leases_is_given_up(site: Site) -> None:
    lease, frozen = 0.2, 0
    taken = site.writer  # opened here, since it is used while the event loop stands still

    async def freeze(delivery: Delivery) -> None:
        nonlocal frozen
        if delivery.data == "freezes":
            frozen += 1
            taken.submit(lambda transaction: transaction.run(_TAKE)).result(20)
            time.sleep(lease)  # noqa: ASYNC251  # this is what it is about

    bus = await site.bus(lease=lease, t=ONE_PARTITION)
    await (await bus.subscribe("t", "g", Seen())).close()
    await bus.publish("t", "freezes", key="k")
    await bus.publish("t", "good", key="k")
    await _arrived(site, 2)
    await site.query_nothing(_SUSPECT)
    seen = Seen(freeze)
    await bus.subscribe("t", "g", seen)
    await until(lambda: "good" in seen.data)
    ((reason, attempts, key, detail),) = await site.query(_LETTERS)
    assert (reason, attempts, key, frozen) == ("crash", 3, "k", 3)
    assert "nothing came of its attempt number 3" in detail and "stood still" in detail


@pytest.mark.not_on("kafka", reason="what is published is another database's affair there")
async def test_a_message_is_given_up_if_the_database_refuses_whatever_comes_of_it(site: Site) -> None:
    other = await site.bus(u=Topic(partitions=2))
    await other.publish("u", "fixes the number of partitions")
    bus = await site.bus(lease=LONG, t=ONE_PARTITION, u=Topic(partitions=3))

    async def handle(delivery: Delivery) -> None:
        if not delivery.parked:
            raise Retry
        delivery.publish("u", "does not take it")

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", "x", key="k")
    await until(lambda: _is(site, _LEFT, (0, 1)))
    ((reason, attempts, _, detail),) = await site.query(_LETTERS)
    assert (reason, attempts) == ("crash", 3)
    assert "the database refused what came of it" in detail
    assert len(seen.data) == 3


async def _counting(site: Site, careful: bool, handle: Handler | None = None) -> tuple[Bus, Seen]:
    """A message whose attempts are counted before they begin: its partition is suspect, or it fails the first time."""
    bus = await site.bus(lease=LONG, t=ONE_PARTITION)
    await (await bus.subscribe("t", "g", Seen())).close()
    await bus.publish("t", "innocent", key="k")
    await _arrived(site, 1)
    if careful:
        await site.query_nothing(_SUSPECT)

    async def fail_first(delivery: Delivery) -> None:
        if not delivery.parked:
            raise Retry
        if handle is not None:
            await handle(delivery)

    return bus, Seen(fail_first)


def _holds(member: Subscription) -> bool:
    return bool(member.held)


async def _arrived(site: Site, count: int) -> None:
    await until(lambda: _is(site, _MESSAGES, (count,)))


async def _is(site: Site, query: sa.TextClause, wanted: tuple[int, ...]) -> bool:
    return await site.query(query) == [wanted]
