"""Reward models: what each option would earn, predicted from the decisions that are on record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatewright.scenarios.tuning import Rows, logistic

from .logs import Floats, Logged

FOLDS = 5
RIDGE = 1.0


def predicted(logged: Logged) -> Floats:
    """What a case earns from a decision on with each option; float64, shape `(n, k)`.

    Each row is predicted by a model of its option that has not seen the row's case: the cases are dealt into `FOLDS`
    (cross-fitting; Chernozhukov et al., Econometrics Journal 21, 2018). Without that, the correction by the rewards on
    record would be of errors that the model has hidden. Two rewards: logistic; else ridge regression. An option that
    other folds never chose is expected to earn their mean.
    """
    folds = np.random.default_rng(0).permutation(len(logged.earned))[logged.numbers] % FOLDS
    x = np.zeros((len(logged), 0)) if logged.observations is None else logged.observations
    counts = np.where(logged.usable, logged.propensities, 1.0)
    two = len(np.unique(logged.returns)) == 2
    found = np.zeros(logged.target.shape)
    for fold in range(FOLDS):
        unseen, seen = folds == fold, folds != fold
        if not unseen.any():
            continue
        rows = Rows(
            x[seen].astype(np.float32), logged.opened[seen], logged.actions[seen], counts[seen], logged.returns[seen]
        )
        if not seen.any():  # a single case
            continue
        found[unseen] = (_logistic if two else _ridge)(rows, x[unseen])
    return found


def _logistic(rows: Rows, x: Floats) -> Floats:
    low, high = float(rows.rewards.min()), float(rows.rewards.max())
    if low == high:
        return np.full((len(x), rows.opened.shape[1]), low)
    logits = np.asarray(logistic.fit(rows, RIDGE).logits(x.astype(np.float32)), np.float64)
    shares = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return _known(rows, low + (high - low) * shares)


def _ridge(rows: Rows, x: Floats) -> Floats:
    """Weighted as `logistic.fit` does it: each decision counts by how unlikely it was."""
    design, wanted = _design(rows.observations.astype(np.float64)), _design(x)
    penalty = np.diag([RIDGE] * (design.shape[1] - 1) + [1e-9])
    found = np.zeros((len(x), rows.opened.shape[1]))
    for option in np.unique(rows.actions):
        chosen = rows.actions == option
        counts = 1 / rows.propensities[chosen]
        weighted = design[chosen].T * (counts * chosen.sum() / counts.sum())
        weights = np.linalg.solve(weighted @ design[chosen] + penalty, weighted @ rows.rewards[chosen])
        found[:, option] = wanted @ weights
    return _known(rows, found)


def _design(x: Floats) -> Floats:
    return np.hstack([x, np.ones((len(x), 1))])


def _known(rows: Rows, found: Floats) -> Floats:
    never: NDArray[np.bool_] = ~np.isin(np.arange(found.shape[1]), rows.actions)
    found[:, never] = rows.rewards.mean()
    return found
