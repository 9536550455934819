from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from gatewright.agents import Choice, DecisionPoint, decide
from gatewright.agents.errors import UsageError

if TYPE_CHECKING:
    from tests.agents.conftest import NotingChain

Running = Callable[[Mapping[str, Any]], AbstractContextManager[None]]


class Load(BaseModel):
    cases: int


def first_open(features: Load, open_options: Sequence[str]) -> Choice:
    return Choice(option=open_options[0], policy="first@1")


def stubborn(features: Load, open_options: Sequence[str]) -> Choice:
    return Choice(option="left", policy="stubborn@1")


POINT = DecisionPoint(name="route", features=Load, options=("left", "right"), policy=first_open)


def test_the_points_own_policy_chooses() -> None:
    assert decide(POINT, Load(cases=1)).option == "left"


def test_a_closed_option_is_not_offered() -> None:
    assert decide(POINT, Load(cases=1), closed={"left": "road works"}).option == "right"


def test_another_policy_may_choose() -> None:
    assert decide(POINT, Load(cases=1), policy=stubborn).policy == "stubborn@1"


def test_a_choice_that_is_not_open_is_refused() -> None:
    with pytest.raises(UsageError, match="'stubborn@1' chose 'left'"):
        decide(POINT, Load(cases=1), closed={"left": "road works"}, policy=stubborn)


@pytest.mark.parametrize(
    ("closed", "complaint"),
    [({"up": "?"}, "no option 'up'"), ({"left": "a", "right": "b"}, "every option is closed")],
)
def test_closing_an_unknown_option_or_all_of_them_is_refused(closed: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        decide(POINT, Load(cases=1), closed=closed)


def test_in_a_run_a_decision_is_an_effect(running: Running, chain: NotingChain) -> None:
    with running({}):
        decide(POINT, Load(cases=3), closed={"left": "road works"})
    [effect] = chain.effects
    assert (effect.kind, effect.name) == ("decision", "route")
    assert effect.args == {
        "features": {"cases": 3},
        "options": ["left", "right"],
        "closed": {"left": "road works"},
    }
