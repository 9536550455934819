"""Sending: tried again with patience, given up with a reason, and none waits for another."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.notices import sender
from gatewright.runtime.notices.channels import channels
from gatewright.runtime.notices.facts import Facts
from gatewright.runtime.notices.receivers import Mail
from gatewright.runtime.notices.sender import Sender
from gatewright.runtime.store.writer import Transaction

BUSY = b"HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nconnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "POLL", 0.01)
    monkeypatch.setattr(sender, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(sender, "FACTOR", 1.0)
    monkeypatch.setattr(sender, "GRACE", 0.05)


@asynccontextmanager
async def sending(box: Any, *receivers: Any) -> AsyncGenerator[Sender]:
    await box.declare(*receivers)
    made = Sender(box.writer, box.query, box.clock, channels(receivers, Mail(), public_url=""))
    made.start()
    try:
        yield made
    finally:
        await made.close()


def misname(transaction: Transaction) -> None:
    transaction.raw("UPDATE notice SET event = 'unheard.of'", [()])


async def hang(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_what_is_refused_is_sent_again_under_the_same_id(box: Any, receiving: Any) -> None:
    receiving.replies = [BUSY, BUSY]
    async with sending(box, box.receiver(to=receiving.url)):
        await box.enqueue()
        (view,) = await box.settled("sent")

    assert [request.headers["webhook-id"] for request in receiving.requests] == [view.id] * 3
    assert (view.attempts, view.error) == (3, None)


async def test_after_the_last_attempt_a_message_is_dead_and_says_why(
    box: Any, receiving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "ATTEMPTS", 3)
    receiving.replies = [BUSY] * 3
    async with sending(box, box.receiver(to=receiving.url)):
        await box.enqueue()
        (view,) = await box.settled("dead")

    assert (view.attempts, view.error, len(receiving.requests)) == (3, "answered 503", 3)


async def test_an_address_that_is_gone_is_not_asked_again(box: Any, receiving: Any) -> None:
    receiving.replies = [GONE]
    async with sending(box, box.receiver(to=receiving.url)):
        await box.enqueue()
        (view,) = await box.settled("dead")

    assert (view.attempts, view.error) == (1, "answered 410")


async def test_a_receiver_that_asks_for_time_is_given_it_up_to_an_hour(box: Any, receiving: Any) -> None:
    slow = b"HTTP/1.1 429 Slow\r\nretry-after: %d\r\nconnection: close\r\n\r\n"
    receiving.replies = [slow % 600, slow % 999_999]
    async with sending(box, box.receiver(to=receiving.url)):
        before = box.clock.now()
        await box.enqueue(subject="ask-1")
        await box.enqueue(subject="ask-2")
        await receiving.wait_for(2)
        async with asyncio.timeout(60):
            while not all(view.attempts for view in await box.views()):
                await asyncio.sleep(0.01)

    waits = sorted(view.due_at.timestamp() - before / MICROSECONDS for view in await box.views())
    assert 600 <= waits[0] < 660
    assert 3600 <= waits[1] < 3660


async def test_a_receiver_that_hangs_holds_up_nobody_else(box: Any, receiving: Any, other: Any) -> None:
    receiving.replies = [hang] * 100
    async with sending(box, box.receiver("hangs", to=receiving.url), box.receiver("works", to=other.url)):
        for number in range(50):
            await box.enqueue(subject=f"ask-{number}")
        views = await box.settled("sent", 50)

    assert {view.receiver for view in views} == {"works"}
    assert len(receiving.requests) <= sender.AT_ONCE


async def test_a_message_that_is_always_refused_holds_up_no_other_to_the_same_receiver(
    box: Any, receiving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY", 60.0)
    receiving.replies = [BUSY]
    async with sending(box, box.receiver(to=receiving.url)):
        await box.enqueue(subject="refused")
        await receiving.wait_for(1)
        await box.enqueue(subject="taken")
        (view,) = await box.settled("sent")

    assert view.subject_id == "taken"


async def test_what_was_on_its_way_when_the_sender_stopped_is_sent_by_the_next_one(box: Any, receiving: Any) -> None:
    receiving.replies = [hang]
    async with sending(box, box.receiver(to=receiving.url)):
        await box.enqueue()
        await receiving.wait_for(1)
    (before,) = await box.views()
    async with sending(box, box.receiver(to=receiving.url)):
        (after,) = await box.settled("sent")

    assert before.state == "waiting"
    assert [request.headers["webhook-id"] for request in receiving.requests] == [after.id] * 2


async def test_what_cannot_even_be_written_down_is_given_up_and_holds_up_nothing(
    box: Any, receiving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "ATTEMPTS", 1)
    await box.declare(box.receiver(to=receiving.url, kind="slack"))
    await box.enqueue(facts=Facts(deployment="x", subject="never heard of"))
    await box.write(misname)
    await box.enqueue()
    async with sending(box, box.receiver(to=receiving.url, kind="slack")):
        (view,) = await box.settled("dead")
        assert len(await box.settled("sent")) == 1

    assert "KeyError" in str(view.error)


@given(failed=st.integers(0, 200))
def test_the_time_between_attempts_grows_to_an_hour_and_is_never_the_same_for_all(failed: int) -> None:
    base = min(5.0 * 3.0 ** min(failed, 50), 3600.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "FIRST_DELAY", 5.0)
        patch.setattr(sender, "FACTOR", 3.0)
        assert 0.8 * base <= sender.delay(failed) <= 1.2 * base
