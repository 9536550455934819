"""Shapley values by enumeration: every coalition with every reference row, exact for this reference set."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError

from .attributions import Attribution
from .games import LARGEST, PROBES, Array, Game

MOST_PLAYERS = 14


def enumerate_coalitions(game: Game, features: Array) -> Attribution:
    """Explain one decision exactly, by 2^features coalitions times the reference rows.

    Raises:
        UsageError: the decision does not fit the game, or there are more than 14 features.
    """
    players = len(game.groups)
    if players > MOST_PLAYERS:
        raise UsageError(
            f"{players} features have {2**players} coalitions; up to {MOST_PLAYERS} are enumerated, sample instead"
        )
    row = game.row(features)
    kept = (np.arange(2**players)[:, None] >> np.arange(players) & 1).astype(bool)
    worth = np.empty((2**players, len(game.options)))
    together = max(1, LARGEST // len(game.reference.rows))
    for start in range(0, len(kept), together):
        some = kept[start : start + together, game.owner]
        rows = np.where(some[:, None, :], row, game.reference.rows)
        worths = game.worth(rows.reshape(-1, len(row))).reshape(len(some), -1, len(game.options))
        worth[start : start + together] = worths.mean(axis=1)
    values: Array = _weights(kept) @ worth
    return Attribution(
        method="exact",
        features=tuple(group.name for group in game.groups),
        options=game.options,
        values=values,
        covariance=np.zeros((players, len(game.options), len(game.options))),
        base=game.base,
        output=game.worth(row[None])[0],
        off_support=_strangeness(game, row, kept),
        evaluations=len(kept) * len(game.reference.rows) + 1,
    )


def _weights(kept: NDArray[np.bool_]) -> Array:
    """How each coalition's worth counts for each feature, shape `(features, coalitions)`."""
    players = kept.shape[1]
    sizes = kept.sum(axis=1)
    share = np.array([1 / (players * math.comb(players - 1, size)) for size in range(players)])
    joined, stayed = share[sizes - 1], share[np.minimum(sizes, players - 1)]
    weights: Array = np.where(kept.T, joined, -stayed)
    return weights


def _strangeness(game: Game, row: Array, kept: NDArray[np.bool_]) -> float:
    """The share off support of some hybrids, spread evenly over coalitions (the empty and the full one apart)."""
    places = np.linspace(1, max(len(kept) - 2, 1), PROBES).astype(np.intp)
    others = np.arange(PROBES) * len(game.reference.rows) // PROBES
    return game.strangeness(row, kept[places], others)
