"""Exactly once in the database: what a handler publishes, and what it has done in the settling transaction."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Reject, Retry
from gatewright.agents.errors import UsageError
from gatewright.runtime.bus import Delivery, Topic
from gatewright.runtime.store.writer import Transaction

_NOTE = sa.text("INSERT INTO duty (name, holder) VALUES (:name, :holder)")
_NOTES = sa.text("SELECT name, holder FROM duty ORDER BY name")
_PARKED = sa.text("SELECT count(*) FROM parked")
_REASONS = sa.text("SELECT reason, detail FROM dead_letter")


async def test_what_an_acknowledged_handler_published_is_there(site: Site) -> None:
    bus, seen = await site.bus(), Seen()

    async def handle(delivery: Delivery) -> None:
        delivery.publish("next", delivery.data, key=delivery.key)

    await bus.subscribe("next", "g", seen)
    await bus.subscribe("t", "g", handle)
    for number in range(20):
        await bus.publish("t", number, key="k")
    assert await seen.wait(20) == list(range(20))


@pytest.mark.parametrize("error", [Retry(after=3600), Reject("no"), ValueError("oh")])
async def test_what_a_failed_handler_published_is_not(site: Site, error: Exception) -> None:
    bus = await site.bus(t=SOON.model_copy(update={"attempts": 2, "backoff": 3600.0, "longest_backoff": 3600.0}))

    async def handle(delivery: Delivery) -> None:
        delivery.publish("next", 1)
        raise error

    await bus.subscribe("t", "g", handle)
    await bus.publish("t", 1)

    async def settled() -> bool:
        return await site.query(_PARKED) == [(1,)] or bool(await site.query(_REASONS))

    await until(settled)
    assert await site.published("next") == 0


async def test_what_is_to_be_done_with_the_acknowledgement_is_done_once(site: Site) -> None:
    bus = await site.bus()

    async def handle(delivery: Delivery) -> None:
        delivery.transact(lambda tx: tx.run(_NOTE, name=f"n{delivery.data}", holder=delivery.id))
        delivery.publish("next", delivery.data)

    await bus.subscribe("t", "g", handle)
    messages = await asyncio.gather(*(bus.publish("t", number, key=f"k{number % 3}") for number in range(9)))
    wanted = [(f"n{number}", message.id) for number, message in enumerate(messages)]
    await until(lambda: _is(site, _NOTES, wanted))
    assert await site.published("next") == 9


async def test_what_raises_there_counts_as_a_failed_attempt_and_leaves_nothing(site: Site) -> None:
    bus = await site.bus()

    def work(transaction: Transaction) -> None:
        transaction.run(_NOTE, name="left behind", holder="x")
        raise ValueError("not today")

    async def handle(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            delivery.transact(work)
        else:
            delivery.transact(lambda tx: tx.run(_NOTE, name="second", holder="x"))

    await bus.subscribe("t", "g", handle)
    await bus.publish("t", 1, key="k")
    await until(lambda: _is(site, _NOTES, [("second", "x")]))


async def test_rejecting_there_makes_a_dead_letter(site: Site) -> None:
    bus = await site.bus()

    def work(_: Transaction) -> None:
        raise Reject("no such account")

    async def handle(delivery: Delivery) -> None:
        delivery.transact(work)

    await bus.subscribe("t", "g", handle)
    await bus.publish("t", 1)
    await until(lambda: _is(site, _REASONS, [("rejected", "no such account")]))


@pytest.mark.not_on("memory", reason="all topics are in memory there")
async def test_a_topic_in_memory_reaches_durable_topics_and_back(site: Site) -> None:
    bus, seen = await site.bus(fast=Topic(durability="memory")), Seen()

    async def to_fast(delivery: Delivery) -> None:
        delivery.publish("fast", delivery.data)

    async def to_durable(delivery: Delivery) -> None:
        delivery.publish("next", delivery.data)

    await bus.subscribe("t", "g", to_fast)
    await bus.subscribe("fast", "g", to_durable)
    await bus.subscribe("next", "g", seen)
    await bus.publish("t", "there and back")
    assert await seen.wait(1) == ["there and back"]
    assert await site.query(sa.text("SELECT count(*) FROM message WHERE topic = 'fast'")) == [(0,)]
    assert (await bus.request("t", 1, timeout=60)).data is None


async def test_a_topic_in_memory_takes_no_part_in_other_operations(site: Site) -> None:
    bus = await site.bus(fast=Topic(durability="memory"))
    with pytest.raises(UsageError, match="'fast' keeps its messages in memory"):
        site.writer.submit(lambda tx: bus.put(tx, "fast", 1)).result()


async def _is(site: Site, query: object, wanted: object) -> bool:
    return await site.query(query) == wanted
