"""A logistic model for each option, of what it earns: the simple policy that others have to beat.

Rewards are moved into [0, 1] and fitted by the quasi-likelihood of fractional responses (L. Papke and J. Wooldridge,
Journal of Applied Econometrics 11, 1996), with a ridge penalty. Each decision counts by how unlikely it was, so that an
option is learnt about in all cases, not where it is usual. As all options share the scale, the largest log-odds are the
largest expected reward, so that the models together are one dense layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.runtime.policies.networks import Mlp, linear

from .logs import Rows

STEPS = 50  # of Newton's method at most
CLOSE = 1e-7  # the largest change of a weight that is none


def fit(rows: Rows, ridge: float = 1.0) -> Mlp:
    """The models of the options; one that is not on record is expected to earn what the worst decision did.

    Raises:
        UsageError: there are no rows.
    """
    if not len(rows.actions):
        raise UsageError("there are no decisions to learn from; log some, or raise their number")
    low, high = float(rows.rewards.min()), float(rows.rewards.max())
    shares = (rows.rewards - low) / ((high - low) or 1.0)
    columns, options = rows.observations.shape[1], rows.opened.shape[1]
    weights, biases = np.zeros((columns, options)), np.full(options, -1e3)
    for option in range(options):
        chosen = rows.actions == option
        if chosen.any():
            counts = 1 / rows.propensities[chosen]
            counts *= chosen.sum() / counts.sum()
            found = _newton(rows.observations[chosen].astype(np.float64), shares[chosen], counts, ridge)
            weights[:, option], biases[option] = found[:-1], found[-1]
    return linear(weights, biases)


def _newton(
    x: NDArray[np.float64], shares: NDArray[np.float64], counts: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Weights and, last, the bias, which is not penalised (but for what keeps it finite)."""
    design = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 1e-3
    found = np.zeros(design.shape[1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (counts * (shares - expected)) - penalty * found
        spread = counts * expected * (1 - expected)
        change = np.linalg.solve((design * spread[:, None]).T @ design + np.diag(penalty), gradient)
        found = found + np.clip(change, -5.0, 5.0)
        if np.abs(change).max() < CLOSE:
            break
    return found
