"""Tests and intervals for two sides that were tried on the same cases.

The case is the unit. Trials of one case resemble each other, so each case is reduced to its mean first: counting trials
as if they were independent makes intervals too narrow by a factor of the square root of 1 + (k - 1) ICC. Everything
here takes the differences of cases (candidate minus baseline), float64 of shape `(n_cases,)`; every draw is seeded.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from fractions import Fraction
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 10_000
FINEST = 1_000  # steps of one unit at most in which differences are counted exactly
WIDEST = 200_000  # places of the exact distribution
FEW = 14  # differences of any size whose 2**n signs are all tried
CHUNK = 2_000_000  # numbers drawn at once

NORMAL = NormalDist()


def floats(values: Sequence[float]) -> Floats:
    """The values as an array of float64."""
    return np.array(values, dtype=np.float64)


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


def sign_flip(differences: Floats, groups: Sequence[Hashable] | None = None, *, seed: int = 0) -> float:
    """How likely a mean this low or lower is if the sides were exchangeable within each case; one-sided, in (0, 1).

    The paired permutation test: under the null hypothesis each case's difference has either sign with equal chance
    (all cases of a group together). Half the probability of exactly the observed mean counts (Lancaster's mid-p,
    JASA 56, 1961): the full probability would make the test reject too rarely where many sums coincide, 3.7 % instead
    of 5 % with 50 cases of 4 trials. For single trials this is McNemar's test. It is computed exactly where the
    differences are counts or few, else with `DRAWS` seeded draws.
    """
    sums = _by_group(differences, groups)
    sums = sums[np.abs(sums) > 1e-9 * np.abs(sums).max(initial=0.0)]  # what rounding left of a 0 is a 0
    if not len(sums):
        return 0.5
    steps = _steps(sums)
    if steps is not None:
        return _exact(steps)
    observed = float(sums.sum())
    scale = 1e-9 * float(np.abs(sums).sum())  # sums of one value in another order differ in their last digits
    if len(sums) <= FEW:
        signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * len(sums))).reshape(len(sums), -1)
        drawn = sums @ signs
        return float(np.mean(drawn < observed - scale) + np.mean(np.abs(drawn - observed) <= scale) / 2)
    random = np.random.default_rng(seed)
    below = equal = 0
    for size in _chunks(DRAWS, len(sums)):
        drawn = (random.integers(0, 2, (size, len(sums))) * 2.0 - 1.0) @ sums
        below += int(np.sum(drawn < observed - scale))
        equal += int(np.sum(np.abs(drawn - observed) <= scale))
    return (below + equal / 2 + 0.5) / (DRAWS + 1)


def clustered(differences: Floats, groups: Sequence[Hashable] | None = None) -> float:
    """How likely a mean this low or lower is if the true mean is 0, by a t test with errors clustered by group.

    Groups default to the cases themselves, which gives the paired t test. One-sided, in (0, 1); 0.5 if there is no
    more than one group. Where no two groups differ their variance is not 0 but unknown, and the permutation test
    answers. Standard error: Miller 2024 (arXiv 2411.00640), section 2.2, times G / (G - 1) groups.
    """
    error, groups_found = _clustered_error(differences, groups)
    if groups_found < 2:
        return 0.5
    mean = float(differences.mean())
    if error <= 1e-9 * abs(mean):
        return sign_flip(differences, groups)
    return student_below(mean / error, groups_found - 1)


def non_inferior(gains: Floats, margin: float, groups: Sequence[Hashable] | None = None, *, unit: float = 1.0) -> float:
    """How likely gains this high or higher are if the true mean is a loss of `margin`; one-sided, in (0, 1).

    The clustered t test, to which one case is added that gained a whole `unit` and one that lost it: the adjusted Wald
    test of Bonett and Price 2012 (J. Educ. Behav. Stat. 37), for single trials. Without them, and by flipping signs
    too, a few cases that all came out alike would prove any margin: ten ties "show" that less than 5 of 100 broke. Of
    measures without ties the unit is 0, and nothing is added.
    """
    if unit:
        named = [f"case {place}" for place in range(len(gains))] if groups is None else list(groups)
        groups = [("given", group) for group in named] + [("added", "gain"), ("added", "loss")]
        gains = np.append(gains, [unit, -unit])
    return clustered(-(gains + margin), groups)


def mcnemar(fixed: int, broken: int) -> float:
    """The exact two-sided p-value of McNemar's test: single trials, of which `fixed` and `broken` changed."""
    changed = fixed + broken
    tail = sum(math.comb(changed, count) for count in range(min(fixed, broken) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def bootstrap(
    values: Floats,
    groups: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Interval:
    """The 95 % percentile interval of the mean, by drawing cases (groups of cases) with replacement; two-sided.

    NaN for fewer than two of them, which say nothing of others.
    """
    sums = _by_group(values, groups)
    if len(sums) < 2:
        return Interval(math.nan, math.nan)
    counts = None if groups is None else _by_group(np.ones(len(values)), groups)
    random = np.random.default_rng(seed)
    means: list[Floats] = []
    for size in _chunks(DRAWS, len(sums)):
        chosen = random.integers(0, len(sums), (size, len(sums)), dtype=np.int32)
        drawn = len(sums) if counts is None else counts[chosen].sum(axis=1)
        means.append(sums[chosen].sum(axis=1) / drawn)
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(float(low), float(high))


def icc(cases: Sequence[Floats]) -> float | None:
    """The intraclass correlation of trials of one case, ICC(1) by analysis of variance; None if it cannot be told.

    1: all trials of a case agree; 0: they agree no more than trials of different cases. It may come out below 0.
    """
    sizes = np.array([len(each) for each in cases], dtype=np.float64)
    total, groups = float(sizes.sum()), len(cases)
    if groups < 2 or total <= groups:
        return None
    means = np.array([float(each.mean()) for each in cases])
    grand = float((sizes * means).sum() / total)
    between = float((sizes * (means - grand) ** 2).sum()) / (groups - 1)
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in cases) / (total - groups)
    size = (total - float((sizes**2).sum()) / total) / (groups - 1)
    spread = between + (size - 1) * within
    return (between - within) / spread if spread else None


def pass_k(successes: int, trials: int, k: int) -> float | None:
    """The chance that k trials of a case all succeed, estimated without bias; None if fewer were made.

    C(c, k) / C(n, k): tau-bench (Yao et al. 2024, arXiv 2406.12045), section 3.
    """
    return math.comb(successes, k) / math.comb(trials, k) if trials >= k else None


def holm(chances: Sequence[float]) -> list[float]:
    """The p-values adjusted for there being several, in the same order (Holm, Scand. J. Stat. 6, 1979)."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    adjusted = [0.0] * len(chances)
    reached = 0.0
    for rank, place in enumerate(order):
        reached = max(reached, min(1.0, (len(chances) - rank) * chances[place]))
        adjusted[place] = reached
    return adjusted


def standard_error(differences: Floats, groups: Sequence[Hashable] | None = None) -> float | None:
    """The clustered standard error of the mean; None if fewer than two groups leave it unknown."""
    error, found = _clustered_error(differences, groups)
    return error if found > 1 else None


def student_below(t: float, freedom: int) -> float:
    """The chance that Student's t with so many degrees of freedom is below `t`."""
    if freedom > 1_000:
        return NORMAL.cdf(t)
    # With t = sqrt(v) tan(x), the density is proportional to cos(x) ** (v - 1) on (-pi/2, pi/2).
    nodes, weights = _legendre()
    angle = math.atan(abs(t) / math.sqrt(freedom))
    area = float(weights @ np.cos((nodes + 1) * angle / 2) ** (freedom - 1)) * angle / 2
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return min(1.0, max(0.0, 0.5 + math.copysign(area * scale, t)))


@cache
def _legendre() -> tuple[Floats, Floats]:
    """Nodes and weights of an integral over (-1, 1); to work them out takes longer than to use them."""
    return np.polynomial.legendre.leggauss(200)


def _by_group(values: Floats, groups: Sequence[Hashable] | None) -> Floats:
    if groups is None:
        return values
    sums: dict[Hashable, float] = {}
    for group, value in zip(groups, values, strict=True):
        sums[group] = sums.get(group, 0.0) + float(value)
    return np.array(list(sums.values()))


def _clustered_error(differences: Floats, groups: Sequence[Hashable] | None) -> tuple[float, int]:
    if not len(differences):
        return 0.0, 0
    residuals = _by_group(differences - differences.mean(), groups)
    found = len(residuals)
    square = float((residuals**2).sum()) * found / (found - 1) if found > 1 else 0.0
    return math.sqrt(square) / len(differences), found


def _steps(sums: Floats) -> list[int] | None:
    """The differences as whole numbers of a common step, if there is one that is not too fine."""
    parts = [Fraction(float(each)).limit_denominator(FINEST) for each in sums]
    common = math.lcm(*(part.denominator for part in parts))
    if common > FINEST or any(part == 0 or abs(part - each) > 1e-9 for part, each in zip(parts, sums, strict=True)):
        return None
    steps = [int(part * common) for part in parts]
    divisor = math.gcd(*steps)
    steps = [step // divisor for step in steps]
    return steps if sum(map(abs, steps)) <= WIDEST else None


def _exact(steps: list[int]) -> float:
    """The mid-p of the sum of the steps among all sums with other signs: their distribution, step by step."""
    width = sum(map(abs, steps))
    chances = np.zeros(2 * width + 1)
    chances[width] = 1.0
    for step in map(abs, steps):
        moved = np.zeros_like(chances)
        moved[step:] += chances[:-step] / 2
        moved[:-step] += chances[step:] / 2
        chances = moved
    observed = sum(steps) + width
    return float(chances[:observed].sum() + chances[observed] / 2)


def _chunks(draws: int, width: int) -> list[int]:
    size = max(1, min(draws, CHUNK // max(1, width)))
    return [min(size, draws - done) for done in range(0, draws, size)]
