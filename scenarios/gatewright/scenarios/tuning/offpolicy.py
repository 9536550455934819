"""What logged decisions say about a policy that did not make them.

Self-normalised inverse propensity weighting (A. Swaminathan and T. Joachims, NIPS 2015), with intervals by the delta
method, for cases that are decided once. Its bias is of the order of one over the effective sample size, so that a log
in which the policy's choices are rare is refused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.runtime.policies.artefact import Artefact
from gatewright.runtime.policies.serving import probabilities

from .comparisons import Interval, paired
from .logs import Rows

FEWEST = 200  # effective decisions


class Estimate(NamedTuple):
    """What a policy would have earned per decision.

    `effective`: how many decisions of its own would tell as much (the square of the sum of the weights over the sum of
    their squares, Kish 1965). `largest`: the largest weight's share of all. `supported`: whether that is enough to go
    by; if not, the interval is no interval.
    """

    value: Interval
    effective: float
    largest: float

    @property
    def supported(self) -> bool:
        return self.effective >= FEWEST


def likely(artefact: Artefact, rows: Rows) -> NDArray[np.float64]:
    """How likely a policy, as it is served, makes each choice that is on record; shape `(n,)`."""
    shares = probabilities(artefact.network.logits(rows.observations), rows.opened, artefact.manifest.serving)
    found: NDArray[np.float64] = shares[np.arange(len(rows.actions)), rows.actions]
    return found


def estimate(rows: Rows, target: NDArray[np.float64]) -> Estimate:
    """The value of a policy that makes the choices on record with the probabilities `target`, shape `(n,)`.

    Raises:
        UsageError: there are no decisions, or it makes none of these choices.
    """
    weights = _weights(rows, target)
    value = float((weights * rows.rewards).sum() / weights.sum())
    moved = paired(_influence(rows, weights))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return Estimate(
        Interval(value, value + moved.low, value + moved.high), effective, float(weights.max() / weights.sum())
    )


def gain(rows: Rows, target: NDArray[np.float64], base: NDArray[np.float64]) -> Interval:
    """How much more a policy earns than another on the same log, which is surer than the difference of two estimates.

    Raises:
        UsageError: as `estimate`.
    """
    mine, other = _weights(rows, target), _weights(rows, base)
    difference = float((mine * rows.rewards).sum() / mine.sum() - (other * rows.rewards).sum() / other.sum())
    moved = paired(_influence(rows, mine) - _influence(rows, other))
    return Interval(difference, difference + moved.low, difference + moved.high)


def _weights(rows: Rows, target: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = target / rows.propensities
    if not weights.sum() > 0:
        raise UsageError(
            f"the policy makes none of the {len(weights)} choices on record; log decisions that explore its options"
        )
    return weights


def _influence(rows: Rows, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each decision adds to the error of the estimate; the mean is 0."""
    value = (weights * rows.rewards).sum() / weights.sum()
    moved: NDArray[np.float64] = weights * (rows.rewards - value) / weights.mean()
    return moved
