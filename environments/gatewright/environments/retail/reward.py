"""The final reward of a conversation, as tau2-bench computes it.

0 if the conversation did not come to its end. Otherwise the product of what the task's `reward_basis` names: the data
are as the task's own actions leave them (DB), its calls were made (ACTION), its texts were said (COMMUNICATE), and the
recorded judge found its statements to hold (NL_ASSERTION; judgements are read from the recording, never made).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gatewright.agents.errors import UsageError
from gatewright.environments.domains import Called, Held
from gatewright.environments.rows import NoOverlay, digest

from . import calls
from .case import Case
from .dataset import Dataset

Basis = Literal["DB", "ENV_ASSERTION", "NL_ASSERTION", "ACTION", "COMMUNICATE"]


class Action(BaseModel):
    """One tool call of a task's solution. `compare_args`: the arguments that count; None: all of the made call's."""

    name: str
    arguments: dict[str, Any]
    requestor: str = "assistant"
    compare_args: list[str] | None = None

    def made_by(self, call: Called) -> bool:
        """Whether the call is this action."""
        if self.name != call.name:
            return False
        compared = set(call.args if self.compare_args is None else self.compare_args)
        wanted = {name: value for name, value in self.arguments.items() if name in compared}
        return wanted == {name: value for name, value in call.args.items() if name in compared}


class Criteria(BaseModel):
    """What a task asks for."""

    actions: list[Action] | None = None
    communicate_info: list[str] | None = None
    nl_assertions: list[str] | None = None
    env_assertions: list[dict[str, Any]] | None = None
    reward_basis: tuple[Basis, ...] = ("DB", "COMMUNICATE")

    @property
    def any_state(self) -> bool:
        """Whether the task does not care how the data are left; a task with an empty list of actions does."""
        return self.actions is None and self.env_assertions is None


class Task(BaseModel):
    """What a conversation is judged by.

    `stopped`: the customer or the agent ended it. `judged`: what the recorded judge said of each of the task's
    `nl_assertions`. `unknown`: the recording does not say what its task is.
    """

    model_config = ConfigDict(extra="ignore")

    user_scenario: dict[str, Any] | None = None
    evaluation_criteria: Criteria | None = None
    initial_state: dict[str, Any] | None = None
    stopped: bool = False
    judged: list[bool] | None = None
    unknown: bool = False


def _asked(task: Mapping[str, Any]) -> Task:
    try:
        asked = Task.model_validate(task)
    except ValidationError as error:
        raise UsageError(f"the task {dict(task)!r} is not one of the shop's: {error.errors()[0]['msg']}") from error
    if asked.unknown:
        raise UsageError(f"the recording does not say what its task {task.get('id')!r} asks for")
    if any((asked.initial_state or {}).values()):
        raise UsageError(
            f"task {task.get('id')!r} begins in a state of its own; the shop's tasks begin as its data are"
        )
    return asked


def solution(dataset: Dataset, task: Mapping[str, Any]) -> Case:
    """The case that a task's own actions lead to on a fresh copy of the data. Whom the task names counts as looked up.

    Raises:
        UsageError: `task` is not one of this shop's.
    """
    case = Case(dataset, NoOverlay())
    asked = _asked(task)
    for table in (case.users, case.orders):
        table.mention(str(asked.user_scenario))
    criteria = asked.evaluation_criteria
    for action in (criteria and criteria.actions) or ():
        calls.perform(case, Called(name=action.name, args=copy.deepcopy(action.arguments), by=action.requestor))
    return case


def _said(texts: Sequence[str], replies: Sequence[str]) -> bool:
    said = [reply.lower().replace(",", "") for reply in replies]
    return all(any(text.lower() in reply for reply in said) for text in texts)


def _done(actions: Sequence[Action], made: Sequence[Called] | None) -> bool:
    if actions and made is None:
        raise UsageError("the task is judged by the calls that were made, which only a replay of the recording knows")
    return all(any(action.made_by(call) for call in made or ()) for action in actions)


def _judged(task: Task, statements: Sequence[str]) -> bool:
    if statements and task.judged is None:
        raise UsageError(f"the recording does not say what its judge found of {statements[0]!r}")
    return all(task.judged or ())


def reward(dataset: Dataset, task: Mapping[str, Any], held: Held, solution: Case) -> float:
    """1.0 or 0.0 for what a conversation left behind, beside the task's own `solution`.

    Raises:
        UsageError: `task` is not one of this shop's, or asks for what is not known of the conversation.
    """
    asked = _asked(task)
    if not asked.stopped:
        return 0.0
    criteria = asked.evaluation_criteria
    if criteria is None:
        return 1.0
    if criteria.env_assertions and "ENV_ASSERTION" in criteria.reward_basis:
        raise UsageError("the task asks for assertions of its environment; the shop has none")
    basis = set(criteria.reward_basis)
    if "DB" in basis and not criteria.any_state and digest(held.changes) != digest(solution.changes()):
        return 0.0
    if "ACTION" in basis and not _done(criteria.actions or (), held.calls):
        return 0.0
    if "NL_ASSERTION" in basis and not _judged(asked, criteria.nl_assertions or ()):
        return 0.0
    if "COMMUNICATE" in basis and not _said(criteria.communicate_info or (), held.replies):
        return 0.0
    return 1.0
