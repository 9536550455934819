from __future__ import annotations

import math

import numpy as np
import pytest

from gatewright.scenarios.gate import plan, statistics
from gatewright.scenarios.gate.statistics import Floats


def drawn(rates: Floats, trials: int, seed: int = 0) -> list[Floats]:
    random = np.random.default_rng(seed)
    return [random.binomial(1, rate, trials).astype(np.float64) for rate in rates]


def power(rates: Floats, trials: int, drop: float, draws: int = 400) -> float:
    """How often the permutation test finds that all rates dropped."""
    random = np.random.default_rng(1)
    found = 0
    for _ in range(draws):
        before = random.binomial(trials, rates)
        after = random.binomial(trials, np.maximum(rates - drop, 0))
        found += statistics.sign_flip((after - before) / trials) <= 0.05
    return found / draws


@pytest.mark.parametrize(("cases", "trials", "rate"), [(60, 4, 0.5), (40, 3, 0.8), (30, 4, 1.0), (40, 2, 0.95)])
def test_the_change_that_is_promised_is_found_with_about_the_stated_chance(
    cases: int, trials: int, rate: float
) -> None:
    rates = np.full(cases, rate)
    promised = plan(drawn(rates, trials), share=True)
    assert promised is not None and not promised.bound
    assert 0.72 <= power(rates, trials, promised.detectable) <= 0.97


def test_cases_sharpen_more_than_trials() -> None:
    values = drawn(np.random.default_rng(0).beta(0.65, 0.85, 50), 4)
    one, four = plan(values, trials=1, share=True), plan(values, share=True)
    many = plan(values, cases=200, trials=4, share=True)
    assert one and four and many
    assert many.detectable < four.detectable < one.detectable
    assert four.detectable == pytest.approx(0.1, abs=0.02)


def test_a_baseline_that_always_succeeds_does_not_promise_to_see_everything() -> None:
    found = {count: plan([np.ones(1)] * count, share=True) for count in (3, 20, 100)}
    sizes = [each.detectable for each in found.values() if each]
    assert sizes[0] > 0.8 and 0.25 < sizes[1] < 0.32 and sizes[2] < 0.07


def test_the_formula_of_measures_that_are_no_shares_is_millers() -> None:
    values = [np.array([1.0, 3.0]), np.array([2.0, 2.0]), np.array([5.0, 9.0])]
    within = (2 + 0 + 8) / 3
    expected = (1.6448536 + 0.8416212) * math.sqrt(within * (1 / 2 + 1 / 4) / 10)
    found = plan(values, cases=10, trials=4)
    assert found and found.detectable == pytest.approx(expected, rel=1e-6)


def test_with_one_trial_a_case_the_promise_is_an_upper_bound() -> None:
    found = plan([np.array([float(case % 2)]) for case in range(40)], share=True)
    assert found and found.bound and found.within == pytest.approx(10 / 39)


def test_one_case_promises_nothing() -> None:
    assert plan([np.array([1.0, 0.0])]) is None
