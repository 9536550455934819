"""What estimators say of a policy, against what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.agents.errors import UsageError
from gatewright.scenarios.evaluation import ESTIMATORS, Logged, estimate, predict

WITHIN = 1.96


def coverage(make: Callable[[int], Logged], worth: float, repetitions: int) -> dict[str, float]:
    """How often each 95 % interval holds the worth; of the direct method, that which its spread would give."""
    held = dict.fromkeys([*ESTIMATORS, "direct"], 0)
    for seed in range(repetitions):
        logged = make(seed)
        for name in ESTIMATORS:
            interval = estimate(logged, name).interval
            held[name] += interval.low <= worth <= interval.high
        said = predict(logged)
        held["direct"] += abs(said.value - worth) <= WITHIN * said.spread
    return {name: count / repetitions for name, count in held.items()}


def small(target: list[list[float]], **more: Any) -> Logged:
    values: dict[str, Any] = {
        "rewards": np.array([1.0, 0.0, 3.0, 2.0]),
        "actions": np.array([0, 1, 0, 1]),
        "propensities": np.array([0.5, 0.5, 0.25, 0.75]),
        "target": np.array(target),
        "opened": np.ones((4, 2), np.bool_),
    }
    return Logged(**(values | more))


def test_the_estimates_are_those_worked_out_by_hand() -> None:
    logged = small([[1, 0], [0, 1], [0.5, 0.5], [1, 0]])
    # weights 2, 2, 2, 0
    assert estimate(logged, "ips").value == pytest.approx((2 * 1 + 2 * 0 + 2 * 3 + 0) / 4)
    assert estimate(logged, "snips").value == pytest.approx((2 * 1 + 2 * 0 + 2 * 3 + 0) / 6)
    assert estimate(logged, "ips").logged == 1.5


def test_decisions_of_one_case_are_one_course() -> None:
    logged = small([[1, 0], [0, 1], [0.5, 0.5], [1, 0]], cases=np.array([0, 0, 1, 2]))
    assert logged.weights.tolist() == [4, 2, 0]
    assert estimate(logged, "ips").value == pytest.approx((4 * 1 + 2 * 3 + 0) / 3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_policy_that_does_what_was_done_is_worth_what_was_earned(seed: int) -> None:
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.ones(3), size=40)
    actions = np.array([random.choice(3, p=row) for row in chances])
    logged = Logged(
        rewards=random.normal(size=40),
        actions=actions,
        propensities=chances[np.arange(40), actions],
        target=chances,
        opened=np.ones((40, 3), np.bool_),
    )
    for name in ("ips", "snips"):
        found = estimate(logged, name)
        assert found.value == pytest.approx(logged.rewards.mean())
        assert found.gain == pytest.approx((0, 0), abs=1e-9)


@given(scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_self_normalised_estimates_move_with_the_unit_of_the_reward(scale: float, shift: float) -> None:
    target = [[1.0, 0.0], [0.3, 0.7], [0.5, 0.5], [0.9, 0.1]]
    once = estimate(small(target), "snips").value
    again = estimate(small(target, rewards=scale * np.array([1.0, 0.0, 3.0, 2.0]) + shift), "snips").value
    assert again == pytest.approx(scale * once + shift)


def test_a_reward_model_makes_the_estimate_surer(world: Callable[[str], Any]) -> None:
    logged = world("clicks").log(3_000, 1)
    errors = {name: estimate(logged, name).error for name in ESTIMATORS}
    assert errors["dr"] < 0.8 * errors["ips"]


def test_a_log_without_propensities_has_no_estimate() -> None:
    logged = small([[1, 0], [0, 1], [0.5, 0.5], [1, 0]], propensities=np.array([0.5, np.nan, 0.5, 0.0]))
    with pytest.raises(UsageError, match="2 of 4 decisions have no propensity"):
        estimate(logged)


def test_what_a_policy_would_never_do_says_nothing_about_it() -> None:
    logged = small([[0, 1], [1, 0], [0, 1], [1, 0]])
    with pytest.raises(UsageError, match="never have done"):
        estimate(logged)


def test_intervals_hold_the_worth_and_the_direct_methods_would_not(world: Callable[[str], Any]) -> None:
    made = world("smooth")
    found = coverage(lambda seed: made.log(2_000, seed), made.worth, 40)
    # of 40, 38 are expected, and fewer than 33 come in 1 of 100
    assert all(found[name] >= 33 / 40 for name in ESTIMATORS), found
    assert found["direct"] < 0.5, found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["smooth", "clicks", "skewed"])
def test_intervals_hold_the_worth_in_93_to_97_of_100(kind: str, world: Callable[[str], Any]) -> None:
    made = world(kind)
    found = coverage(lambda seed: made.log(3_000, seed), made.worth, 1_500)
    assert all(0.93 <= found[name] <= 0.97 for name in ESTIMATORS), found
    assert found["direct"] < 0.5, found
