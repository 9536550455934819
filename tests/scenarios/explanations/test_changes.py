from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, Group, Reference, directions, levers, smallest_change

OPEN = [True, True, True]
NAMES = {"amount": "either", "age": "either", "history": "either", "channel": "either"}


class Claim(BaseModel):
    amount: float
    age: int = Field(json_schema_extra={"actionable": False})
    history: float = Field(json_schema_extra={"monotonic": "increase"})


def threshold_game() -> Game:
    def logits(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.zeros(len(rows)), rows[:, 0] + rows[:, 1] - 1])

    rows = np.column_stack([np.linspace(0, 1, 101), np.linspace(0, 1, 101)[::-1]])
    return Game(logits, [Group("a", (0,)), Group("b", (1,))], Reference(rows=rows, query="all"), ["no", "yes"])


def test_the_schema_says_what_may_change_and_which_way() -> None:
    assert directions(Claim) == {"amount": "either", "history": "increase"}


def test_a_schema_that_says_something_else_is_refused() -> None:
    class Wrong(BaseModel):
        amount: float = Field(json_schema_extra={"monotonic": "up"})

    with pytest.raises(UsageError, match="'amount' says"):
        directions(Wrong)


def test_the_change_flips_the_choice_and_no_smaller_single_one_does() -> None:
    game, row = threshold_game(), np.array([0.5, 0.3])
    found = smallest_change(game, row, levers(game, row, {"a": "either", "b": "either"}), open_options=[True, True])
    assert found is not None
    (step,) = found.steps
    assert (found.option, step.feature, step.after) == ("yes", "b", pytest.approx(5 / 9))
    assert found.size == pytest.approx(0.26, abs=0.011)


def test_two_features_are_tried_where_one_does_not_do() -> None:
    game, row = threshold_game(), np.array([-0.5, -0.5])
    found = smallest_change(game, row, levers(game, row, {"a": "either", "b": "either"}), open_options=[True, True])
    assert found is not None
    assert {step.feature for step in found.steps} == {"a", "b"}


def test_what_may_not_change_does_not() -> None:
    game, row = threshold_game(), np.array([0.5, 0.3])
    assert smallest_change(game, row, levers(game, row, {"b": "decrease"}), open_options=[True, True]) is None


def test_a_closed_option_is_never_the_outcome(game: Game, cases: NDArray[np.float64]) -> None:
    for case in cases[:10]:
        preferred = game.options[int(game.worth(case[None])[0].argmax())]
        closed = next(option for option in game.options if option != preferred)
        tried = levers(game, case, dict.fromkeys(NAMES, "either"))
        found = smallest_change(game, case, tried, open_options=[option != closed for option in game.options])
        assert found is None or found.option not in (closed, preferred)


def test_a_category_changes_as_a_whole(game: Game, cases: NDArray[np.float64]) -> None:
    def spoken(group: Group, value: NDArray[np.float64]) -> Any:
        return ("web", "phone", "post")[int(value.argmax())]

    (lever,) = levers(game, cases[0], {"channel": "either"}, spoken)
    assert {step.after for step in lever.steps} | {lever.steps[0].before} == {"web", "phone", "post"}
    assert np.array_equal(lever.encoded.sum(axis=1), [1, 1])


def test_asking_for_a_closed_option_is_refused(game: Game, cases: NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="it is closed"):
        smallest_change(game, cases[0], [], open_options=[True, True, False], option="investigate")
    preferred = game.options[int(game.worth(cases[:1])[0].argmax())]
    with pytest.raises(UsageError, match="already"):
        smallest_change(game, cases[0], [], open_options=OPEN, option=preferred)
