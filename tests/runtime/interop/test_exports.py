"""Approvals as others show them."""

from typing import Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.interop import exports
from gatewright.runtime.interop.reviews import Decided
from gatewright.runtime.views import ApprovalView


def view(kind: str = "approval", **more: Any) -> ApprovalView:
    return ApprovalView.model_validate(
        {
            "id": "ask-1",
            "kind": kind,
            "state": "open",
            "run_id": "r",
            "thread_id": "t",
            "case_id": "c",
            "deployment": "x",
            "agent": "clerk",
            "action": {"kind": "tool", "name": "pay", "args": {"amount": 1}},
            "digest": "d",
            "created_at": "2026-01-02T00:00:00Z",
            "answers": ["approve", "reject", "edit", "answer"],
            **more,
        }
    )


def test_whether_something_happened_is_not_offered_as_something_to_approve() -> None:
    unknown = view("unknown", answers=["answer", "approve", "reject"])

    assert [action.choices for action in exports.asked(unknown)] == [("respond", "reject")]
    with pytest.raises(UsageError, match="does not take"):
        exports.wish(unknown, [Decided(choice="approve")])


def test_an_approval_that_several_decide_cannot_be_answered_in_its_place() -> None:
    (action,) = exports.asked(view(answers=["approve", "reject", "edit"]))

    assert action.choices == ("approve", "reject", "edit")


def test_a_rejection_without_a_message_still_has_a_reason() -> None:
    assert exports.wish(view(), [Decided(choice="reject")]) == ("reject", exports.UNSAID, None)


@pytest.mark.parametrize(
    ("form", "written", "value"),
    [
        ({}, "7", "7"),
        ({"type": "string"}, "7", "7"),
        ({"type": "integer"}, "7", 7),
        ({"type": "integer"}, "seven", "seven"),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ],
)
def test_what_is_written_as_text_is_read_as_the_form_asks_for(form: Any, written: str, value: Any) -> None:
    question = view("question", action={"kind": "human", "name": "clerk", "payload": "how much?"}, form=form)

    assert exports.wish(question, [Decided(choice="respond", message=written)]).value == value


def test_a_plain_question_shows_what_is_asked() -> None:
    question = view("question", action={"kind": "human", "name": "clerk", "payload": "how much?"})

    (action,) = exports.asked(question)

    assert (action.name, action.args) == ("clerk asks", {"question": "how much?"})
