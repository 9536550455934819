"""The final reward of a conversation, as tau-bench computes it.

1 if the conversation came to its end and did what the task asks for, else 0. A task with `outputs` asks for texts that
must have been said to the customer (and for nothing else); any other asks for the data that its `actions` lead to.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from gatewright.agents.errors import UsageError
from gatewright.environments.domains import Held
from gatewright.environments.rows import Change, NoOverlay

from . import calls
from .case import Case
from .catalogue import TRANSFER
from .dataset import Dataset
from .episodes import SAYING

SCORED = ("reservations", "users")


class Action(BaseModel):
    """One tool call of a task's solution."""

    name: str
    kwargs: dict[str, Any]


class Task(BaseModel):
    """What a conversation is judged by; `stopped` tells that the recorded customer `user_id` ended it."""

    user_id: str = ""
    instruction: str = ""
    actions: list[Action] = Field(default_factory=list)
    outputs: list[str] = Field(default_factory=list)
    stopped: bool = False


def _frozen(value: Any) -> Any:
    """Order of keys does not count, order of elements does, and 1, 1.0 and True are three things."""
    if isinstance(value, dict):
        return tuple((key, _frozen(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return tuple(_frozen(element) for element in value)
    return value if isinstance(value, str) else f"{type(value).__name__}:{value!r}".encode()  # equal to no text


def _state(changes: Iterable[Change]) -> dict[tuple[str, str], str]:
    return {(change.table, change.key): change.value for change in changes if change.table in SCORED}


def _same(dataset: Dataset, one: Iterable[Change], other: Iterable[Change]) -> bool:
    """Whether two cases on one data set left the same data; rows that neither touched are equal anyway."""
    first, second = _state(one), _state(other)

    def row(state: Mapping[tuple[str, str], str], table: str, key: str) -> Any:
        if (table, key) in state:
            return _frozen(json.loads(state[table, key]))
        base = dataset.reservations if table == "reservations" else dataset.users
        return _frozen(base[key]) if key in base else None

    return all(row(first, *place) == row(second, *place) for place in first.keys() | second.keys())


def _asked(task: Mapping[str, Any]) -> Task:
    try:
        return Task.model_validate(task)
    except ValidationError as error:
        raise UsageError(f"the task {dict(task)!r} is not one of the airline's: {error.errors()[0]['msg']}") from error


def solution(dataset: Dataset, task: Mapping[str, Any]) -> Case:
    """The case that a task's own actions lead to on a fresh copy of the data. Whom the task names counts as looked up.

    Raises:
        UsageError: `task` is not one of this airline's.
    """
    case = Case(dataset, NoOverlay())
    asked = _asked(task)
    for table in (case.users, case.reservations):
        table.mention(f"{asked.user_id} {asked.instruction}")
    for action in asked.actions:
        if action.name not in (TRANSFER, SAYING):
            calls.perform(case, action.name, copy.deepcopy(action.kwargs))
    return case


def reward(dataset: Dataset, task: Mapping[str, Any], held: Held, solution: Case) -> float:
    """1.0 or 0.0 for what a conversation left behind, beside the task's own `solution`.

    Raises:
        UsageError: `task` is not one of this airline's.
    """
    asked = _asked(task)
    transferred = any(change.table == "transfers" for change in held.changes)
    if not (asked.stopped or transferred):
        return 0.0
    if asked.outputs:
        said = [reply.lower().replace(",", "") for reply in held.replies]
        return float(all(any(output.lower() in text for text in said) for output in asked.outputs))
    return float(_same(dataset, held.changes, solution.changes()))
