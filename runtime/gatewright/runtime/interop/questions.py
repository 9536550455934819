"""Questions that agents ask in a shape of somebody else's: understood, so that people decide instead of typing JSON.

An agent that runs langchain's `HumanInTheLoopMiddleware`, or interrupts as Agent Inbox has it, asks about actions. Its
question then takes the verbs of an approval besides an answer in the agent's own shape, and the agent is resumed with
exactly what it expects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gatewright.agents.errors import UsageError
from gatewright.safety.approvals import forms
from gatewright.safety.approvals.ballots import Answer, Request, Vote

from . import hitl, inbox
from .reviews import Asked, Choice, Decided, check, is_object

_VERBS: Mapping[Answer, Choice] = {"approve": "approve", "edit": "edit", "reject": "reject"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """Actions that an agent asks about.

    `schema` is that of the answer that the agent expects; `answer` gives it, for decisions in the order of `asked`;
    `read` gives the decisions of such an answer back.
    """

    asked: tuple[Asked, ...]
    schema: Mapping[str, Any]
    answer: Callable[[Sequence[Decided]], Any]
    read: Callable[[Any], list[Decided]]

    @property
    def prompt(self) -> str:
        """The question in a sentence."""
        return f"asks before it performs {', '.join(action.name for action in self.asked)}"

    @property
    def verbs(self) -> tuple[Answer, ...]:
        """What it takes, for all its actions alike; `edit` where there is but one."""
        alike: list[Answer] = [
            verb for verb, choice in _VERBS.items() if all(choice in action.choices for action in self.asked)
        ]
        if len(self.asked) > 1 and "edit" in alike:
            alike.remove("edit")
        return (*alike, "answer", *(() if "reject" in alike else ("reject",)))


def understand(payload: Any) -> Question | None:
    """The actions that an interrupt's payload asks about; None where it asks something else."""
    if (asked := hitl.read(payload)) is not None:
        return Question(
            asked=asked,
            schema=hitl.schema(asked),
            answer=partial(hitl.response, asked),
            read=partial(hitl.decisions, asked),
        )
    if (action := hitl.read_one(payload)) is not None:
        return Question(
            asked=(action,),
            schema=hitl.decision_schema(action),
            answer=lambda decided: hitl.decision(action, decided[0]),
            read=lambda value: hitl.decisions((action,), {"decisions": [value]}),
        )
    if (asked := inbox.read(payload)) is not None:
        return Question(
            asked=asked,
            schema=inbox.schema(asked),
            answer=partial(inbox.responses, asked),
            read=partial(inbox.decisions, asked),
        )
    return None


def of_request(request: Request) -> Question | None:
    """The actions that a request's agent asks about in its own name; None where it asks something else."""
    return understand(request.action.args.get("payload")) if request.kind == "question" else None


def answers(request: Request) -> tuple[Answer, ...]:
    """What people may answer to a request."""
    question = of_request(request)
    return forms.answers(request) if question is None else question.verbs


def translated(request: Request, vote: Vote) -> Vote:
    """The vote as the agent's question takes it: approving, editing or rejecting answers it in the agent's own shape.

    A rejection that the agent has no word for declines to answer, which ends the run.

    Raises:
        UsageError: an action does not allow that, or an edit has no arguments or is of several actions.
    """
    question = of_request(request)
    if question is None or vote.verdict == "answer":
        return vote
    choice = _VERBS[vote.verdict]
    if choice == "reject" and any("reject" not in action.choices for action in question.asked):
        return vote
    if choice == "reject" and not vote.reason.strip():
        raise UsageError(f"rejecting request {request.id!r} needs a reason; the agent is told it")
    if choice == "edit" and (len(question.asked) > 1 or not is_object(vote.value)):
        raise UsageError(
            f"editing request {request.id!r} needs the new arguments of its one action as an object; it has "
            f"{len(question.asked)} actions: decide each with `answer`"
        )
    args = vote.value if choice == "edit" else {}
    decided = [Decided(choice=choice, args=args, message=vote.reason) for _ in question.asked]
    check(question.asked, decided)
    return dataclasses.replace(vote, verdict="answer", value=question.answer(decided))
