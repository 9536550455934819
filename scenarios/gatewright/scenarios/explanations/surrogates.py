"""A local linear surrogate, as LIME fits one (Ribeiro et al. 2016): another question than Shapley values answer.

Its weights are the slopes of a plane through hybrids near the decision. `fit` says how much of the policy there the
plane explains; where that is little, the weights say little.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gatewright.agents.errors import UsageError

from .games import Array, Game

SAMPLES = 2_000
WIDTH = 0.75  # of the kernel, in units of the square root of the number of features, as in LIME
RIDGE = 1.0


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """What having a feature as it was adds to the log odds of `option` against `against`.

    `weights`: shape `(features,)` · `fit`: weighted R² of the plane, at most 1.
    """

    option: str
    against: str
    features: tuple[str, ...]
    weights: Array = field(repr=False)
    fit: float


def surrogate(
    game: Game, features: Array, option: str, against: str, *, seed: int, samples: int = SAMPLES
) -> Surrogate:
    """Fit a plane near a decision by weighted ridge regression.

    Raises:
        UsageError: one is no option, they are the same, or the decision does not fit the game.
    """
    if option == against or not {option, against} <= set(game.options):
        raise UsageError(f"{option!r} and {against!r} are not two options of {list(game.options)}")
    row, generator = game.row(features), np.random.default_rng(seed)
    players = len(game.groups)
    kept = generator.random((samples, players)) < generator.random((samples, 1))  # of every number of kept features
    others = generator.integers(len(game.reference.rows), size=samples)
    worth = game.worth(np.where(kept[:, game.owner], row, game.reference.rows[others]))
    odds = worth[:, game.options.index(option)] - worth[:, game.options.index(against)]
    near = np.exp(-(players - kept.sum(axis=1)) / (WIDTH**2 * players))
    near /= near.sum()
    moved = kept - near @ kept
    centred = odds - near @ odds
    weighted = moved * near[:, None]
    weights = np.linalg.solve(weighted.T @ moved + RIDGE / samples * np.eye(players), weighted.T @ centred)
    total = float(near @ centred**2)
    left = float(near @ (centred - moved @ weights) ** 2)
    names = tuple(group.name for group in game.groups)
    fit = 1 - left / total if total > 0 else 1.0
    return Surrogate(option=option, against=against, features=names, weights=weights, fit=fit)
