"""Shapley values by sampling: cheap, with standard errors, over as many reference rows as there are.

A pair is one random reference row and one random order of the features, gone through forwards and backwards: features
pass one by one from the reference row's values to the decision's, and each is credited with what its passing changes
(Castro et al. 2009; antithetic pairs: Mitchell et al. 2022, JMLR 23(43)). The two ways have their ends in common, so a
pair of p features costs 2(p - 1) evaluations.

What a pair's reference row is worth is known for all rows beforehand. Estimates are corrected by regression on it
(control variates), which takes out the chance of which rows were drawn, and makes the values add up exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError

from .attributions import Attribution
from .games import PROBES, Array, Game

ROUND = 500  # pairs after which it is asked whether they suffice
MOST = 16_000  # pairs
PRECISION = 0.1


def sample(game: Game, features: Array, *, seed: int, precision: float = PRECISION, most: int = MOST) -> Attribution:
    """Explain one decision by sampled pairs.

    It stops after the first round of 500 pairs in which two standard errors of every value are at most `precision`
    times the largest value, or after `most` pairs; `Attribution.settled` says which.

    Args:
        features: the encoded decision, shape `(columns,)`.
        seed: of PCG64; the same one gives the same values.
        most: a multiple of 500.

    Raises:
        UsageError: the decision does not fit the game, or `most` is no multiple of 500.
    """
    if most < ROUND or most % ROUND:
        raise UsageError(f"sampling goes in rounds of {ROUND} pairs; {most!r} is no number of rounds")
    row = game.row(features)
    output = game.worth(row[None])[0]
    generator = np.random.default_rng(seed)
    gains: list[Array] = []
    drawn: list[NDArray[np.intp]] = []
    strange = 0.0
    while True:
        others = generator.integers(len(game.reference.rows), size=ROUND)
        turns = generator.permuted(np.tile(np.arange(len(game.groups)), (ROUND, 1)), axis=1)
        gains.append(_gains(game, row, output, others, turns))
        drawn.append(others)
        strange += _strangeness(game, row, others[:PROBES], turns[:PROBES])
        values, covariance = _estimate(game, np.concatenate(gains), np.concatenate(drawn))
        pairs = len(gains) * ROUND
        settled = bool(2 * np.sqrt(covariance.diagonal(axis1=1, axis2=2)).max() <= precision * np.abs(values).max())
        if settled or pairs >= most:
            break
    return Attribution(
        method="sampled",
        features=tuple(group.name for group in game.groups),
        options=game.options,
        values=values,
        covariance=covariance,
        base=game.base,
        output=output,
        off_support=strange / len(gains),
        evaluations=pairs * 2 * (len(game.groups) - 1) + 1,
        pairs=pairs,
        settled=settled,
    )


def _gains(game: Game, row: Array, output: Array, others: NDArray[np.intp], turns: NDArray[np.int64]) -> Array:
    """What each feature is credited with in each pair, shape `(pairs, features, options)`.

    Args:
        turns: shape `(pairs, features)`, when each feature passes on the way forwards, from 0.
    """
    pairs, players = turns.shape
    options = len(game.options)
    both = np.empty((2, pairs, players + 1, options))  # the worth after each passing, forwards and backwards
    both[:, :, 0] = game.usual[others]
    both[:, :, players] = output
    passed = np.arange(1, players)[:, None]
    column_turns = turns[:, game.owner][:, None, :]
    given = game.reference.rows[others][:, None, :]
    for way, kept in enumerate((column_turns < passed, column_turns >= players - passed)):
        rows = np.where(kept, row, given).reshape(-1, len(row))
        both[way, :, 1:players] = game.worth(rows).reshape(pairs, players - 1, options)
    steps = np.diff(both, axis=2)
    forwards = np.take_along_axis(steps[0], turns[:, :, None], axis=1)
    backwards = np.take_along_axis(steps[1], players - 1 - turns[:, :, None], axis=1)
    mean: Array = (forwards + backwards) / 2
    return mean


def _strangeness(game: Game, row: Array, others: NDArray[np.intp], turns: NDArray[np.int64]) -> float:
    """The share off support of one hybrid of each pair, of every length alike."""
    passed = 1 + np.arange(len(turns)) % max(len(game.groups) - 1, 1)
    return game.strangeness(row, turns < passed[:, None], others)


def _estimate(game: Game, gains: Array, others: NDArray[np.intp]) -> tuple[Array, Array]:
    """Values, shape `(features, options)`, and their covariance, shape `(features, options, options)`.

    Least squares of the gains on how far each pair's reference row is from the mean of all; the intercept is the value.
    """
    pairs, players, options = gains.shape
    chance = game.usual[others] - game.base
    flat = gains.reshape(pairs, -1)
    design = np.column_stack([np.ones(pairs), chance[:, :-1]])  # centred logits sum to 0: the last adds nothing
    solution, _, rank, _ = np.linalg.lstsq(design, flat)
    left = (flat - design @ solution).reshape(pairs, players, options)
    leverage = np.linalg.pinv(design.T @ design)[0, 0]  # the variance of the intercept, about 1 / pairs
    spread = np.einsum("npa,npb->pab", left, left, optimize=True) / (pairs - int(rank))
    return solution[0].reshape(players, options), spread * leverage
