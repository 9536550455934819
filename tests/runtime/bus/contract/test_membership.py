"""Members of a group: who has which partition, and what somebody may still do who has it no more."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, UnfencedBus, die, freeze, until

from gatewright.runtime.bus import Bus, Delivery, Topic

_TABLE = sa.text("CREATE TABLE effect_seen (data BIGINT, name TEXT)")
_NOTE = sa.text("INSERT INTO effect_seen (data, name) VALUES (:data, :name)")
_NOTES = sa.text("SELECT data, name FROM effect_seen ORDER BY data, name")
_POSITION = sa.text("SELECT sum(position) FROM cursor WHERE topic = 't'")
_DEATHS = sa.text("SELECT max(deaths) FROM cursor WHERE topic = 't'")
_LETTERS = sa.text("SELECT reason, attempts, key, detail FROM dead_letter")
ONE_PARTITION = SOON.model_copy(update={"partitions": 1})


async def test_partitions_are_shared_fairly_as_members_come_and_go(site: Site) -> None:
    buses = [await site.bus() for _ in range(3)]
    members = [await bus.subscribe("t", "g", Seen()) for bus in buses]
    await until(lambda: sorted(len(member.held) for member in members) in ([20, 22, 22], [21, 21, 22]))
    assert frozenset().union(*(member.held for member in members)) == frozenset(range(64))
    await members[0].close()
    await until(lambda: [len(member.held) for member in members[1:]] == [32, 32])


async def test_what_a_closing_member_hands_back_is_taken_without_waiting_for_its_lease(site: Site) -> None:
    one, other = await site.bus(lease=60.0), await site.bus(lease=60.0)
    seen = Seen()
    member = await one.subscribe("t", "g", Seen())
    await until(lambda: len(member.held) == 64)
    await one.publish("t", 1)
    await member.close()
    await other.subscribe("t", "g", seen)
    await one.publish("t", 2)
    await seen.wait(1)


async def test_the_partitions_of_a_dead_member_are_taken_when_its_lease_is_over(site: Site) -> None:
    one, other = await site.bus(t=ONE_PARTITION), await site.bus(t=ONE_PARTITION)
    begun = asyncio.Event()

    async def hangs(_: Delivery) -> None:
        begun.set()
        await asyncio.sleep(3600)

    member, seen = await one.subscribe("t", "g", hangs), Seen()
    await one.publish("t", 1)
    await begun.wait()
    await die(member)
    await other.subscribe("t", "g", seen)
    assert await seen.wait(1) == [1]
    assert await site.query(_DEATHS) == [(1,)]


@pytest.mark.not_on("kafka", reason="there nobody works alone")
async def test_whoever_works_alone_takes_over_at_once(site: Site) -> None:
    one, seen = await site.bus(lease=3600.0), Seen()
    member = await one.subscribe("t", "g", Seen())
    await until(lambda: len(member.held) == 64)
    await die(member)
    await one.publish("t", 1)
    other = Bus(site.database, site.writer, settings={"t": SOON}, lease=3600.0)
    await other.open(alone=True)
    await other.subscribe("t", "g", seen)
    assert await seen.wait(1) == [1]
    await other.close()


@pytest.mark.parametrize(("kind", "wanted"), [(Bus, ["other"]), (UnfencedBus, ["one", "other"])])
async def test_what_a_member_does_that_was_stopped_for_too_long_is_refused(
    site: Site, kind: type[Bus], wanted: list[str]
) -> None:
    """With the fences taken out, the effect is there twice."""
    await site.query_nothing(_TABLE)
    one, other = await site.bus(kind, t=ONE_PARTITION), await site.bus(kind, t=ONE_PARTITION)
    begun, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stopped(delivery: Delivery) -> None:
        delivery.transact(lambda tx: tx.run(_NOTE, data=delivery.data, name="one"))
        begun.set()
        await gate.wait()
        ended.set()

    async def quick(delivery: Delivery) -> None:
        delivery.transact(lambda tx: tx.run(_NOTE, data=delivery.data, name="other"))

    zombie = await one.subscribe("t", "g", stopped)
    await one.publish("t", 7, key="k")
    await begun.wait()
    freeze(zombie)
    await other.subscribe("t", "g", quick)
    await until(lambda: _is(site, _NOTES, [(7, "other")]))
    gate.set()
    await ended.wait()
    await asyncio.sleep(0.3)  # time in which it would be written
    await until(lambda: _names(site, wanted))


@pytest.mark.parametrize(("kind", "wanted"), [(Bus, 3), (UnfencedBus, 1)])
async def test_a_late_acknowledgement_does_not_bring_the_position_back(
    site: Site, kind: type[Bus], wanted: int
) -> None:
    """With the fences taken out, it does: the messages would be given again."""
    one, other = await site.bus(kind, t=ONE_PARTITION), await site.bus(kind, t=ONE_PARTITION)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def stopped(_: Delivery) -> None:
        begun.set()
        await gate.wait()

    zombie = await one.subscribe("t", "g", stopped)
    await one.publish("t", 0, key="k")
    await begun.wait()
    freeze(zombie)
    seen = Seen()
    await other.subscribe("t", "g", seen)
    await other.publish("t", 1, key="k")
    await other.publish("t", 2, key="k")
    await until(lambda: _is(site, _POSITION, [(3,)]))
    zombie._drop(zombie._held[0].lane("k"))  # pyright: ignore[reportPrivateUsage]  # else it would go on with those
    gate.set()
    await asyncio.sleep(0.3)  # time in which it would be written
    await until(lambda: _is(site, _POSITION, [(wanted,)]))


async def test_a_member_that_could_not_renew_begins_nothing_more(site: Site) -> None:
    one = await site.bus(t=ONE_PARTITION)
    first, gate = asyncio.Event(), asyncio.Event()

    async def handle(_: Delivery) -> None:
        first.set()
        await gate.wait()

    seen = Seen(handle)
    member = await one.subscribe("t", "g", seen, concurrency=1)
    await one.publish("t", 0, key="a")
    await first.wait()
    await one.publish("t", 1, key="b")
    attending = member._tasks[-2]  # pyright: ignore[reportPrivateUsage]
    attending.cancel()
    await asyncio.sleep(0.7)  # longer than the lease
    gate.set()
    await until(lambda: not member.held)
    assert seen.data == [0]


async def test_a_message_that_kills_processes_is_found_and_given_up(site: Site) -> None:
    topic = ONE_PARTITION.model_copy(update={"attempts": 3})
    killed = 0

    async def handle(delivery: Delivery) -> None:
        nonlocal killed
        if delivery.data == "killer":
            killed += 1
            poisoned.set()
            await asyncio.sleep(3600)
        if delivery.data == "slow":
            await asyncio.sleep(0.01)

    publisher = await site.bus(t=topic)
    for data in ("good", "killer", "slow", "last"):
        await publisher.publish("t", data, key=data)
    handled, seen = list[str](), Seen()
    for _ in range(9):
        poisoned, seen = asyncio.Event(), Seen(handle)
        bus = await site.bus(t=topic, lease=0.3)
        member = await bus.subscribe("t", "g", seen)
        waiting = [asyncio.create_task(poisoned.wait()), asyncio.create_task(_dead(site))]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        handled += [data for data in seen.data if data not in handled]
        if await site.query(_LETTERS):
            break
        await die(member)
    ((reason, attempts, key, detail),) = await site.query(_LETTERS)
    assert (reason, attempts, key) == ("crash", 3, "killer")
    assert "nothing came of its attempt number 3, which was the last one: meanwhile the process ended" in detail
    assert killed in (5, 6)  # two or three times before anybody suspected it, and then as often as it has attempts
    assert {"good", "slow", "last"} <= set(handled)
    await until(lambda: _is(site, _POSITION, [(4,)]))
    await until(lambda: _is(site, _DEATHS, [(0,)]))
    await publisher.publish("t", "after", key="killer")
    await until(lambda: "after" in seen.data)


async def _dead(site: Site) -> None:
    await until(lambda: _some(site))


async def _names(site: Site, wanted: list[str]) -> bool:
    return [name for _, name in await site.query(_NOTES)] == wanted


async def _some(site: Site) -> bool:
    return bool(await site.query(_LETTERS))


async def test_what_is_read_for_a_partition_that_is_handed_back_is_left_to_its_next_holder(site: Site) -> None:
    publisher = await site.bus(t=ONE_PARTITION)
    bus, seen = await site.bus(t=ONE_PARTITION), Seen()
    member = await bus.subscribe("t", "g", seen)
    await until(lambda: len(member.held) == 1)
    holding = member._held[0]  # pyright: ignore[reportPrivateUsage]
    for number in range(3):
        await publisher.publish("t", number, key="k")
    member.heads({0: 3})  # so it reads
    holding.leaving = True
    await asyncio.sleep(0.1)
    assert (holding.position, holding.next, seen.data) in [(0, 0, []), (3, 3, [0, 1, 2])]
    await member.close()
    if not seen.data:
        await (await site.bus(t=ONE_PARTITION)).subscribe("t", "g", seen)
    assert await seen.wait(3) == [0, 1, 2]


async def test_partitions_of_different_groups_have_nothing_to_do_with_each_other(site: Site) -> None:
    bus = await site.bus(t=Topic(partitions=2))
    members = [await bus.subscribe("t", name, Seen()) for name in ("g", "h")]
    await until(lambda: [len(member.held) for member in members] == [2, 2])


async def _is(site: Site, query: object, wanted: object) -> bool:
    return await site.query(query) == wanted
