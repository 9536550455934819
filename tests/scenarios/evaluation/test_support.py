"""What a log has to hold before a policy can be judged by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gatewright.agents.errors import UsageError
from gatewright.scenarios.evaluation import Logged, Support


@pytest.fixture(scope="module")
def logged(world: Callable[[str], Any]) -> Logged:
    found = world("smooth").log(3_000, 5)
    assert isinstance(found, Logged)
    return found


def _problem(support: Support) -> str:
    (reason,) = support.reasons
    return str(reason)


def test_a_log_of_a_rule_that_explores_is_enough(logged: Logged) -> None:
    support = Support.of(logged)
    assert support.enough
    assert 200 < support.ess < 3_000
    assert 0 < support.overlap < 1
    assert support.mean_weight == pytest.approx(1, abs=0.2)
    assert support.max_weight == logged.weights.max()


def test_too_few_effective_cases_are_refused(logged: Logged) -> None:
    assert "fewer than 1000" in _problem(Support.of(logged, minimum=1_000))


def test_a_missing_propensity_is_refused_and_counted(logged: Logged) -> None:
    propensities = logged.propensities.copy()
    propensities[:3] = [np.nan, 0.0, np.nan]
    support = Support.of(replace(logged, propensities=propensities))
    assert support.unusable == 3
    assert "3 of 3000 decisions have no propensity" in _problem(support)


def test_decisions_that_left_nothing_to_chance_are_refused(logged: Logged) -> None:
    support = Support.of(replace(logged, propensities=np.ones(3_000)))
    assert support.uncovered > 0.5
    assert "had no chance to be on record" in _problem(support)


def test_wrong_propensities_are_noticed(logged: Logged) -> None:
    support = Support.of(replace(logged, propensities=np.minimum(logged.propensities * 2, 0.99)))
    assert any("not about 1" in str(reason) for reason in support.reasons)


def test_rewards_that_are_nearly_all_alike_are_refused(logged: Logged) -> None:
    rewards = np.zeros(3_000)
    rewards[:5] = 1
    assert "earned the same" in _problem(Support.of(replace(logged, rewards=rewards)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewards": np.array([1.0, np.nan])}, "decision 1 has"),
        ({"actions": np.array([0, 2])}, "a position below 2"),
        ({"propensities": np.array([0.5, 1.5])}, "at most 1"),
        ({"target": np.array([[1.0, 0.0], [0.5, 0.4]])}, "probabilities of open options"),
        ({"opened": np.array([[True, True], [True, False]])}, "a choice among the open options"),
        ({"observations": np.zeros((3, 1))}, "a row for each decision"),
        ({"cases": np.array([0, 2])}, "number of a case"),
        ({"propensities": np.array([0.5])}, "has the shape"),
    ],
)
def test_a_log_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {
        "rewards": np.array([1.0, 0.0]),
        "actions": np.array([0, 1]),
        "propensities": np.array([0.5, 0.5]),
        "target": np.array([[1.0, 0.0], [0.5, 0.5]]),
        "opened": np.ones((2, 2), np.bool_),
    }
    Logged(**values)
    with pytest.raises(UsageError, match=message):
        Logged(**(values | change))
