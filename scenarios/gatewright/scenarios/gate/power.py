"""What a comparison will be able to see, said before the candidate has run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import NORMAL, Floats


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How small a difference can be seen.

    `within` is the variance of trials of one case, `detectable` the difference that is found with chance `power` by a
    one-sided test at `alpha`. `bound` is true where the baseline has one trial a case: the variance within cases
    cannot be told then and the variance of all trials stands for it, which overstates what is detectable.
    """

    cases: int
    trials: float
    alpha: float
    power: float
    within: float
    detectable: float
    bound: bool


def plan(
    baseline: Sequence[Floats],
    *,
    cases: int | None = None,
    trials: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    heterogeneity: float = 0.0,
) -> Plan | None:
    """The smallest difference of means that a paired comparison will show; None if the baseline cannot tell.

    delta = (z(1 - alpha) + z(power)) sqrt((omega^2 + sigma_B^2 / K_B + sigma_C^2 / K_C) / n), Miller 2024
    (arXiv 2411.00640, section 5), one-sided, with sigma_C = sigma_B, estimated from the baseline's trials.

    Args:
        baseline: the values of each case's trials.
        cases: n, how many cases will be compared; without, as many as the baseline has.
        trials: K_C, how many trials a case the candidate will get; without, as many as the baseline has (mean).
        heterogeneity: omega^2, the variance over cases of the true difference; 0 says that a change moves all alike.
    """
    values = [each for each in baseline if len(each)]
    if len(values) < 2:
        return None
    repeated = [each for each in values if len(each) > 1]
    if repeated:
        freedom = sum(len(each) - 1 for each in repeated)
        within = sum(float(((each - each.mean()) ** 2).sum()) for each in repeated) / freedom
    else:
        within = float(np.concatenate(values).var(ddof=1))
    # The mean of 1 / k, not 1 / the mean of k: a case with few trials is less certain by more.
    own = float(np.mean([1 / len(each) for each in values]))
    theirs = own if trials is None else 1 / trials
    count = len(values) if cases is None else cases
    variance = (heterogeneity + within * (own + theirs)) / count
    return Plan(
        cases=count,
        trials=1 / theirs,
        alpha=alpha,
        power=power,
        within=within,
        detectable=detectable(math.sqrt(variance), alpha=alpha, power=power),
        bound=not repeated,
    )


def detectable(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference that a one-sided test at `alpha` finds with chance `power`, given its standard error."""
    return (NORMAL.inv_cdf(1 - alpha) + NORMAL.inv_cdf(power)) * standard_error
