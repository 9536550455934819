"""Approvals as others show them, and what is decided there as a vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gatewright.runtime import jsontext
from gatewright.runtime.views import ApprovalView, Verb

from . import questions
from .reviews import Asked, Choice, Decided, check, is_object

UNSAID = "Rejected without a reason."
_CHOICES: Mapping[Verb, Choice] = {"approve": "approve", "edit": "edit", "reject": "reject", "answer": "respond"}
_VERBS = {choice: verb for verb, choice in _CHOICES.items()}


class Wish(NamedTuple):
    """A vote, as `decide` takes it."""

    verb: Verb
    reason: str
    value: Any


def asked(view: ApprovalView) -> tuple[Asked, ...]:
    """The actions that a request is about.

    Whether an action happened is not offered as something to approve: elsewhere that word would perform it again.
    """
    if view.kind == "question":
        payload = view.action.get("payload")
        if (question := questions.understand(payload)) is not None:
            return question.asked
        args = payload if is_object(payload) else {"question": payload}
        return (Asked(name=f"{view.agent} asks", args=args, description=view.reason, choices=("reject", "respond")),)
    choices: tuple[Choice, ...] = tuple(
        _CHOICES[verb] for verb in view.answers if view.kind != "unknown" or verb != "approve"
    )
    return (
        Asked(name=view.action["name"], args=view.action.get("args", {}), description=view.reason, choices=choices),
    )


def wish(view: ApprovalView, decided: Sequence[Decided]) -> Wish:
    """The vote that these decisions, in the order of `asked`, stand for.

    Raises:
        UsageError: there is not one for each action, or an action does not allow it.
    """
    check(asked(view), decided)
    question = questions.understand(view.action.get("payload")) if view.kind == "question" else None
    if question is not None:
        return Wish("answer", "; ".join(one.message for one in decided if one.message), question.answer(decided))
    (one,) = decided
    match one.choice:
        case "edit":
            return Wish("edit", "", dict(one.args))
        case "respond":
            return Wish("answer", "", _value(view, one.message))
        case "reject":
            return Wish("reject", one.message or UNSAID, None)
        case "approve":
            return Wish("approve", one.message, None)


def _value(view: ApprovalView, message: str) -> Any:
    """What somebody wrote where a text was all they could write: JSON, where the form asks for something else."""
    if view.kind == "approval" or view.form.get("type", "string") == "string":
        return message
    try:
        return jsontext.parse(message)
    except ValueError:
        return message
