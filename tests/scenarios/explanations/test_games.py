from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, Group, Reference, enumerate_coalitions


def sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([rows.sum(axis=1), np.zeros(len(rows))])


def test_a_column_without_a_feature_is_refused() -> None:
    with pytest.raises(UsageError, match="each of the 2 columns"):
        Game(sums, [Group("a", (0,))], Reference(rows=np.zeros((3, 2)), query="all"), ["x", "y"])


def test_an_empty_reference_set_is_refused() -> None:
    with pytest.raises(UsageError, match="reference set is empty"):
        Game(sums, [Group("a", (0,))], Reference(rows=np.zeros((0, 1)), query="all"), ["x", "y"])


def test_a_policy_with_another_number_of_options_is_refused() -> None:
    with pytest.raises(UsageError, match="2 logits for 3 options"):
        Game(sums, [Group("a", (0,))], Reference(rows=np.zeros((3, 1)), query="all"), ["x", "y", "z"])


def test_a_decision_with_a_missing_value_is_refused(game: Game) -> None:
    with pytest.raises(UsageError, match="6 finite columns"):
        enumerate_coalitions(game, np.array([np.nan, 0, 0, 1, 0, 0]))


def test_the_digest_of_a_reference_set_tells_every_bit() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    one = Reference(rows=rows, query="all")
    assert one.digest == Reference(rows=rows.copy(), query="all").digest
    assert one.digest != Reference(rows=np.nextafter(rows, 9), query="all").digest
    assert one.digest != Reference(rows=rows.reshape(2, 3), query="all").digest


def test_hybrids_of_features_that_go_together_are_off_support() -> None:
    together = np.repeat(np.random.default_rng(0).normal(size=(300, 1)), 2, axis=1)
    apart = np.random.default_rng(0).normal(size=(300, 2))
    groups, case = [Group("a", (0,)), Group("b", (1,))], np.array([0.5, 0.5])
    shares = [
        enumerate_coalitions(Game(sums, groups, Reference(rows=rows, query="all"), ["x", "y"]), case).off_support
        for rows in (together, apart)
    ]
    assert shares[0] > 0.5 > 0.2 > shares[1]
