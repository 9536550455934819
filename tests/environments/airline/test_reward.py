from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.environments.airline import calls, dataset
from gatewright.environments.airline.case import Case
from gatewright.environments.airline.reward import reward, solution
from gatewright.environments.domains import Held
from gatewright.environments.rows import Change, NoOverlay

BASE = dataset.load(dataset.BUILT_IN)
CANCEL = {"name": "cancel_reservation", "kwargs": {"reservation_id": "GWR001"}}
SEND = {"name": "send_certificate", "kwargs": {"user_id": "ada_stone_1001", "amount": 100}}


def left_by(*actions: Mapping[str, Any]) -> list[Change]:
    case = Case(BASE, NoOverlay())
    for action in actions:
        calls.perform(case, action["name"], action["kwargs"])
    return case.changes()


def task(*actions: Mapping[str, Any], outputs: list[str] | None = None, stopped: bool = True) -> dict[str, Any]:
    return {"actions": list(actions), "outputs": outputs or [], "stopped": stopped}


def score(task: Mapping[str, Any], changes: Sequence[Change], replies: Sequence[str] = ()) -> float:
    return reward(BASE, task, Held(changes=changes, replies=replies), solution(BASE, task))


def test_the_tasks_own_actions_are_worth_the_full_reward() -> None:
    assert score(task(CANCEL, SEND), left_by(SEND, CANCEL)) == 1.0


@pytest.mark.parametrize("done", [[], [CANCEL], [CANCEL, SEND, SEND]])
def test_less_or_more_than_the_task_asks_for_is_worth_nothing(done: list[dict[str, Any]]) -> None:
    assert score(task(CANCEL, SEND), left_by(*done)) == 0.0


def test_a_float_in_place_of_an_integer_is_another_state() -> None:
    other = {"name": SEND["name"], "kwargs": {"user_id": "ada_stone_1001", "amount": 100.0}}
    assert score(task(SEND), left_by(other)) == 0.0


def test_a_task_with_outputs_asks_for_words_only() -> None:
    wanted = task(SEND, outputs=["1500", "yes"])
    assert score(wanted, [], ["That is 1,500 dollars.", "YES"]) == 1.0
    assert score(wanted, left_by(SEND), ["That is 1,500 dollars."]) == 0.0


def test_a_conversation_that_came_to_no_end_is_worth_nothing() -> None:
    assert score(task(stopped=False), []) == 0.0


@pytest.mark.parametrize("kwargs", [{"summary": "s"}, {}])
def test_handing_over_ends_the_conversation_whatever_the_arguments(kwargs: dict[str, Any]) -> None:
    transfer = {"name": "transfer_to_human_agents", "kwargs": kwargs}
    assert score(task(CANCEL, transfer, stopped=False), left_by(CANCEL, transfer)) == 1.0


def test_a_task_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="not one of the airline's"):
        score({"actions": [{"tool": "x"}]}, [])
