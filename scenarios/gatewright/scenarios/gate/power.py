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
    share: bool = False,
) -> Plan | None:
    """The smallest difference of means that a paired comparison will show; None if the baseline cannot tell.

    It cannot with fewer than two cases, nor where a measure that is no share never varies within one.

    delta = (z(1 - alpha) + z(power)) sqrt((sigma_B^2 / K_B + sigma_C^2 / K_C) / n), Miller 2024 (arXiv 2411.00640,
    section 5), one-sided and for a change that moves all cases alike, with sigma_C = sigma_B, estimated from the
    baseline's trials. The variance of a share changes with it, and a baseline that always succeeds has none: for a
    share, sigma_C^2 is that of the lower share, and the test's own critical value is taken at delta too.

    Args:
        baseline: the values of each case's trials.
        cases: n, how many cases will be compared; without, as many as the baseline has.
        trials: K_C, how many trials a case the candidate will get; without, as many as the baseline has (mean).
        share: whether each value is 0 or 1, and 1 is success.
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
    if not share and within == 0:
        return None
    # The mean of 1 / k, not 1 / the mean of k: a case with few trials is less certain by more.
    own = float(np.mean([1 / len(each) for each in values]))
    theirs = own if trials is None else 1 / trials
    count = len(values) if cases is None else cases
    if share:
        mean = float(np.mean([each.mean() for each in values]))
        found = _drop(mean, within, own, theirs, count, NORMAL.inv_cdf(1 - alpha), NORMAL.inv_cdf(power))
    else:
        found = detectable(math.sqrt(within * (own + theirs) / count), alpha=alpha, power=power)
    return Plan(
        cases=count,
        trials=1 / theirs,
        alpha=alpha,
        power=power,
        within=within,
        detectable=found,
        bound=not repeated,
    )


def _drop(mean: float, within: float, own: float, theirs: float, cases: int, critical: float, found: float) -> float:
    """The smallest drop of a share that is found; 1 if there is none. `critical`, `found`: quantiles of the normal."""
    for drop in np.linspace(0, 1, 1001)[1:]:
        # E[(p - d)(1 - p + d)], where rates p have the mean and E[p (1 - p)] = within
        lower = max(0.0, within + drop * (2 * mean - 1) - drop**2)
        spread = within * own + lower * theirs
        if drop >= critical * math.sqrt((spread + drop**2) / cases) + found * math.sqrt(spread / cases):
            return float(drop)
    return 1.0


def detectable(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference that a one-sided test at `alpha` finds with chance `power`, given its standard error."""
    return (NORMAL.inv_cdf(1 - alpha) + NORMAL.inv_cdf(power)) * standard_error
