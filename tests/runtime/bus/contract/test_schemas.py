"""Typed payloads: checked where they are published and where they are handled; no version makes a group loop."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from pydantic import BaseModel
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Message
from gatewright.agents.errors import UsageError
from gatewright.runtime.bus import Bus
from gatewright.runtime.bus.schemas import Models

_REASONS = sa.text("SELECT reason, detail, attempts FROM dead_letter ORDER BY number")


class Refund(BaseModel):
    amount: int


class RefundInEuro(BaseModel):
    cents: int


MODELS: dict[str, Models] = {"t": {"refund@1.2": Refund, "refund@2.0": RefundInEuro}}


async def test_a_payload_is_handled_as_its_model(site: Site) -> None:
    bus, seen = await site.bus(models=MODELS), Seen()
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", Refund(amount=5))
    await bus.publish("t", {"cents": 500}, type="refund@2.0")
    assert await seen.wait(2) in (
        [Refund(amount=5), RefundInEuro(cents=500)],
        [RefundInEuro(cents=500), Refund(amount=5)],
    )
    assert {delivery.message.type for delivery in seen.deliveries} == {"refund@1.2", "refund@2.0"}


@pytest.mark.parametrize("minor", ["refund@1.0", "refund@1", "refund@1.9"])
async def test_minor_versions_pass(site: Site, minor: str) -> None:
    bus, seen = await site.bus(models=MODELS), Seen()
    await bus.subscribe("t", "g", seen)
    await (await site.bus()).publish("t", {"amount": 5, "new": True}, type=minor)
    assert await seen.wait(1) == [Refund(amount=5)]


@pytest.mark.parametrize(
    ("type_", "data", "reason"),
    [
        ("refund@3.0", {"amount": 5}, "type 'refund@3.0' is unknown; topic 't' takes ['refund@1', 'refund@2']"),
        ("refund", {"amount": 5}, "type 'refund' is unknown"),
        ("refund@1.2", {"amount": "much"}, "the payload is no 'refund@1.2': amount: Input should be a valid integer"),
        ("refund@1.2", None, "the payload is no 'refund@1.2'"),
    ],
)
async def test_what_the_topic_does_not_take_is_dead_at_once_and_the_next_one_is_handled(
    site: Site, type_: str, data: object, reason: str
) -> None:
    bus, seen = await site.bus(models=MODELS), Seen()
    await (await site.bus()).publish("t", Message(source="elsewhere", type=type_, data=data, key="k"))
    await bus.publish("t", Refund(amount=1), key="k")
    await bus.subscribe("t", "g", seen)
    assert await seen.wait(1) == [Refund(amount=1)]

    async def dead() -> bool:
        return bool(await site.query(_REASONS))

    await until(dead)
    ((found, detail, attempts),) = await site.query(_REASONS)
    assert (found, attempts) == ("invalid", 1)
    assert reason in detail


async def test_what_the_topic_does_not_take_cannot_be_published(site: Site) -> None:
    bus = await site.bus(models=MODELS)
    with pytest.raises(UsageError, match="topic 't' does not take this: type 'refund@9' is unknown"):
        await bus.publish("t", {"amount": 5}, type="refund@9")
    with pytest.raises(UsageError, match="amount: Input should be a valid integer"):
        await bus.publish("t", {"amount": "much"}, type="refund@1.2")

    class Other(BaseModel):
        pass

    with pytest.raises(UsageError, match="takes no Other"):
        await bus.publish("t", Other())


async def test_a_reply_is_written_as_its_model(site: Site) -> None:
    bus = await site.bus(models=MODELS)

    async def handle(_: object) -> RefundInEuro:
        return RefundInEuro(cents=7)

    await bus.subscribe("t", "g", handle)
    reply = await bus.request("t", Refund(amount=1), timeout=60)
    assert (reply.type, reply.data) == ("refund@2.0", {"cents": 7})


async def test_models_can_be_named_by_the_configuration(site: Site) -> None:
    topic = SOON.model_copy(update={"schemas": {"note@1.0": "gatewright.runtime.bus.views:LagView"}})
    bus: Bus = await site.bus(t=topic)
    with pytest.raises(UsageError, match="does not take this"):
        await bus.publish("t", {"topic": 1}, type="note@1.0")


@pytest.mark.parametrize("place", ["nowhere:Model", "json:loads", "json", "json:nothing"])
async def test_a_model_that_is_not_there_is_named(site: Site, place: str) -> None:
    bus = await site.bus(t=SOON.model_copy(update={"schemas": {"note@1.0": place}}))
    with pytest.raises(UsageError, match=f"schema 'note@1.0' of topic 't' is '{place}'"):
        await bus.publish("t", {}, type="note@1.0")
