"""What the database cannot store of a message's outcome makes a dead letter of it, and holds up no other message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Message, Reject, Retry
from gatewright.agents.errors import GatewrightError, UsageError
from gatewright.runtime.bus import Delivery
from gatewright.runtime.bus.log import Entry, Log
from gatewright.runtime.store.writer import Transaction

ONE_PARTITION = SOON.model_copy(update={"partitions": 1, "attempts": 3})
_LETTERS = sa.text("SELECT reason, detail FROM dead_letter")
_LEFT = sa.text("SELECT (SELECT count(*) FROM parked), (SELECT position FROM cursor WHERE topic = 't')")

NUL, SURROGATE = "nul \x00", "surrogate \ud800"


async def test_the_words_of_any_error_become_a_dead_letter(site: Site) -> None:
    bus = await site.bus()
    errors = [error(text) for error in (Reject, ValueError) for text in (NUL, SURROGATE)]

    async def handle(delivery: Delivery) -> None:
        raise errors[delivery.data]

    await bus.subscribe("t", "g", handle)
    for number in range(len(errors)):
        await bus.publish("t", number, key=f"k{number}")
    details = await _buried(site, len(errors))
    assert sorted(details) == [
        r"ValueError: nul \x00",
        r"ValueError: surrogate \ud800",
        r"nul \x00",
        r"surrogate \ud800",
    ]


@pytest.mark.parametrize("name", ["id", "key"])
async def test_a_name_that_cannot_be_stored_is_refused(site: Site, name: str) -> None:
    bus = await site.bus()

    def named(value: object) -> dict[str, Any]:
        return {name: value}

    for text in (NUL, SURROGATE):
        with pytest.raises(UsageError, match=rf"'t' has the {name} .* of {len(text)} characters; take at most 500"):
            await bus.publish("t", 1, **named(text))
    with pytest.raises(UsageError, match=f"the {name} .* of 501 characters"):
        await bus.publish("t", 1, **named("k" * 501))
    with pytest.raises(UsageError, match=f"the {name} 5; take a text"):
        await bus.publish("t", 1, **named(5))
    await bus.publish("t", 1, **named("\U0001f600" * 500))


async def test_a_follower_that_cannot_be_stored_is_an_error_of_its_handler(site: Site) -> None:
    bus = await site.bus()

    async def handle(delivery: Delivery) -> None:
        if delivery.data == "bad":
            delivery.publish("next", Message(source="s", type="t", data=1, key=NUL))

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", "bad", key="k")
    await bus.publish("t", "good", key="other")
    await _buried(site, 1)
    assert "good" in seen.data


async def test_a_time_that_no_clock_shows_is_an_error_of_its_handler(site: Site) -> None:
    bus = await site.bus()
    times = (-1.0, float("inf"), float("nan"), 1e30)

    async def handle(delivery: Delivery) -> None:
        raise Retry(after=times[delivery.data])

    await bus.subscribe("t", "g", handle)
    for number in range(len(times)):
        await bus.publish("t", number, key=f"k{number}")
    assert all("cannot be tried again after" in detail for detail in await _buried(site, len(times)))


@pytest.mark.not_on("kafka", reason="what is published there is stored in the outbox, and refused as in the log")
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_message_whose_outcome_the_database_refuses_is_given_up_alone(
    site: Site, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await site.bus(t=ONE_PARTITION)
    put = Log.put

    def refuses(log: Log, transaction: Transaction, entries: Sequence[Entry]) -> Any:
        if any(b"unstorable" in entry.body for entry in entries):
            raise GatewrightError("the database refuses this")
        return put(log, transaction, entries)

    async def handle(delivery: Delivery) -> None:
        if delivery.data == "bad":
            delivery.publish("next", "unstorable")
        elif delivery.data == "behind":
            delivery.publish("next", "stored")

    monkeypatch.setattr(Log, "put", refuses)
    seen = Seen(handle)
    given = ["before", "bad", "behind", "last"]
    for data in given:
        await bus.publish("t", data, key=key)
    await bus.subscribe("t", "g", seen)
    await until(lambda: _is(site, _LEFT, (0, 4)))
    ((reason, detail),) = await site.query(_LETTERS)
    assert reason == "crash"
    assert "the database refused what came of it" in detail
    assert await site.published("next") == 1
    assert set(seen.data) == set(given)
    await bus.publish("t", "goes on", key=key)
    await until(lambda: "goes on" in seen.data)


async def _buried(site: Site, count: int) -> list[str]:
    found: list[tuple[Any, ...]] = []

    async def all_are() -> bool:
        found[:] = await site.query(_LETTERS)
        return len(found) == count

    await until(all_are)
    return [detail for _, detail in found]


async def _is(site: Site, query: Any, wanted: tuple[Any, ...]) -> bool:
    return await site.query(query) == [wanted]
