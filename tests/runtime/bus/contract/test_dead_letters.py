"""Dead letters: what cannot be handled is kept with the reason, and can be given to its group again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Message, Reject
from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime.bus import Delivery, letters
from gatewright.runtime.store.writer import arrival

_LETTERS = sa.text(
    'SELECT id, reason, detail, stack, attempts, "offset", key, state, body FROM dead_letter ORDER BY number'
)


async def test_a_rejected_message_is_dead_at_once(site: Site) -> None:
    bus = await site.bus()

    async def handle(_: Delivery) -> None:
        raise Reject("we do not sell that")

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    published = await bus.publish("t", {"order": 7}, key="k")
    (letter,) = await _letters(site, 1)
    assert (letter[1], letter[2], letter[3], letter[4]) == ("rejected", "we do not sell that", None, 1)
    assert (letter[5], letter[6], letter[7]) == (0, "k", "dead")
    assert Message.from_json(letter[8]) == published
    assert len(seen.data) == 1


async def test_a_message_whose_attempts_are_used_up_is_dead_with_its_stack(site: Site) -> None:
    bus = await site.bus(t=SOON.model_copy(update={"attempts": 3}))

    async def handle(_: Delivery) -> None:
        raise ValueError("out of paper")

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", "x", key="k")
    await bus.publish("t", "y", key="k")
    (letter, after) = await _letters(site, 2)
    assert (letter[1], letter[2], letter[4]) == ("attempts", "ValueError: out of paper", 3)
    assert "ValueError: out of paper" in letter[3] and "in handle" in letter[3]
    assert seen.data == ["x"] * 3 + ["y"] * 3
    assert after[4] == 3


async def test_a_message_past_its_deadline_is_not_started(site: Site) -> None:
    bus, seen = await site.bus(), Seen()
    await bus.publish("t", "late", key="k", deadline=datetime.now(UTC) - timedelta(seconds=1))
    await bus.publish("t", "in time", key="k", deadline=datetime.now(UTC) + timedelta(hours=1))
    await bus.subscribe("t", "g", seen)
    assert await seen.wait(1) == ["in time"]
    (letter,) = await _letters(site, 1)
    assert (letter[1], letter[4]) == ("expired", 0)


@pytest.mark.not_on("kafka", reason="what others write there is tried in bridge/test_formats.py")
async def test_what_is_no_message_is_dead_and_the_next_one_is_handled(site: Site) -> None:
    bus, seen = await site.bus(), Seen()
    await bus.publish("t", "x", key="k")
    await site.query(sa.text("UPDATE message SET body = :body RETURNING id"), body=b"{not json")
    await bus.publish("t", "y", key="k")
    await bus.subscribe("t", "g", seen)
    assert await seen.wait(1) == ["y"]
    (letter,) = await _letters(site, 1)
    assert (letter[1], letter[8]) == ("invalid", b"{not json")


async def test_a_redriven_letter_is_handled_before_what_is_parked_of_its_key(site: Site) -> None:
    bus = await site.bus(t=SOON.model_copy(update={"attempts": 2}))
    gate, dead = asyncio.Event(), True

    async def handle(delivery: Delivery) -> None:
        if delivery.data == "first" and dead:
            raise Reject("no")
        if delivery.data == "second":
            await gate.wait()

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", "first", key="k")
    (letter,) = await _letters(site, 1)
    dead = False
    await bus.publish("t", "second", key="k")
    await seen.wait(2)
    await _redrive(site, letter[0])
    await until(lambda: _state(site, "redriven"))
    await bus.publish("t", "third", key="k")
    gate.set()
    assert await seen.wait(4) == ["first", "second", "first", "third"]
    assert seen.deliveries[2].attempt == 1
    assert seen.deliveries[2].offset == 0


async def test_a_redriven_letter_may_die_again(site: Site) -> None:
    bus = await site.bus()

    async def handle(_: Delivery) -> None:
        raise Reject("still not")

    await bus.subscribe("t", "g", handle)
    await bus.publish("t", "x", key="k")
    (letter,) = await _letters(site, 1)
    await _redrive(site, letter[0])
    again = await _letters(site, 2)
    assert [row[7] for row in again] == ["redriven", "dead"]
    assert again[0][8] == again[1][8]


async def test_a_letter_is_redriven_even_if_its_message_is_gone(site: Site) -> None:
    bus = await site.bus()
    accept = False

    async def handle(_: Delivery) -> None:
        if not accept:
            raise Reject("no")

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen)
    await bus.publish("t", "x", key="k")
    (letter,) = await _letters(site, 1)
    await site.query(sa.text("DELETE FROM message RETURNING id"))
    accept = True
    await _redrive(site, letter[0])
    assert await seen.wait(2) == ["x", "x"]


async def test_a_letter_waits_for_its_group_to_come_back(site: Site) -> None:
    bus = await site.bus()

    async def handle(_: Delivery) -> None:
        raise Reject("no")

    member = await bus.subscribe("t", "g", handle)
    await bus.publish("t", "x", key="k")
    (letter,) = await _letters(site, 1)
    await member.close()
    await _redrive(site, letter[0])
    seen = Seen()
    await bus.subscribe("t", "g", seen)
    assert await seen.wait(1) == ["x"]


async def test_a_wrong_id_changes_nothing_and_says_so(site: Site) -> None:
    bus = await site.bus()

    async def handle(_: Delivery) -> None:
        raise Reject("no")

    await bus.subscribe("t", "g", handle)
    await bus.publish("t", "x", key="k")
    (letter,) = await _letters(site, 1)
    with pytest.raises(NotFoundError, match="there is no dead letter 'dead-nope'"):
        await _redrive(site, "dead-nope")
    await _redrive(site, letter[0])
    with pytest.raises(ConflictError, match="group 'g' has it again"):
        await _redrive(site, letter[0])


async def _letters(site: Site, count: int) -> list[tuple[Any, ...]]:
    async def there() -> bool:
        return len(await site.query(_LETTERS)) >= count

    await until(there)
    return await site.query(_LETTERS)


async def _state(site: Site, state: str) -> bool:
    return all(row[7] == state for row in await site.query(_LETTERS))


async def _redrive(site: Site, letter_id: str) -> None:
    await arrival(site.writer.submit(lambda transaction: letters.redrive(transaction, letter_id, now=1)))
