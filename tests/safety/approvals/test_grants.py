"""Grants: the same again, no further than the vote that gave them would reach."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.safety.approvals.ballots import Action, Request, Vote
from gatewright.safety.approvals.grants import Grant, Offer, Reach, granted
from gatewright.safety.approvals.terms import Approval

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACTION = Action(kind="tool", name="pay", args={"amount": 80, "to": "A1"}, agent="clerk", deployment="x", pack="p" * 64)
VOTE = Vote(by="ada", verdict="approve", roles=frozenset({"ops"}), authenticated=True, time=NOW)


def ask(approval: dict[str, Any] | None = None, **fields: Any) -> Request:
    terms = Approval.model_validate(approval or {}).terms()
    values: dict[str, Any] = {"id": "r1", "kind": "approval", "opened": NOW, "action": ACTION, "terms": terms}
    values |= {"rules": frozenset({"large"})} | fields
    return Request(**values)


def give(reach: Reach = "thread", *arguments: str, vote: Vote = VOTE, request: Request | None = None) -> Grant:
    offer = Offer(reach=reach, arguments=arguments, until=NOW + HOUR if reach == "until" else None)
    return granted("g1", request or ask(), vote, offer, run_id="run-1", thread_id="t-1", now=NOW)


def covers(grant: Grant, request: Request, *, run: str = "run-1", thread: str = "t-1", now: datetime = NOW) -> bool:
    return grant.covers(request, run_id=run, thread_id=thread, now=now)


def other(**fields: Any) -> Request:
    return ask(action=dataclasses.replace(ACTION, **fields))


@pytest.mark.parametrize(
    ("reach", "same_thread", "elsewhere"), [("run", False, False), ("thread", True, False), ("until", True, True)]
)
def test_a_grant_reaches_as_far_as_it_says(reach: Reach, same_thread: bool, elsewhere: bool) -> None:
    grant = give(reach)

    assert covers(grant, ask())
    assert covers(grant, ask(), run="run-2") is same_thread
    assert covers(grant, ask(), run="run-2", thread="t-2") is elsewhere


def test_chosen_arguments_must_be_the_same_value_and_others_may_differ() -> None:
    grant = give("thread", "to")

    assert covers(grant, other(args={"amount": 1, "to": "A1"}))
    assert not covers(grant, other(args={"amount": 80, "to": "B2"}))
    assert not covers(grant, other(args={"amount": 80}))
    assert not covers(give("thread", "amount"), other(args={"amount": True, "to": "A1"}))


@pytest.mark.parametrize("change", [{"name": "refund"}, {"agent": "boss"}, {"deployment": "y"}, {"pack": "q" * 64}])
def test_a_grant_never_leaks_to_another_tool_agent_deployment_or_rules(change: dict[str, str]) -> None:
    assert not covers(give(), other(**change))


def test_a_further_rule_asks_again() -> None:
    assert not covers(give(), ask(rules=frozenset({"large", "night"})))
    assert not covers(give(), ask(rules=frozenset()))


def test_a_grant_reaches_no_further_than_the_persons_own_vote() -> None:
    grant = give("until")

    assert covers(grant, ask({"roles": ["ops"]}))
    assert not covers(grant, ask({"roles": ["treasury"]}))
    assert not covers(grant, ask({"quorum": 2}))
    assert not covers(grant, ask(requester="ada"))
    assert not covers(grant, ask(owner="ada"))
    assert not covers(grant, ask({"always_ask": True}))
    assert not covers(grant, ask(kind="unknown"))


def test_a_grant_ends_with_its_time_or_its_revocation() -> None:
    grant = give("until")

    assert not covers(grant, ask(), now=NOW + HOUR)
    assert not covers(dataclasses.replace(grant, revoked=NOW), ask())


@pytest.mark.parametrize(
    ("request_", "vote", "offer", "message"),
    [
        (ask({"always_ask": True}), VOTE, Offer(reach="run"), "under `always_ask`"),
        (ask(kind="unknown"), VOTE, Offer(reach="run"), "was not asked by rules"),
        (ask(rules=frozenset()), VOTE, Offer(reach="run"), "was not asked by rules"),
        (ask({"quorum": 2}), VOTE, Offer(reach="run"), "by one person for themselves; request 'r1' needs 2"),
        (ask(), dataclasses.replace(VOTE, break_glass=True), Offer(reach="run"), "an emergency"),
        (ask(), dataclasses.replace(VOTE, on_behalf_of="bob"), Offer(reach="run"), "on behalf of 'bob'"),
        (ask(), dataclasses.replace(VOTE, verdict="reject"), Offer(reach="run"), "'reject'"),
        (ask(), VOTE, Offer(reach="run", arguments=("iban",)), "'pay' has no argument 'iban'"),
        (ask(), VOTE, Offer(reach="until"), "needs the time at which it ends"),
        (ask(), VOTE, Offer(reach="until", until=NOW), "is over before it begins"),
    ],
)
def test_what_cannot_be_granted_is_refused(request_: Request, vote: Vote, offer: Offer, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        granted("g1", request_, vote, offer, run_id="run-1", thread_id="t-1", now=NOW)
