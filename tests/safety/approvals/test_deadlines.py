"""What time does to open requests: reminders, escalation, expiry; the same whether somebody looks often or late."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import ConflictError
from gatewright.safety import approvals
from gatewright.safety.approvals import deadlines
from gatewright.safety.approvals.ballots import Action, Kind, Request, Vote
from gatewright.safety.approvals.terms import Approval

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ACTION = Action(kind="tool", name="pay", args={"amount": 80}, agent="clerk", deployment="x", pack="p" * 64)
LADDER: dict[str, Any] = {"escalation": [{"to": "role:lead", "after": "15m"}, {"to": "name:ada", "after": "30m"}]}


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def ask(kind: Kind = "approval", *, irreversible: bool = False, **approval: Any) -> Request:
    terms = Approval.model_validate(approval).terms()
    return Request(id="r1", kind=kind, action=ACTION, opened=NOW, terms=terms, irreversible=irreversible)


def told(request: Request, minutes: float) -> list[tuple[float, str, tuple[str, ...]]]:
    return [
        ((happening.at - NOW).total_seconds() / 60, happening.what, happening.to)
        for happening in deadlines.advanced(request, at(minutes))
    ]


def vote(minutes: float, *roles: str, by: str = "kim") -> Vote:
    return Vote(by=by, verdict="approve", roles=frozenset(roles), time=at(minutes), authenticated=True)


def test_everything_happens_once_and_in_order_however_late_somebody_looks() -> None:
    request = ask(**LADDER, repeat=1, reminders=["10m", "15m"], expires="1h", roles=["ops"])

    assert told(request, 24 * 60) == [
        (10, "reminder", ("role:ops",)),
        (15, "reminder", ("role:ops",)),
        (15, "escalation", ("role:lead",)),
        (30, "escalation", ("name:ada",)),
        (45, "escalation", ("role:lead",)),
        (60, "escalation", ("name:ada",)),
        (60, "expiry", ()),
    ]


@given(st.lists(st.integers(0, 150), max_size=6), st.sampled_from(["reject", "hold", "escalate", "approve"]))
def test_looking_often_or_late_makes_no_difference(looks: list[int], end: str) -> None:
    request = looked = ask(**LADDER, repeat=2, reminders=["5m", "40m"], expires="20m", on_expiry=end)
    for minutes in sorted(looks):
        looked = approvals.expire(looked, at(minutes))

    last = at(max(looks, default=0))
    assert looked == approvals.expire(request, last)
    assert (following := deadlines.following(looked)) is None or following.at > last


def test_a_request_without_times_needs_no_beginning() -> None:
    assert deadlines.following(Request(id="r1", kind="approval", action=ACTION)) is None


def test_whom_the_escalation_calls_may_decide_from_then_on() -> None:
    request = ask(**LADDER, roles=["ops"])

    with pytest.raises(approvals.NotEntitledError, match="needs the role 'ops'"):
        approvals.decide(request, vote(14, "lead"))
    assert approvals.decide(request, vote(15, "lead")).state == "approved"
    assert approvals.decide(request, vote(30, by="ada")).state == "approved"


def test_held_requests_stay_open_past_their_time() -> None:
    late = approvals.expire(ask(expires="1h", on_expiry="hold"), at(61))

    assert (late.state, late.overdue, late.due) == ("open", True, None)
    assert approvals.decide(late, vote(600)).state == "approved"


def test_an_escalated_end_gives_the_next_one_the_same_time_until_there_is_none() -> None:
    request = ask(
        escalation=[{"to": "role:lead", "after": "10h"}, {"to": "name:ada", "after": "20h"}],
        expires="1h",
        on_expiry="escalate",
    )

    assert told(request, 240) == [
        (60, "expiry", ("role:lead",)),
        (120, "expiry", ("name:ada",)),
        (180, "expiry", ()),
    ]
    assert approvals.expire(request, at(61)).state == "open"
    assert approvals.expire(request, at(180)).state == "expired"


def test_approval_by_silence_is_for_what_can_be_undone_only() -> None:
    silent = approvals.expire(ask(expires="1h", on_expiry="approve"), at(60))

    assert silent.state == "approved"
    assert approvals.by_default(silent)
    assert approvals.expire(ask(expires="1h", on_expiry="approve", irreversible=True), at(60)).state == "expired"
    assert approvals.expire(ask("unknown", expires="1h", on_expiry="approve"), at(60)).state == "expired"


def test_some_approvals_are_not_enough_when_the_time_is_over() -> None:
    once = approvals.decide(ask(expires="1h", quorum=2), vote(5))

    assert approvals.expire(once, at(60)).state == "expired"
    with pytest.raises(ConflictError, match="expired at 2026-05-04T13:00:00"):
        approvals.decide(once, vote(60, by="ada"))
