"""Recorded conversations of the airline as steps, and what the rules say of each call when they are played again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from gatewright.agents import Conversation
from gatewright.environments.airline import calls, episodes
from gatewright.environments.airline.case import Case
from gatewright.environments.airline.dataset import Dataset
from gatewright.environments.airline.reward import Task
from gatewright.environments.rows import NoOverlay
from gatewright.safety import Event, Guard, Past
from gatewright.safety.verdicts import RuleHit

POLICY = "policy."  # how the ids of the rules begin that state the written policy
WRITES = (
    "book_reservation",
    "cancel_reservation",
    "send_certificate",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
)
_BEGAN = datetime(2024, 5, 15, 15, tzinfo=UTC)
_PACE = timedelta(seconds=10)  # from one step to the next


class Said(NamedTuple):
    """What the customer said."""

    text: str


class Called(NamedTuple):
    """What the model called."""

    name: str
    args: Mapping[str, Any]


Step = Said | Called


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A recorded conversation. `solution`: the calls that its task asks for."""

    id: str
    task: str
    reward: float
    steps: tuple[Step, ...]
    solution: tuple[Called, ...]


class Judged(NamedTuple):
    """A call as it was judged and then performed whatever the verdict was. `at`: its place among the steps."""

    at: int
    call: Called
    result: str
    hits: tuple[RuleHit, ...]
    findings: tuple[str, ...]

    @property
    def policy(self) -> tuple[str, ...]:
        """The rules of the written policy that hold the call up, and whatever went wrong with a rule."""
        held = [hit.rule_id for hit in self.hits if hit.rule_id.startswith(POLICY) and hit.counts]
        return (*held, *self.findings)

    @property
    def performed(self) -> bool:
        """Whether the airline did what it was asked for."""
        return not self.result.startswith("Error")


def read(path: Path) -> list[Episode]:
    """The conversations in a file of tau-bench's format, in its order."""
    return [_episode(conversation) for conversation in episodes.read(path, None)]


def _episode(conversation: Conversation) -> Episode:
    task = Task.model_validate(conversation.task)
    return Episode(
        id=conversation.id,
        task=conversation.id.split("-")[1],
        reward=conversation.score or 0.0,
        steps=tuple(_steps(conversation)),
        solution=tuple(Called(action.name, action.kwargs) for action in task.actions),
    )


def _steps(conversation: Conversation) -> list[Step]:
    """The customer speaks, then the model calls until it speaks itself."""
    turns: Sequence[Mapping[str, Any]] = conversation.settings["recording"]["turns"]
    waiting = list(conversation.customer)
    steps: list[Step] = []
    speaks = True
    for turn in turns:
        if speaks and waiting:
            steps.append(Said(waiting.pop(0)))
        speaks = not turn["tool_calls"]
        steps += [Called(call["name"], call["args"]) for call in turn["tool_calls"]]
    return steps


def judge(guard: Guard, data: Dataset, steps: Sequence[Step], *, only: int | None = None) -> list[Judged]:
    """What the guard says of every call of a conversation that is held on `data`.

    Args:
        only: judge just the call at this step; those before it are performed, those after it are not.
    """
    case = Case(data, NoOverlay())
    history: list[Past] = []
    judged: list[Judged] = []
    for at, step in enumerate(steps):
        time = _BEGAN + at * _PACE
        if isinstance(step, Said):
            history.append(Past(kind="human", name="user", result=step.text, time=time))
            continue
        decision = None
        if only in (None, at):
            decision = guard.evaluate(
                Event(hook="tool.before", name=step.name, agent="changes", args=step.args, history=history, time=time)
            )
        result = calls.perform(case, step.name, copy.deepcopy(dict(step.args)))
        history.append(Past(kind="tool", name=step.name, args=step.args, result=result, time=time))
        if decision is not None:
            findings = tuple(f"finding:{finding.rule_id}" for finding in decision.findings)
            judged.append(Judged(at, step, result, decision.hits, findings))
        if at == only:
            break
    return judged
