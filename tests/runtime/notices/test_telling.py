"""Which messages the life of an approval leads to."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from gatewright.runtime.notices import outbox, telling
from gatewright.safety import approvals
from gatewright.safety.approvals import deadlines
from gatewright.safety.approvals.terms import ApprovalTerms, Escalation, OnExpiry, Stage
from gatewright.safety.verdicts import RuleHit

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STAGES = (Stage(any=2, roles=frozenset({"ops"})), Stage(roles=frozenset({"lead"})))


def request(**terms: Any) -> approvals.Request:
    action = approvals.Action(kind="tool", name="pay", args={}, agent="clerk", deployment="x", pack="p")
    return approvals.Request(id="ask-1", kind="approval", action=action, terms=ApprovalTerms(**terms), opened=NOW)


def vote(by: str, role: str) -> approvals.Vote:
    return approvals.Vote(by=by, verdict="approve", roles=frozenset({role}), time=NOW, authenticated=True)


async def told(box: Any) -> list[tuple[str, Sequence[str], str]]:
    """Event, who is called and state of each message, oldest first."""
    notices = await box.query(partial(outbox.due, receiver="desk", now=box.clock.now(), most=100))
    return [(notice.event, notice.facts.to, notice.facts.state) for notice in notices]


async def test_each_stages_people_are_told_when_it_is_their_turn_and_all_when_it_is_decided(box: Any) -> None:
    await box.declare(box.receiver())
    first = request(stages=STAGES)
    votes = [vote("ann", "ops"), vote("bob", "ops"), vote("lea", "lead")]

    def live(transaction: Any) -> None:
        state = first
        telling.opened(transaction, state, now=1)
        for number, one in enumerate(votes):
            before, state = state, approvals.decide(state, one)
            telling.voted(transaction, before, state, now=2 + number)

    await box.write(live)

    assert await told(box) == [
        ("approval.opened", ("role:ops",), "open"),
        ("approval.opened", ("role:lead",), "open"),
        ("approval.decided", ("role:lead", "role:ops"), "approved"),
    ]


@pytest.mark.parametrize(
    ("on_expiry", "last"),
    [
        ("reject", ("approval.expired", ("name:kim",), "expired")),
        ("hold", ("approval.expired", ("name:kim",), "overdue")),
        ("approve", ("approval.expired", ("name:kim",), "approved")),
    ],
)
async def test_reminders_escalation_and_the_end_are_told_to_those_whom_they_call(
    box: Any, on_expiry: OnExpiry, last: tuple[str, tuple[str, ...], str]
) -> None:
    await box.declare(box.receiver())
    asked = request(expires=60, on_expiry=on_expiry, reminders=(10,), escalation=(Escalation(after=30, to="name:kim"),))

    def live(transaction: Any) -> None:
        for number, happening in enumerate(deadlines.advanced(asked, NOW + timedelta(seconds=100))):
            telling.happened(transaction, happening, now=number)

    await box.write(live)

    assert await told(box) == [
        ("approval.reminder", (), "open"),
        ("approval.escalated", ("name:kim",), "open"),
        last,
    ]


async def test_a_deadline_that_is_put_off_for_an_escalation_is_told_as_one(box: Any) -> None:
    await box.declare(box.receiver())
    asked = request(expires=60, on_expiry="escalate", escalation=(Escalation(after=90, to="role:lead"),))

    def live(transaction: Any) -> None:
        for number, happening in enumerate(deadlines.advanced(asked, NOW + timedelta(seconds=130))):
            telling.happened(transaction, happening, now=number)

    await box.write(live)

    assert await told(box) == [
        ("approval.escalated", ("role:lead",), "open"),
        ("approval.expired", ("role:lead",), "expired"),
    ]


async def test_a_paused_deployment_is_told_with_its_masked_reason(box: Any) -> None:
    await box.declare(box.receiver())

    await box.write(partial(telling.paused, deployment="x", reason="mia@example.org saw double payments", now=1))

    (notice,) = await box.query(partial(outbox.due, receiver="desk", now=1, most=9))
    assert (notice.event, notice.subject_id, notice.facts.state) == ("deployment.paused", "x", "paused")
    assert notice.facts.reason == "••• saw double payments"


async def test_a_budget_that_stays_used_up_is_told_once_an_hour(box: Any) -> None:
    await box.declare(box.receiver())
    hour = telling.QUIET * 1_000_000

    def live(transaction: Any) -> None:
        for now in (hour, hour + 1, 2 * hour - 1, 2 * hour + 1):
            for budget in ("budget:day", "budget:hour"):
                hit = RuleHit(rule_id=budget, verdict="deny", reason="9.99 of 10 used")
                telling.used_up(transaction, hit, "x", "clerk", now=now)

    await box.write(live)

    notices = await box.query(partial(outbox.due, receiver="desk", now=3 * hour, most=99))
    assert sorted(notice.subject_id for notice in notices) == ["x/budget:day"] * 2 + ["x/budget:hour"] * 2
