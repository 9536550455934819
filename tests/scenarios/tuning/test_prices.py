from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.environments.claims.moments import PAID_WRONGLY, REFUSED_WRONGLY
from gatewright.environments.claims.simulator import TRIAGE
from gatewright.environments.simulators import LOAD, Prices
from gatewright.scenarios.tuning import prices
from gatewright.scenarios.tuning.choosers import Played
from gatewright.scenarios.tuning.comparisons import Limits, Standing, standing

RULE = Played(
    np.tile([1.0, 3.0], (10, 5)),
    np.full((10, 10), 50.0),
    {"wrong": np.full((10, 10), 0.2), "late": np.full((10, 10), 0.2)},
)


def test_what_breaks_its_limit_is_made_dearer_until_it_is_kept() -> None:
    asked: list[Prices] = []

    def tried(priced: Prices) -> Standing:
        asked.append(priced)
        wrong = 0.3 - 0.3 * priced.get("wrong", 0.0)
        violations = {"wrong": np.full((10, 10), wrong), "late": np.full((10, 10), 0.1)}
        return standing(RULE._replace(violations=violations), RULE, Limits(violations=0.0))

    found = prices.found(RULE, tried)
    assert asked[0] == {}
    assert found == asked[-1] == {"wrong": pytest.approx(0.25 * 2**0.5)}  # rewards have a standard deviation of 1
    assert len(asked) == 3


def test_minutes_are_priced_by_how_many_the_rule_needs() -> None:
    def tried(priced: Prices) -> Standing:
        return standing(RULE._replace(load=RULE.load + (not priced)), RULE, Limits(load=0.0))

    assert prices.found(RULE, tried) == {LOAD: 0.25 / 50}


def test_a_limit_that_no_price_keeps_does_not_hold_up_the_tuning() -> None:
    asked: list[Prices] = []

    def tried(priced: Prices) -> Standing:
        asked.append(priced)
        return standing(RULE._replace(load=RULE.load + 1), RULE, Limits(load=0.0))

    prices.found(RULE, tried)
    assert len(asked) == prices.ROUNDS


def test_a_priced_simulator_earns_less_by_what_its_violations_cost() -> None:
    asked = {PAID_WRONGLY: 2.0, REFUSED_WRONGLY: 3.0, LOAD: 0.5}
    plain, priced = TRIAGE.copies(300), prices.Priced(TRIAGE, asked).copies(300)
    assert np.array_equal(plain.reset(range(300)), priced.reset(range(300)))
    own: NDArray[np.int64] = plain.ruled
    one, other = plain.step(own), priced.step(own)
    cost = 2 * one.violations[PAID_WRONGLY] + 3 * one.violations[REFUSED_WRONGLY] + 0.5 * one.load
    assert one.violations[PAID_WRONGLY].any() and one.violations[REFUSED_WRONGLY].any()
    assert other.rewards == pytest.approx(one.rewards - cost)


def test_learners_of_stable_baselines_see_the_same_prices() -> None:
    pytest.importorskip("stable_baselines3")
    priced = prices.Priced(TRIAGE, {PAID_WRONGLY: 2.0})
    copies, environments = priced.copies(200), priced.environments(200, {})
    environments.seed(5)
    environments.reset()
    copies.reset(range(5, 205))
    own = copies.ruled
    assert environments.step(own)[1] == pytest.approx(copies.step(own).rewards, abs=1e-6)
