"""Who may decide: stages and roles, four eyes, delegates, emergencies."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError, UsageError
from gatewright.safety import approvals
from gatewright.safety.approvals.ballots import Action, Answer, Request, Vote
from gatewright.safety.approvals.entitlement import NotEntitledError
from gatewright.safety.approvals.terms import Approval

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ACTION = Action(kind="tool", name="pay", args={"amount": 80}, agent="clerk", deployment="x", pack="p" * 64)
STAGES = {"stages": [{"any": 1, "roles": ["ops"]}, {"any": 2, "roles": ["treasury"]}]}


def ask(approval: dict[str, Any] | None = None, **fields: Any) -> Request:
    terms = Approval.model_validate(approval or {}).terms()
    given: dict[str, Any] = {"id": "r1", "kind": "approval", "action": ACTION, "opened": NOW, "terms": terms} | fields
    return Request(**given)


def say(by: str, *roles: str, verdict: Answer = "approve", **fields: Any) -> Vote:
    given: dict[str, Any] = {"authenticated": True, "reason": "so it is", "time": NOW} | fields
    return Vote(by=by, verdict=verdict, roles=frozenset(roles), **given)


def voted(request: Request, *votes: Vote) -> Request:
    for vote in votes:
        request = approvals.decide(request, vote)
    return request


def test_stages_are_decided_one_after_the_other() -> None:
    first = voted(ask(STAGES), say("ada", "ops"))
    second = voted(first, say("bob", "treasury"))

    assert (first.state, first.stage) == ("open", 1)
    with pytest.raises(NotEntitledError, match="needs the role 'treasury', 'eve' has \\['ops'\\]"):
        approvals.decide(first, say("eve", "ops"))
    assert (second.state, second.stage) == ("open", 1)
    assert voted(second, say("cyd", "treasury")).state == "approved"


def test_nobody_counts_twice_not_even_for_two_stages() -> None:
    first = voted(ask(STAGES), say("ada", "ops", "treasury"))

    with pytest.raises(ConflictError, match="'ada' has had a say on request 'r1' already"):
        approvals.decide(first, say("ada", "ops", "treasury"))


def test_one_rejection_is_enough() -> None:
    assert voted(ask(STAGES), say("ada", "ops"), say("bob", "treasury", verdict="reject")).state == "rejected"


@pytest.mark.parametrize(
    ("party", "word"),
    [
        ({"requester": "ada"}, "started the run"),
        ({"owner": "ada"}, "owns the agent"),
        ({"editors": frozenset({"ada"})}, "wrote the arguments"),
    ],
)
def test_a_party_does_not_decide_unless_the_terms_say_so(party: dict[str, Any], word: str) -> None:
    lifted = {"allow": ["requester", "agent_owner", "editor"]}

    with pytest.raises(NotEntitledError, match=f"'ada' {word}"):
        approvals.decide(ask(**party), say("ada"))
    with pytest.raises(NotEntitledError, match=f"'ada' {word}"):
        approvals.decide(ask(**party), say("bob", on_behalf_of="ada"))
    assert voted(ask(**party), say("bob")).state == "approved"
    assert voted(ask(lifted, **party), say("ada")).state == "approved"


@pytest.mark.parametrize(
    "request_",
    [ask({"roles": ["ops"]}), ask({"quorum": 2}), ask(STAGES), ask(requester="eve"), ask(kind="review")],
    ids=["a role", "two people", "stages", "a known requester", "a review"],
)
def test_a_name_that_nothing_proves_decides_only_what_anybody_may(request_: Request) -> None:
    unproven = say("ada", "ops", "treasury", authenticated=False)

    with pytest.raises(NotEntitledError, match="nothing proves that this is 'ada'"):
        approvals.decide(request_, unproven)
    assert voted(ask(), unproven).state == "approved"


def test_a_delegate_and_who_delegated_count_once() -> None:
    pair = ask({"quorum": 2})
    stood_in = voted(pair, say("bob", on_behalf_of="ada"))

    for again in (say("ada"), say("bob"), say("eve", on_behalf_of="ada"), say("ada", on_behalf_of="eve")):
        with pytest.raises(ConflictError, match="has had a say"):
            approvals.decide(stood_in, again)
    assert voted(stood_in, say("eve")).state == "approved"


def test_the_same_vote_sent_again_is_one_vote() -> None:
    once = voted(ask({"quorum": 2}), say("ada", id="v1"))

    assert approvals.decide(once, say("ada", id="v1")) is once
    with pytest.raises(ConflictError, match="vote 'v1' on request 'r1' was another one"):
        approvals.decide(once, say("bob", id="v1"))
    done = voted(once, say("bob", id="v2"))
    assert approvals.decide(done, say("bob", id="v2")) is done


def test_a_vote_on_something_else_than_was_shown_is_refused() -> None:
    assert voted(ask(), say("ada", shown=ACTION.digest)).state == "approved"
    with pytest.raises(ConflictError, match="'ada' was shown action 000000000000"):
        approvals.decide(ask(), say("ada", shown="0" * 64))


def test_an_edit_must_be_approved_by_others_where_it_is_known_who_edits() -> None:
    edit = say("ada", verdict="edit", value={"amount": 5})
    asked = voted(ask(requester="zoe"), edit)
    anew = approvals.following(ask(id="r2", action=asked.decided), asked)

    assert asked.state == "superseded"
    assert (anew.about, anew.action.args) == ("r1", {"amount": 5})
    with pytest.raises(NotEntitledError, match="'ada' wrote the arguments"):
        approvals.decide(anew, say("ada"))
    assert voted(anew, say("bob")).state == "approved"
    assert voted(ask({"allow": "editor"}), edit).state == "edited"
    assert voted(ask({"allow": "editor", "quorum": 2}), edit).state == "superseded"
    assert voted(ask(), say("ada", verdict="edit", value={"amount": 5}, authenticated=False)).state == "edited"


def test_an_edit_does_not_lower_the_bar() -> None:
    asked = voted(ask(STAGES), say("ada", "ops", verdict="edit", value={"amount": 5}))

    assert approvals.following(ask(), asked).terms == asked.terms
    asked_by_rules = ask({"quorum": 2, "roles": ["lead"]}, rules=frozenset({"small"}))
    assert approvals.following(asked_by_rules, asked).terms == asked.terms.join(asked_by_rules.terms)


def test_where_several_decide_nobody_answers_alone() -> None:
    with pytest.raises(UsageError, match="'answer' is no answer to request 'r1' .*which 2 people decide"):
        approvals.decide(ask({"quorum": 2}), say("ada", verdict="answer", value="paid"))


def test_breaking_the_glass_decides_alone_and_is_reviewed_by_others() -> None:
    emergency = say("ada", "break_glass", break_glass=True, reason="the vault burns")
    asked = ask({**STAGES, "excluded": ["name:ada"]}, requester="zoe")
    broken = voted(asked, emergency)
    review = approvals.reviewing(broken, emergency, "r2")

    assert broken.state == "approved"
    assert not approvals.by_default(broken)
    assert (review.kind, review.about) == ("review", "r1")
    for party in ("ada", "zoe"):
        with pytest.raises(NotEntitledError, match=f"'{party}' is excluded"):
            approvals.decide(review, say(party, "ops"))
    assert voted(review, say("eve", "ops", verdict="reject")).state == "rejected"


@pytest.mark.parametrize(
    ("vote", "message"),
    [
        (say("zoe", "break_glass", break_glass=True), "'zoe' started the run; nobody breaks the glass for themselves"),
        (say("ada", "break_glass", break_glass=True, reason=" "), "needs a reason"),
        (say("ada", "ops", break_glass=True), "holds the role 'break_glass'"),
        (say("ada", "break_glass", break_glass=True, authenticated=False), "who has signed in"),
        (say("ada", "break_glass", break_glass=True, on_behalf_of="eve"), "themselves"),
        (say("ada", "break_glass", break_glass=True, verdict="edit", value={}), "approves or rejects"),
    ],
)
def test_the_glass_is_not_broken_lightly(vote: Vote, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        approvals.decide(ask(STAGES, requester="zoe"), vote)
