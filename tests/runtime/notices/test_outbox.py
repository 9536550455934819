"""The outbox: written with what it tells of, for those who asked, and nothing where nobody did."""

import asyncio
import tracemalloc
from functools import partial
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.notices import outbox
from gatewright.runtime.notices.facts import Facts


async def test_nothing_is_written_where_no_receiver_is_configured(box: Any) -> None:
    await box.enqueue()

    assert await box.views() == []


async def test_a_message_is_written_for_each_receiver_that_asked_for_it(box: Any) -> None:
    await box.declare(
        box.receiver("all"),
        box.receiver("money", events=["budget.hit"]),
        box.receiver("other", deployments=["y"]),
        box.receiver("ops", roles=["ops", "lead"]),
        box.receiver("treasury", roles="treasury"),
    )

    await box.enqueue(facts=Facts(deployment="x", to=("name:kim", "role:ops")))

    assert sorted(view.receiver for view in await box.views()) == ["all", "ops"]


async def test_what_everybody_may_decide_is_told_to_the_receivers_of_every_role(box: Any) -> None:
    await box.declare(box.receiver("ops", roles=["ops"]))

    await box.enqueue(facts=Facts(deployment="x"))

    assert len(await box.views()) == 1


async def test_a_message_goes_with_the_transaction_that_it_tells_of(box: Any) -> None:
    await box.declare(box.receiver())

    def fail(transaction: Any) -> None:
        outbox.enqueue(transaction, "approval.opened", "ask-1", Facts(deployment="x"), now=1)
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await box.write(fail)
    assert await box.views() == []


async def test_what_waits_for_a_receiver_that_is_gone_is_given_up_and_says_so(box: Any) -> None:
    await box.declare(box.receiver("old"), box.receiver("kept"))
    await box.enqueue()

    await box.declare(box.receiver("kept", events=["approval.opened"]))

    states = {view.receiver: (view.state, view.error) for view in await box.views()}
    assert states == {"old": ("dead", "receiver 'old' is not configured any more"), "kept": ("waiting", None)}


async def test_only_what_was_given_up_is_sent_anew_and_only_to_somebody(box: Any) -> None:
    await box.declare(box.receiver())
    await box.enqueue()
    (view,) = await box.views()

    with pytest.raises(NotFoundError, match="notices list"):
        await box.write(partial(outbox.again, notice_id="notice-0", now=1))
    with pytest.raises(ConflictError, match="is waiting"):
        await box.write(partial(outbox.again, notice_id=view.id, now=1))
    await box.declare()
    with pytest.raises(ConflictError, match="'desk', which is not configured"):
        await box.write(partial(outbox.again, notice_id=view.id, now=1))
    await box.declare(box.receiver())
    await box.write(partial(outbox.again, notice_id=view.id, now=7))

    (again,) = await box.views()
    assert (again.id, again.state, again.attempts, again.error) == (view.id, "waiting", 0, None)


async def test_what_was_sent_is_forgotten_after_a_month_and_what_is_dead_is_not(box: Any) -> None:
    await box.declare(box.receiver())
    for _ in range(3):
        await box.enqueue()
    numbers = [notice.number for notice in await box.query(partial(outbox.due, receiver="desk", now=2**60, most=9))]
    month = outbox.KEEP * MICROSECONDS
    settled = [
        outbox.Settled(numbers[0], "sent", 1, None),
        outbox.Settled(numbers[1], "sent", 3, None),
        outbox.Settled(numbers[2], "dead", 1, "no"),
    ]
    await box.write(partial(outbox.settle, settled=settled))

    await box.write(partial(outbox.purge, now=month + 2))

    assert [view.state for view in await box.views()] == ["dead", "sent"]


async def test_a_hundred_thousand_waiting_messages_are_read_in_bounded_memory(box: Any) -> None:
    await box.declare(box.receiver())

    def fill(transaction: Any) -> None:
        for number in range(1000):
            outbox.enqueue(transaction, "approval.opened", f"ask-{number}", Facts(deployment="x"), now=number)

    await asyncio.gather(*(box.write(fill) for _ in range(100)))
    tracemalloc.start()
    found = await box.query(partial(outbox.due, receiver="desk", now=box.clock.now(), most=8))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(found) == 8
    assert {notice.subject_id for notice in found} == {"ask-0"}
    assert peak < 1_000_000
