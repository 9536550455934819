"""What follows from an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gatewright.agents.errors import UsageError
from gatewright.scenarios.evaluation import Logged, Prediction, evaluate


@pytest.fixture(scope="module")
def logged(world: Callable[[str], Any]) -> Logged:
    """The rule that explores takes the wrong options; the policy is much better."""
    found = world("clicks").log(4_000, 3)
    assert isinstance(found, Logged)
    return found


def test_a_policy_that_earns_more_passes(logged: Logged) -> None:
    found = evaluate(logged)
    assert (found.outcome, found.exit_code) == ("pass", 0)
    assert found.decisive is not None and found.decisive.estimator == "dr"
    assert found.decisive.gain.low > 0
    assert [each.estimator for each in found.estimates] == ["ips", "snips", "dr"]


def test_a_policy_that_earns_less_fails(logged: Logged) -> None:
    found = evaluate(replace(logged, rewards=1 - logged.rewards))
    assert (found.outcome, found.exit_code) == ("fail", 1)


def test_a_margin_admits_a_policy_that_earns_little_less(logged: Logged) -> None:
    worse = replace(logged, rewards=1 - logged.rewards)
    assert evaluate(worse, margin=0.9).outcome == "pass"


def test_a_difference_that_chance_explains_is_inconclusive(logged: Logged) -> None:
    rewards = np.random.default_rng(0).random(4_000)
    found = evaluate(replace(logged, rewards=rewards))
    assert (found.outcome, found.exit_code) == ("inconclusive", 3)
    assert "neither more nor less" in found.reason


def test_thin_support_is_inconclusive_however_good_the_estimate(logged: Logged) -> None:
    found = evaluate(logged, minimum_ess=2_000)
    assert (found.outcome, found.exit_code) == ("inconclusive", 3)
    assert "fewer than 2000" in found.reason
    assert found.decisive is not None and found.decisive.gain.low > 0


def test_without_propensities_there_is_only_the_direct_methods_ranking(logged: Logged) -> None:
    found = evaluate(replace(logged, propensities=np.full(4_000, np.nan)))
    assert (found.outcome, found.estimates, found.decisive) == ("inconclusive", (), None)
    assert found.prediction.value > logged.rewards.mean()


def test_the_direct_method_is_no_estimator_that_decides(logged: Logged) -> None:
    with pytest.raises(UsageError, match="'direct' decides nothing"):
        evaluate(logged, "direct")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert not hasattr(Prediction(value=1.0, spread=0.0), "interval")
