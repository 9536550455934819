"""Requests to people: decided once, used once, and only for the action that was decided on."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError, UsageError
from gatewright.safety import approvals
from gatewright.safety.approvals import Action, Answer, Kind, NotEntitledError, Request, Vote
from gatewright.safety.approvals.terms import ApprovalTerms, Stage

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ACTION = Action(
    kind="tool", name="refund", args={"amount": 80, "booking": "A1"}, agent="desk", deployment="support", pack="f" * 64
)
ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {"amount": {"$ref": "#/$defs/money"}, "booking": {"type": "string"}},
    "required": ["amount"],
    "additionalProperties": False,
    "$defs": {"money": {"type": "number", "exclusiveMinimum": 0}},
}


def request(kind: Kind = "approval", **fields: Any) -> Request:
    given: dict[str, Any] = {"id": "r1", "kind": kind, "action": ACTION} | fields
    return Request(**given)


def vote(verdict: Answer, **fields: Any) -> Vote:
    given: dict[str, Any] = {"by": "kim", "verdict": verdict} | fields
    return Vote(**given)


@pytest.mark.parametrize(
    ("kind", "cast", "state"),
    [
        ("approval", vote("approve"), "approved"),
        ("approval", vote("reject", reason="too much"), "rejected"),
        ("approval", vote("edit", value={"amount": 50}), "edited"),
        ("approval", vote("answer", value="done by hand"), "answered"),
        ("question", vote("answer", value={"seat": "12A"}), "answered"),
        ("question", vote("reject", reason="not our business"), "rejected"),
        ("unknown", vote("approve"), "approved"),
        ("unknown", vote("answer", value={"status": "paid"}), "answered"),
        ("unknown", vote("reject", reason="leave it"), "rejected"),
    ],
)
def test_a_decision_is_stored_with_its_vote(kind: Kind, cast: Vote, state: str) -> None:
    decided = approvals.decide(request(kind), cast)

    assert (decided.state, decided.votes) == (state, (cast,))


@pytest.mark.parametrize(("kind", "answer"), [("question", "approve"), ("question", "edit"), ("unknown", "edit")])
def test_an_answer_that_the_kind_does_not_have_is_refused(kind: Kind, answer: Answer) -> None:
    with pytest.raises(UsageError, match=f"{answer!r} is no answer to request 'r1'"):
        approvals.decide(request(kind), vote(answer, value={}))


def test_a_second_decision_conflicts() -> None:
    decided = approvals.decide(request(), vote("approve"))

    with pytest.raises(ConflictError, match="'r1' is approved by 'kim' already"):
        approvals.decide(decided, vote("reject", by="ada", reason="no"))


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_rejection_needs_a_reason(reason: str) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        approvals.decide(request(), vote("reject", reason=reason))


@pytest.mark.parametrize("value", [None, "50", [50]])
def test_an_edit_needs_arguments(value: Any) -> None:
    with pytest.raises(UsageError, match="needs the new arguments as an object"):
        approvals.decide(request(), vote("edit", value=value))


def test_an_edit_that_the_tool_does_not_take_is_refused_with_its_path() -> None:
    with pytest.raises(UsageError, match=r"at \$\.amount: -5 is less than or equal to the minimum of 0"):
        approvals.decide(request(schema=ARGUMENTS), vote("edit", value={"amount": -5}))


def test_an_answer_that_fails_the_schema_is_refused_with_its_path() -> None:
    schema = {"type": "object", "properties": {"seats": {"type": "array", "items": {"type": "string"}}}}

    with pytest.raises(UsageError, match=r"at \$\.seats\[1\]: 12 is not of type 'string'"):
        approvals.decide(request("question", schema=schema), vote("answer", value={"seats": ["11B", 12]}))


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "https://example.com/schema.json"}])
def test_a_schema_that_cannot_be_used_is_reported_and_nothing_is_fetched(schema: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the schema of request 'r1' cannot be used"):
        approvals.decide(request("question", schema=schema), vote("answer", value=1))


def test_a_vote_needs_a_name() -> None:
    with pytest.raises(UsageError, match="needs the name"):
        approvals.decide(request(), vote("approve", by=""))


def test_a_person_needs_every_role() -> None:
    asked = request(terms=ApprovalTerms(stages=(Stage(roles=frozenset({"lead", "ops"})),)))

    with pytest.raises(NotEntitledError, match="needs the role 'lead', 'kim' has \\['ops'\\]"):
        approvals.decide(asked, vote("approve", roles=frozenset({"ops"}), authenticated=True))
    both = vote("approve", roles=frozenset({"ops", "lead"}), authenticated=True)
    assert approvals.decide(asked, both).state == "approved"


def test_an_excluded_person_may_not_decide() -> None:
    with pytest.raises(NotEntitledError, match="'kim' is excluded"):
        approvals.decide(request(terms=ApprovalTerms(excluded=frozenset({"name:kim"}))), vote("reject", reason="no"))


def test_a_vote_after_the_time_is_over_conflicts() -> None:
    asked = request(terms=ApprovalTerms(expires=60), opened=NOW)

    assert approvals.decide(asked, vote("approve", time=NOW + timedelta(seconds=59))).state == "approved"
    with pytest.raises(ConflictError, match="expired at 2026-05-04T12:01:00"):
        approvals.decide(asked, vote("approve", time=NOW + timedelta(seconds=60)))
    with pytest.raises(UsageError, match="needs the time"):
        approvals.decide(asked, vote("approve"))


def test_an_open_request_expires_and_a_decided_one_does_not() -> None:
    asked = request(terms=ApprovalTerms(expires=60), opened=NOW)
    decided = approvals.decide(asked, vote("approve", time=NOW))
    late = NOW + timedelta(minutes=5)

    assert approvals.expire(asked, NOW).state == "open"
    assert approvals.expire(asked, late).state == "expired"
    assert approvals.expire(decided, late) == decided
    assert approvals.expire(request(), late).state == "open"


def test_a_request_that_expires_needs_its_beginning() -> None:
    with pytest.raises(UsageError, match="give it a time it was opened"):
        approvals.expire(request(terms=ApprovalTerms(expires=60)), NOW)


def test_a_decision_is_used_once() -> None:
    used = approvals.consume(approvals.decide(request(), vote("approve")), ACTION.digest)

    assert used.state == "consumed"
    with pytest.raises(ConflictError, match="was used before"):
        approvals.consume(used, ACTION.digest)


@pytest.mark.parametrize(
    "change",
    [
        {"args": {"amount": 81, "booking": "A1"}},
        {"name": "certificate"},
        {"kind": "function"},
        {"agent": "other"},
        {"deployment": "other"},
        {"pack": "0" * 64},
    ],
)
def test_a_decision_about_anything_else_is_void(change: dict[str, Any]) -> None:
    decided = approvals.decide(request(), vote("approve"))
    other = dataclasses.replace(ACTION, **change)

    with pytest.raises(ConflictError, match="is void"):
        approvals.consume(decided, other.digest)
    assert approvals.void(decided).state == "void"


def test_an_edit_approves_the_edited_action_only() -> None:
    decided = approvals.decide(request(), vote("edit", value={"amount": 50}))
    edited = dataclasses.replace(ACTION, args={"amount": 50})

    assert decided.decided == edited
    with pytest.raises(ConflictError, match="is void"):
        approvals.consume(decided, ACTION.digest)
    assert approvals.consume(decided, edited.digest).state == "consumed"


@pytest.mark.parametrize("state", ["open", "rejected", "cancelled", "expired", "void"])
def test_without_a_decision_there_is_nothing_to_use(state: str) -> None:
    with pytest.raises(ConflictError, match="there is no decision to use"):
        approvals.consume(request(state=state), ACTION.digest)


@pytest.mark.parametrize("state", ["rejected", "cancelled", "expired", "void", "consumed"])
def test_what_is_over_stays_over(state: str) -> None:
    for end in (approvals.cancel, approvals.void):
        with pytest.raises(ConflictError, match=f"'r1' is {state}"):
            end(request(state=state))
    with pytest.raises(ConflictError):
        approvals.decide(request(state=state), vote("approve"))


def test_an_open_request_can_be_cancelled() -> None:
    assert approvals.cancel(request()).state == "cancelled"


def test_the_digest_does_not_depend_on_the_order_of_arguments() -> None:
    turned = dataclasses.replace(ACTION, args={"booking": "A1", "amount": 80})

    assert turned.digest == ACTION.digest
