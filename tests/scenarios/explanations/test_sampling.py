from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, enumerate_coalitions, sample


def test_two_standard_errors_cover_the_exact_value_about_19_times_in_20(game: Game, cases: NDArray[np.float64]) -> None:
    covered: list[NDArray[np.bool_]] = []
    for seed, case in enumerate(cases):
        truth, found = enumerate_coalitions(game, case), sample(game, case, seed=seed, most=1000)
        covered.append(np.abs(found.values - truth.values) <= 2 * found.errors)
    share = float(np.mean(covered))
    assert 0.92 < share < 0.98  # 720 values that depend on one another within a case


def test_the_errors_of_contrasts_cover_too(game: Game, cases: NDArray[np.float64]) -> None:
    covered: list[bool] = []
    for seed, case in enumerate(cases):
        truth = enumerate_coalitions(game, case).contrast("approve", "reject")
        exact = {bar.feature: bar.value for bar in truth.bars}
        found = sample(game, case, seed=1000 + seed, most=1000).contrast("approve", "reject")
        covered += [abs(bar.value - exact[bar.feature]) <= 2 * bar.error for bar in found.bars]
    assert 0.9 < float(np.mean(covered)) < 0.985


def test_sampled_values_add_up_to_the_output_exactly(game: Game, cases: NDArray[np.float64]) -> None:
    found = sample(game, cases[0], seed=3)
    assert np.abs(found.residual).max() < 1e-12


def test_it_goes_on_until_the_errors_are_small_enough(game: Game, cases: NDArray[np.float64]) -> None:
    rough, fine = sample(game, cases[0], seed=3, precision=0.2), sample(game, cases[0], seed=3, precision=0.03)
    assert rough.settled and fine.settled
    assert fine.pairs > rough.pairs
    assert 2 * fine.errors.max() <= 0.03 * np.abs(fine.values).max()


def test_it_says_when_the_budget_did_not_suffice(game: Game, cases: NDArray[np.float64]) -> None:
    found = sample(game, cases[0], seed=3, precision=1e-6, most=2000)
    assert not found.settled
    assert found.pairs == 2000


def test_the_same_seed_gives_the_same_bits(game: Game, cases: NDArray[np.float64]) -> None:
    once, again = sample(game, cases[1], seed=5), sample(game, cases[1], seed=5)
    assert np.array_equal(once.values, again.values) and np.array_equal(once.covariance, again.covariance)
    assert not np.array_equal(once.values, sample(game, cases[1], seed=6).values)


def test_a_budget_that_is_no_number_of_rounds_is_refused(game: Game, cases: NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="rounds of 500 pairs"):
        sample(game, cases[0], seed=0, most=1750)
