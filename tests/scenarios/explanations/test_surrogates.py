from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, Group, Reference, surrogate


def test_it_finds_the_slopes_of_a_linear_policy() -> None:
    rows = np.zeros((5, 2))

    def logits(given: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([2 * given[:, 0] - given[:, 1], np.zeros(len(given))])

    game = Game(logits, [Group("a", (0,)), Group("b", (1,))], Reference(rows=rows, query="all"), ["x", "y"])
    found = surrogate(game, np.array([1.0, 1.0]), "x", "y", seed=0)
    assert found.weights == pytest.approx([2, -1], abs=0.02)
    assert found.fit > 0.999


def test_the_fit_is_lower_where_the_policy_is_not_a_plane(game: Game, cases: NDArray[np.float64]) -> None:
    found = surrogate(game, cases[0], "approve", "reject", seed=0)
    assert 0 < found.fit < 0.999


def test_options_that_do_not_exist_are_refused(game: Game, cases: NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="not two options"):
        surrogate(game, cases[0], "approve", "pay", seed=0)
