"""Intervals for the mean of terms that are skewed, as weighted rewards are."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gatewright.scenarios.gate.statistics import Interval

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def skewed(terms: NDArray[np.float64]) -> Interval:
    """The 95 % interval of the mean of independent terms, shape `(n,)`, corrected for their skewness; two-sided.

    Hall's cubic transformation of Student's t (P. Hall, JRSS B 54, 1992). The usual interval has the right width, but
    its misses are nearly all on one side where a few large weights carry the estimate.
    """
    count, mean = len(terms), float(terms.mean())
    spread = float(terms.std(ddof=1)) if count > 1 else math.nan
    if not spread > 0:
        return Interval(mean, mean) if spread == 0 else Interval(-math.inf, math.inf)
    skewness = float(np.mean(((terms - mean) / spread) ** 3))

    def bent(z: float) -> float:
        step = z / math.sqrt(count)
        if abs(skewness) < 1e-6:
            return step
        inner = 1 + skewness * (step - skewness / (6 * count))
        return 3 / skewness * (math.copysign(abs(inner) ** (1 / 3), inner) - 1)

    return Interval(mean - spread * bent(_Z), mean - spread * bent(-_Z))
