from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import needs

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, Group, Reference, enumerate_coalitions


def test_it_equals_the_mean_over_all_orders_of_the_features(game: Game, cases: NDArray[np.float64]) -> None:
    row = cases[0]

    def worth(kept: frozenset[int]) -> NDArray[np.float64]:
        hybrids = game.reference.rows.copy()
        for place in kept:
            columns = list(game.groups[place].columns)
            hybrids[:, columns] = row[columns]
        return np.asarray(game.worth(hybrids).mean(axis=0), dtype=np.float64)

    expected = np.zeros((4, 3))
    for order in permutations(range(4)):
        for place, player in enumerate(order):
            expected[player] += worth(frozenset(order[: place + 1])) - worth(frozenset(order[:place]))
    found = enumerate_coalitions(game, row)
    assert np.allclose(found.values, expected / 24, atol=1e-12)
    assert np.abs(found.residual).max() < 1e-12
    assert not found.errors.any()


@pytest.mark.slow  # shap compiles for seconds
def test_it_equals_shaps_exact_explainer(game: Game, cases: NDArray[np.float64]) -> None:
    shap = needs.module("shap", "audit")
    codes = np.column_stack([game.reference.rows[:, :3], game.reference.rows[:, 3:].argmax(axis=1)])

    def encoded(raw: NDArray[np.float64]) -> NDArray[np.float64]:
        return game.worth(np.concatenate([raw[:, :3], np.eye(3)[raw[:, 3].astype(int)]], axis=1))

    masker = shap.maskers.Independent(codes, max_samples=len(codes))
    theirs = shap.ExactExplainer(encoded, masker)(np.append(cases[0][:3], cases[0][3:].argmax())[None]).values[0]
    assert np.abs(enumerate_coalitions(game, cases[0]).values - theirs).max() < 1e-6


def test_a_feature_that_the_policy_does_not_look_at_gets_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))

    def logits(given: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([given[:, 0], -given[:, 0]])

    game = Game(logits, [Group("seen", (0,)), Group("unseen", (1,))], Reference(rows=rows, query="all"), ["a", "b"])
    found = enumerate_coalitions(game, np.array([3.0, 3.0]))
    assert found.values[1] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert found.values[0] == pytest.approx([3 - rows[:, 0].mean(), rows[:, 0].mean() - 3])


def test_too_many_features_are_refused() -> None:
    rows = np.zeros((3, 15))
    game = Game(
        lambda given: given[:, :2], [Group(str(n), (n,)) for n in range(15)], Reference(rows=rows, query=""), "ab"
    )
    with pytest.raises(UsageError, match="up to 14 are enumerated"):
        enumerate_coalitions(game, rows[0])
