"""Requests: answered once, by a deadline that everybody who is asked in turn shares."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import Seen, Site, until

from gatewright.agents import Message, Retry
from gatewright.runtime.bus import Delivery

_REASONS = sa.text("SELECT DISTINCT reason FROM dead_letter")
_REPLIES = sa.text("SELECT count(*) FROM message WHERE topic = 'gatewright.replies'")


async def test_what_a_handler_returns_is_the_reply(site: Site) -> None:
    bus = await site.bus()
    await bus.subscribe("t", "g", _echo)
    reply = await bus.request("t", {"n": 1}, key="k", timeout=60)
    assert reply.data == {"said": {"n": 1}}


async def test_a_reply_names_what_it_answers(site: Site) -> None:
    bus, seen = await site.bus(), Seen(_echo)
    await bus.subscribe("t", "g", seen)
    reply = await bus.request("t", 1, type="ask@1.0", timeout=60)
    request = seen.deliveries[0].message
    assert (reply.correlation_id, reply.causation_id, reply.type) == (request.id, request.id, "ask@1.0.reply")


async def test_a_whole_message_is_a_reply_too(site: Site) -> None:
    bus = await site.bus()

    async def handle(_: Delivery) -> Message:
        return Message(source="desk", type="answer@2.0", data=[1])

    await bus.subscribe("t", "g", handle)
    reply = await bus.request("t", 1, timeout=60)
    assert (reply.source, reply.type, reply.data) == ("desk", "answer@2.0", [1])


async def test_many_requests_get_their_own_replies(site: Site) -> None:
    bus = await site.bus()
    await bus.subscribe("t", "g", _echo)
    replies = await asyncio.gather(*(bus.request("t", n, key=f"k{n % 5}", timeout=60) for n in range(50)))
    assert [reply.data["said"] for reply in replies] == list(range(50))


@pytest.mark.not_on("memory", "sqlite", "kafka", reason="processes share only PostgreSQL")
async def test_a_request_is_answered_by_another_process(site: Site) -> None:
    asking, answering = await site.bus(), await site.bus()
    member = await answering.subscribe("t", "g", _echo)
    await until(lambda: len(member.held) == 64)
    replies = await asyncio.gather(*(asking.request("t", n, key=f"k{n}", timeout=60) for n in range(20)))
    assert [reply.data["said"] for reply in replies] == list(range(20))


async def test_nobody_answers_by_the_deadline(site: Site) -> None:
    bus = await site.bus()
    with pytest.raises(TimeoutError, match="nobody answered request .* on topic 't' by"):
        await bus.request("t", 1, timeout=0.1)


async def test_a_request_whose_caller_has_given_up_is_not_started(site: Site) -> None:
    bus, seen, patience = await site.bus(), Seen(), 0.1
    await bus.create("t")
    while await site.published("t") == 0:  # a slow machine may not store the request by its deadline
        patience *= 2
        with pytest.raises(TimeoutError):
            await bus.request("t", 1, timeout=patience)
    await bus.subscribe("t", "g", seen)
    await until(lambda: _is(site, _REASONS, [("expired",)]))
    assert seen.data == []


async def test_a_late_reply_is_kept_in_the_log_and_given_to_nobody(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    bus = await site.bus()
    begun, gate = asyncio.Event(), asyncio.Event()

    async def handle(delivery: Delivery) -> object:
        begun.set()
        await gate.wait()
        return delivery.data

    await bus.subscribe("t", "g", handle)
    caplog.set_level("INFO", logger="gatewright")
    asking = asyncio.create_task(bus.request("t", 1, timeout=60))
    await begun.wait()
    asking.cancel()  # as its deadline would do it, at a moment that is known
    await asyncio.wait([asking])
    gate.set()
    await until(lambda: _is(site, _REPLIES, [(1,)]))
    await until(lambda: "came too late" in caplog.text)


async def test_a_request_made_by_a_handler_does_not_outlive_the_one_it_handles(site: Site) -> None:
    bus = await site.bus()
    deadlines: list[datetime | None] = []

    async def middle(delivery: Delivery) -> Any:
        deadlines.append(delivery.deadline)
        return (await bus.request("inner", delivery.data, timeout=3600)).data

    async def inner(delivery: Delivery) -> Any:
        deadlines.append(delivery.deadline)
        return "answered"

    await bus.subscribe("t", "g", middle)
    await bus.subscribe("inner", "g", inner)
    before = datetime.now(UTC)
    assert (await bus.request("t", 1, timeout=30)).data == "answered"
    outer, nested = deadlines
    assert outer is not None and nested is not None
    assert nested <= outer <= before + timedelta(seconds=31)


async def test_a_request_that_fails_once_is_answered_at_the_second_attempt(site: Site) -> None:
    bus = await site.bus()

    async def handle(delivery: Delivery) -> int:
        if delivery.attempt == 1:
            raise Retry(after=0)
        return delivery.attempt

    await bus.subscribe("t", "g", handle)
    assert (await bus.request("t", 1, timeout=60)).data == 2


async def test_what_is_published_while_handling_carries_cause_and_correlation(site: Site) -> None:
    bus, seen = await site.bus(), Seen()

    async def handle(delivery: Delivery) -> None:
        delivery.publish("next", 1)
        await bus.publish("next", 2)

    await bus.subscribe("t", "g", handle)
    await bus.subscribe("next", "g", seen)
    given = Message(source="s", type="t", data=0, tenant="acme", traceparent="00-a-b-01", correlation_id="case")
    await bus.publish("t", given)
    await seen.wait(2)
    for delivery in seen.deliveries:
        message = delivery.message
        assert (message.causation_id, message.correlation_id) == (given.id, "case")
        assert (message.tenant, message.traceparent) == ("acme", "00-a-b-01")


async def _echo(delivery: Delivery) -> object:
    return {"said": delivery.data}


async def _is(site: Site, query: object, wanted: object) -> bool:
    return await site.query(query) == wanted
