from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, enumerate_coalitions, sample
from gatewright.scenarios.explanations.attributions import ranks


def test_a_contrast_is_the_difference_of_two_options(game: Game, cases: NDArray[np.float64]) -> None:
    found = enumerate_coalitions(game, cases[0])
    told = found.contrast("approve", "investigate")
    by_name = {bar.feature: bar.value for bar in told.bars}
    expected = found.values[:, 0] - found.values[:, 2]
    assert [by_name[name] for name in found.features] == pytest.approx(list(expected))
    assert told.base + sum(by_name.values()) == pytest.approx(told.output)


def test_contrasts_do_not_depend_on_the_options_that_are_closed(game: Game, cases: NDArray[np.float64]) -> None:
    told = enumerate_coalitions(game, cases[0]).contrast("approve", "reject")
    powers = np.exp(game.worth(cases[:1])[0])
    for shares in (powers / powers.sum(), powers[:2] / powers[:2].sum()):  # all are open, or the third is closed
        assert np.log(shares[0] / shares[1]) == pytest.approx(told.output)


def test_bars_come_largest_first(game: Game, cases: NDArray[np.float64]) -> None:
    sizes = [abs(bar.value) for bar in sample(game, cases[0], seed=0).contrast("approve", "reject").bars]
    assert sizes == sorted(sizes, reverse=True)


def test_bars_whose_intervals_overlap_share_a_rank() -> None:
    assert ranks([1.0, 0.95, 0.5, 0.1], [0.05, 0.05, 0.05, 0.05]) == [1, 1, 3, 4]
    assert ranks([1.0, 0.9], [0.0, 0.0]) == [1, 2]


def test_unknown_options_are_refused(game: Game, cases: NDArray[np.float64]) -> None:
    found = enumerate_coalitions(game, cases[0])
    with pytest.raises(UsageError, match="'pay' is no option"):
        found.contrast("pay", "reject")
    with pytest.raises(UsageError, match="not to be told from itself"):
        found.contrast("reject", "reject")
