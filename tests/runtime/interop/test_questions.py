"""Payloads of others: understood, answered in exactly their shape, refused where they are something else."""

import dataclasses
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents.middleware.human_in_the_loop import Decision as LangchainDecision
from langchain.agents.middleware.human_in_the_loop import HITLRequest, HITLResponse
from pydantic import TypeAdapter

from gatewright.agents.errors import UsageError
from gatewright.runtime.interop import hitl, inbox, questions
from gatewright.runtime.interop.reviews import Asked, Choice, Decided
from gatewright.safety import approvals
from gatewright.safety.approvals.ballots import Request, Vote

CHOICES: tuple[Choice, ...] = ("approve", "edit", "reject", "respond")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def actions(draw: st.DrawFn) -> Asked:
    chosen = draw(st.sets(st.sampled_from(CHOICES), min_size=1))
    return Asked(
        name=draw(st.text(min_size=1, max_size=8)),
        args=draw(st.dictionaries(st.text(max_size=8), JSON, max_size=3)),
        description=draw(st.text(max_size=8)),
        choices=tuple(choice for choice in CHOICES if choice in chosen),
    )


@st.composite
def decided(draw: st.DrawFn, asked: list[Asked]) -> list[Decided]:
    found: list[Decided] = []
    for action in asked:
        choice = draw(st.sampled_from(action.choices))
        args = draw(st.dictionaries(st.text(max_size=8), JSON, max_size=2)) if choice == "edit" else {}
        found.append(Decided(choice=choice, args=args, message=draw(st.text(max_size=8))))
    return found


ASKED = st.lists(actions(), min_size=1, max_size=3)


def request(payload: Any) -> Request:
    action = approvals.Action(
        kind="human", name="clerk", args={"payload": payload}, agent="clerk", deployment="x", pack=""
    )
    question = questions.understand(payload)
    schema = None if question is None else question.schema
    return Request(id="ask-1", kind="question", action=action, schema=schema)


def vote(verdict: approvals.Answer, value: Any = None, reason: str = "because") -> Vote:
    return Vote(by="kim", verdict=verdict, value=value, reason=reason)


@given(asked=ASKED)
def test_a_hitl_request_that_we_write_is_langchains_and_is_read_back(asked: list[Asked]) -> None:
    written = TypeAdapter(HITLRequest).validate_python(hitl.request(asked), strict=True)

    question = questions.understand(dict(written))

    assert question is not None
    assert question.asked == tuple(asked)


@given(data=st.data(), asked=ASKED)
def test_an_answer_to_a_hitl_request_is_langchains_fits_the_form_and_is_read_back(
    data: st.DataObject, asked: list[Asked]
) -> None:
    chosen = data.draw(decided(asked))

    answer = hitl.response(asked, chosen)

    TypeAdapter(HITLResponse).validate_python(answer, strict=True)
    jsonschema.validate(answer, hitl.schema(asked), jsonschema.Draft202012Validator)
    says = [one.choice in ("reject", "respond") for one in chosen]
    expected = [one if kept else dataclasses.replace(one, message="") for one, kept in zip(chosen, says, strict=True)]
    assert hitl.decisions(asked, answer) == expected


@given(data=st.data(), asked=ASKED)
def test_an_answer_to_agent_inbox_fits_the_form_and_is_read_back(data: st.DataObject, asked: list[Asked]) -> None:
    chosen = data.draw(decided(asked))

    answer = inbox.responses(asked, chosen)

    jsonschema.validate(answer, inbox.schema(asked), jsonschema.Draft202012Validator)
    expected = [one if one.choice == "respond" else dataclasses.replace(one, message="") for one in chosen]
    assert inbox.decisions(asked, answer) == expected


@given(asked=ASKED)
def test_what_we_write_for_agent_inbox_is_read_back_alone_and_in_a_list(asked: list[Asked]) -> None:
    written = inbox.request(asked)

    for payload, expected in ((written, tuple(asked)), (written[0], (asked[0],))):
        question = questions.understand(payload)
        assert question is not None and question.asked == expected


@given(payload=JSON)
def test_anything_else_is_somebodys_own_question(payload: Any) -> None:
    assert questions.understand(payload) is None


@pytest.mark.parametrize(
    "payload",
    [
        {"action_requests": [], "review_configs": []},
        {"action_requests": [{"name": "pay", "args": {}}], "review_configs": []},
        {
            "action_requests": [{"name": "pay", "args": {}}],
            "review_configs": [{"action_name": "other", "allowed_decisions": ["approve"]}],
        },
        {
            "action_requests": [{"name": "pay", "args": {}}],
            "review_configs": [{"action_name": "pay", "allowed_decisions": ["shrug"]}],
        },
        {"action_requests": [{"name": "pay", "args": "all"}], "review_configs": []},
        [{"action_request": {"action": "pay", "args": {}}, "config": {"allow_accept": "yes"}}],
        [{"action_request": {"action": "pay", "args": {}}, "config": {}}, {"action_request": {}}],
        {"type": "tool_approval", "name": "pay"},
    ],
)
def test_what_only_looks_like_one_of_the_shapes_is_not_taken_for_it(payload: Any) -> None:
    assert questions.understand(payload) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"decisions": []},
        {"decisions": [{"type": "approve"}]},
        {"decisions": [{"type": "approve"}] * 3},
        {"decisions": [{"type": "approve"}, {"type": "edit", "edited_action": {"name": "wipe", "args": {}}}]},
        {"decisions": [{"type": "reject"}, {"type": "approve"}]},
        {"decisions": [{"type": "approve"}, {"type": "respond"}]},
        {"decisions": [{"type": "approve", "also": 1}, {"type": "approve"}]},
        {"decisions": "approve"},
        [{"type": "approve"}, {"type": "approve"}],
    ],
)
def test_the_form_refuses_decisions_that_the_agent_does_not_allow(wrong: Any) -> None:
    asked = (
        Asked(name="mail", args={}, choices=("approve",)),
        Asked(name="delete", args={}, choices=("approve", "edit", "reject", "respond")),
    )

    with pytest.raises(UsageError):
        approvals.decide(request(hitl.request(asked)), vote("answer", wrong))


TWO = hitl.request(
    [
        Asked(name="mail", args={"to": "a"}, choices=("approve", "reject")),
        Asked(name="delete", args={}, choices=("approve", "edit", "reject")),
    ]
)
ONE = inbox.request([Asked(name="mail", args={"to": "a"}, choices=CHOICES)])


def test_the_verbs_of_an_approval_answer_all_actions_alike() -> None:
    asked = request(TWO)

    approved = questions.translated(asked, vote("approve"))
    rejected = questions.translated(asked, vote("reject", reason="no"))

    assert approved.value == {"decisions": [{"type": "approve"}] * 2}
    assert rejected.value == {"decisions": [{"type": "reject", "message": "no"}] * 2}
    assert [approvals.decide(asked, one).state for one in (approved, rejected)] == ["answered"] * 2


def test_editing_the_one_action_answers_with_the_agents_own_name_for_it() -> None:
    asked = request(ONE)

    edited = questions.translated(asked, vote("edit", {"to": "b"}))

    assert edited.value == [{"type": "edit", "args": {"action": "mail", "args": {"to": "b"}}}]
    assert approvals.decide(asked, edited).state == "answered"


def test_editing_several_actions_at_once_is_refused() -> None:
    with pytest.raises(UsageError, match="2 actions: decide each"):
        questions.translated(request(TWO), vote("edit", {"to": "b"}))


def test_a_rejection_without_a_reason_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        questions.translated(request(TWO), vote("reject", reason=" "))


def test_where_an_agent_has_no_word_for_a_rejection_it_declines_the_question() -> None:
    payload = hitl.request([Asked(name="mail", args={}, choices=("approve",))])
    rejection = vote("reject")

    assert questions.translated(request(payload), rejection) is rejection


def test_approving_what_may_not_be_approved_is_refused() -> None:
    payload = hitl.request([Asked(name="ask_user", args={}, choices=("respond",))])

    with pytest.raises(UsageError, match="does not take"):
        questions.translated(request(payload), vote("approve"))


def test_a_plain_question_keeps_its_verbs() -> None:
    said = vote("approve")

    assert questions.translated(request("how much?"), said) is said
    assert questions.of_request(request("how much?")) is None


@pytest.mark.parametrize(
    ("payload", "verbs"),
    [
        (TWO, ("approve", "reject", "answer")),
        (ONE, ("approve", "edit", "reject", "answer")),
        (hitl.request([Asked(name="ask_user", args={}, choices=("respond",))]), ("answer", "reject")),
        ("how much?", ("answer", "reject")),
    ],
)
def test_a_question_says_which_verbs_it_takes(payload: Any, verbs: tuple[str, ...]) -> None:
    assert questions.answers(request(payload)) == verbs


def test_a_call_that_asks_for_itself_is_answered_by_one_decision() -> None:
    payload = {"type": "tool_approval", "tool_call_id": "1", "name": "mail", "args": {"to": "a"}, "description": "d"}

    answered = questions.translated(request(payload), vote("edit", {"to": "b"}))

    assert answered.value == {"type": "edit", "edited_action": {"name": "mail", "args": {"to": "b"}}}
    TypeAdapter[Any](LangchainDecision).validate_python(answered.value)


def test_agent_inboxs_own_spelling_of_langchains_decisions_is_taken() -> None:
    asked = (Asked(name="mail", args={}, choices=CHOICES),) * 3
    spelt = [
        {"type": "approve", "args": None},
        {"type": "edit", "args": {"action": "mail", "args": {"to": "b"}}},
        {"type": "reject", "args": "not now"},
    ]

    assert hitl.decisions(asked, {"decisions": spelt}) == [
        Decided(choice="approve"),
        Decided(choice="edit", args={"to": "b"}),
        Decided(choice="reject", message="not now"),
    ]
