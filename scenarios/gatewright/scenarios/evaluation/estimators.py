"""Estimators of what a policy earns a case, by decisions that another one made.

All but the direct method are unbiased (SNIPS: in the limit) whatever the world is like, if the propensities are right.
A case with several decisions is one course: what it earned is weighted by the product of its ratios (D. Precup,
R. Sutton and S. Singh, ICML 2000), and the case, not the decision, is the unit of every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gatewright.agents.errors import UsageError
from gatewright.scenarios.gate.statistics import Interval

from . import rewards
from .intervals import skewed
from .logs import Floats, Logged

Estimator = Literal["ips", "snips", "dr"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the policy would have earned a case, on average: evidence.

    `interval`: of 95 %, by Hall's transformation · `error`: standard error · `logged`: what the cases did earn ·
    `gain`: the interval of `value - logged`, case by case.
    """

    estimator: Estimator
    value: float
    error: float
    interval: Interval
    logged: float
    gain: Interval


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a reward model thinks that the policy would earn: good for an order of policies, no evidence about one.

    Its error is that of the model, which nothing in the log bounds. So it has no interval and there is no verdict on it
    (`evaluate` does not decide by it). `spread`: standard error over cases, as if the model were the truth.
    """

    value: float
    spread: float


def ips(logged: Logged) -> Floats:
    """Inverse propensity scores (D. Horvitz and D. Thompson, JASA 47, 1952); a term for each case."""
    return logged.weights * logged.earned


def snips(logged: Logged) -> Floats:
    """The self-normalised form (A. Swaminathan and T. Joachims, NeurIPS 2015): weights are divided by their mean.

    Terms are linearised about the estimate (delta method), so that their mean is the estimate and their variance its.
    """
    weights = logged.weights
    if not weights.any():
        return np.full(len(weights), math.nan)
    value = float(weights @ logged.earned / weights.sum())
    return np.asarray(value + weights / weights.mean() * (logged.earned - value), np.float64)


def dr(logged: Logged) -> Floats:
    """Doubly robust (M. Dudík, J. Langford and L. Li, ICML 2011; Dudík et al., Statistical Science 29, 2014).

    A cross-fitted reward model predicts, and the rewards on record correct it. Over several decisions in a case:
    N. Jiang and L. Li, ICML 2016, eq. 10.
    """
    model = rewards.predicted(logged)
    expected = (logged.target * model).sum(axis=1)
    claimed = model[np.arange(len(logged)), logged.actions]
    later = np.zeros(len(logged.earned))
    for rows in logged.backwards:
        cases = logged.numbers[rows]
        surprise = logged.rewards[rows] + later[cases] - claimed[rows]
        later[cases] = expected[rows] + logged.ratios[rows] * surprise
    return later


ESTIMATORS: Mapping[Estimator, Callable[[Logged], Floats]] = {"ips": ips, "snips": snips, "dr": dr}


def estimate(logged: Logged, estimator: Estimator = "dr") -> Estimate:
    """The estimate, however thin the support is: `evaluate` says whether it can be relied on.

    Raises:
        UsageError: propensities are missing, or the policy would never have done what is on record.
    """
    if not logged.usable.all():
        raise UsageError(
            f"{int((~logged.usable).sum())} of {len(logged)} decisions have no propensity above 0; leave these out"
        )
    if not logged.weights.any():
        raise UsageError("the policy would never have done what is on record, which says nothing about it")
    terms = ESTIMATORS[estimator](logged)
    return Estimate(
        estimator=estimator,
        value=float(terms.mean()),
        error=float(terms.std(ddof=1) / math.sqrt(len(terms))) if len(terms) > 1 else math.inf,
        interval=skewed(terms),
        logged=float(logged.earned.mean()),
        gain=skewed(terms - logged.earned),
    )


def predict(logged: Logged) -> Prediction:
    """The direct method: the reward model alone, which needs no propensities. To rank policies, never to admit one."""
    expected = (logged.target * rewards.predicted(logged)).sum(axis=1)
    first = np.zeros(len(logged.earned))
    for rows in logged.backwards:
        first[logged.numbers[rows]] = expected[rows]
    spread = float(first.std(ddof=1) / math.sqrt(len(first))) if len(first) > 1 else math.inf
    return Prediction(value=float(first.mean()), spread=spread)
