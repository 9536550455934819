from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.environments.domains import Called, Held
from gatewright.environments.retail import RETAIL
from gatewright.environments.retail.case import Case

if TYPE_CHECKING:
    from tests.environments.retail.conftest import Ask

CANCEL = {"order_id": "#W1", "reason": "no longer needed"}
LOOK = {"order_id": "#W1"}


def task(stopped: bool = True, judged: Sequence[bool] | None = None, **criteria: Any) -> dict[str, Any]:
    return {"id": "7", "evaluation_criteria": criteria, "stopped": stopped, "judged": judged}


def action(name: str, arguments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"action_id": "7_0", "name": name, "arguments": arguments, **more}


def score(
    folder: Path, task: Mapping[str, Any], case: Case, replies: Sequence[str] = (), calls: list[Called] | None = None
) -> float:
    data = RETAIL.load(folder)
    held = Held(changes=case.changes(), replies=replies, calls=calls)
    return RETAIL.reward(data, task, held, RETAIL.solution(data, task))


def test_data_left_as_the_tasks_actions_leave_them_are_worth_it(folder: Path, case: Case, ask: Ask) -> None:
    wanted = task(actions=[action("get_order_details", LOOK), action("cancel_pending_order", CANCEL)])
    assert score(folder, wanted, case) == 0.0
    ask("cancel_pending_order", **CANCEL)
    assert score(folder, wanted, case) == 1.0


def test_a_task_without_a_list_of_actions_takes_any_data(folder: Path, case: Case, ask: Ask) -> None:
    ask("cancel_pending_order", **CANCEL)
    assert score(folder, task(), case) == 1.0
    assert score(folder, task(actions=[]), case) == 0.0


def test_a_conversation_that_did_not_come_to_its_end_is_worth_nothing(folder: Path, case: Case) -> None:
    assert score(folder, task(stopped=False), case) == 0.0


def test_what_is_to_be_said_is_found_in_any_reply(folder: Path, case: Case) -> None:
    wanted = task(actions=[], communicate_info=["1500", "Visa"])
    assert score(folder, wanted, case, ["It was 1,500 dollars.", "On your VISA."]) == 1.0
    assert score(folder, wanted, case, ["It was 1,500 dollars."]) == 0.0


@pytest.mark.parametrize(
    ("made", "compare", "worth"),
    [
        ({"order_id": "#W1"}, None, 1.0),
        ({"order_id": "#W2"}, None, 0.0),
        ({"order_id": "#W2"}, [], 1.0),
        ({}, None, 1.0),
        ({}, ["order_id"], 0.0),
    ],
)
def test_calls_are_compared_by_the_arguments_that_count(
    folder: Path, case: Case, made: dict[str, Any], compare: list[str] | None, worth: float
) -> None:
    wanted = task(actions=[action("get_order_details", LOOK, compare_args=compare)], reward_basis=["ACTION"])
    assert score(folder, wanted, case, calls=[Called(name="get_order_details", args=made)]) == worth


def test_calls_that_nobody_knows_are_not_guessed(folder: Path, case: Case) -> None:
    wanted = task(actions=[action("get_order_details", LOOK)], reward_basis=["ACTION"])
    with pytest.raises(UsageError, match="only a replay"):
        score(folder, wanted, case)


@pytest.mark.parametrize(("judged", "worth"), [([True, True], 1.0), ([True, False], 0.0)])
def test_statements_are_judged_as_recorded(folder: Path, case: Case, judged: list[bool], worth: float) -> None:
    wanted = task(judged=judged, nl_assertions=["is kind", "is brief"], reward_basis=["NL_ASSERTION"])
    assert score(folder, wanted, case) == worth


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (task(nl_assertions=["is kind"], reward_basis=["NL_ASSERTION"]), "what its judge found of 'is kind'"),
        (task(env_assertions=[{}], reward_basis=["ENV_ASSERTION"]), "the shop has none"),
        ({"id": "7", "unknown": True, "stopped": True}, "does not say what its task '7' asks for"),
        ({"id": "7", "initial_state": {"initialization_data": {}, "message_history": [1]}}, "a state of its own"),
        ({"evaluation_criteria": {"actions": [{"tool": "x"}]}}, "not one of the shop's"),
    ],
)
def test_what_cannot_be_judged_is_refused(folder: Path, case: Case, given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        score(folder, given, case)
