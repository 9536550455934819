"""Comparisons: candidates beside the current rule on the same cases, within limits, the simpler one at a tie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError

from .algorithms import SIMPLICITY
from .choosers import Played

NORMAL = NormalDist().inv_cdf(0.975)  # there are thousands of cases


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much worse than the current rule a candidate may be in what is not the reward.

    `load`: a share of the minutes that people spend with the rule; it must be shown (by the upper end of the interval)
    that a candidate needs no more above that. `violations`: a number per episode.
    """

    load: float = 0.05
    violations: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.load < math.inf and 0 <= self.violations < math.inf):
            raise UsageError(f"limits must be finite and not negative, and are {self.load!r} and {self.violations!r}")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate on the held-out cases, beside the rule. `reward`, `load` and `violations` are means per episode.

    `gain`: of the reward, paired by case; `load_change`: likewise. `broken`: the limits that it does not keep.
    """

    reward: float
    load: float
    violations: float
    gain: Interval
    load_change: Interval
    broken: tuple[str, ...]


def paired(differences: NDArray[np.float64]) -> Interval:
    """The mean of paired differences, by the normal approximation; shape `(n_seeds, n_episodes)` or any other."""
    values = differences.ravel()
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Interval(mean, mean - NORMAL * error, mean + NORMAL * error)


def standing(candidate: Played, rule: Played, limits: Limits) -> Standing:
    """How a candidate stands beside the rule; both have played the same episodes."""
    gain, change = paired(candidate.rewards - rule.rewards), paired(candidate.load - rule.load)
    load, violations = float(rule.load.mean()), float(rule.violations.mean())
    found = float(candidate.violations.mean())
    broken: list[str] = []
    if found > violations + limits.violations:
        broken.append(f"violations: {found:.4g} an episode, {violations + limits.violations:.4g} are allowed")
    if change.high > limits.load * load:
        broken.append(f"load: up to {change.high:+.4g} minutes an episode, {limits.load * load:+.4g} are allowed")
    return Standing(
        reward=float(candidate.rewards.mean()),
        load=float(candidate.load.mean()),
        violations=found,
        gain=gain,
        load_change=change,
        broken=tuple(broken),
    )


def proposed(played: Sequence[tuple[str, Played]], limits: Limits) -> int:
    """The position of the candidate that is proposed; `played` is by algorithm, one of them the `rules`.

    From the simplest on, one takes the place of the one before only if it keeps the limits, and the interval of its
    paired gain over that one lies above zero.
    """
    order = sorted(range(len(played)), key=lambda at: SIMPLICITY.index(played[at][0]))
    best, *others = order
    rule = played[best][1]
    for at in others:
        candidate = played[at][1]
        if standing(candidate, rule, limits).broken:
            continue
        if paired(candidate.rewards - played[best][1].rewards).low > 0:
            best = at
    return best
