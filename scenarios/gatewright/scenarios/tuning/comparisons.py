"""Comparisons: candidates beside the current rule on the same cases, within limits, the simpler one at a tie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.environments.simulators import LOAD

from .algorithms import SIMPLICITY
from .choosers import Played

NORMAL = NormalDist().inv_cdf(0.975)  # there are thousands of cases
SPARE = 0.05
"""Of what the rule needs or does: room between what a training aims at and what is allowed in the end."""


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much worse than the current rule a candidate may be in what is not the reward.

    `load`: a share of the minutes that people spend with the rule. `violations`: a share of the rule's violations, of
    each kind by itself; so what the rule never does must not be done at all. That a candidate keeps within must be
    shown, by the upper end of the interval of its change.
    """

    load: float = SPARE
    violations: float = SPARE

    def __post_init__(self) -> None:
        if not (0 <= self.load < math.inf and 0 <= self.violations < math.inf):
            raise UsageError(f"limits must be finite and not negative, and are {self.load!r} and {self.violations!r}")

    def aimed(self) -> Limits:
        """What a training is to keep, so that chance on other cases does not break these: `SPARE` less."""
        return Limits(load=max(self.load - SPARE, 0.0), violations=max(self.violations - SPARE, 0.0))


class Rate(NamedTuple):
    """A mean per episode, its change against the rule, paired by case, and the largest change that is allowed."""

    mean: float
    change: Interval
    allowed: float

    @property
    def kept(self) -> bool:
        """Whether it is shown that the change is no larger than allowed."""
        return self.change.high <= self.allowed


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate on the held-out cases, beside the rule.

    `reward` is the mean per episode, and `gain` what it has above the rule's, paired by case. `load` is in minutes,
    `violations` are by kind.
    """

    reward: float
    gain: Interval
    load: Rate
    violations: Mapping[str, Rate]

    @property
    def limited(self) -> dict[str, Rate]:
        """All that is limited, by name."""
        return {LOAD: self.load, **self.violations}

    @property
    def broken(self) -> tuple[str, ...]:
        """The limits that it is not shown to keep."""
        return tuple(
            f"{name}: up to {rate.change.high:+.4g} an episode, {rate.allowed:+.4g} allowed"
            for name, rate in self.limited.items()
            if not rate.kept
        )


def paired(differences: NDArray[np.float64]) -> Interval:
    """The mean of paired differences, by the normal approximation; shape `(n_seeds, n_episodes)` or any other."""
    values = differences.ravel()
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Interval(mean, mean - NORMAL * error, mean + NORMAL * error)


def standing(candidate: Played, rule: Played, limits: Limits) -> Standing:
    """How a candidate stands beside the rule; both have played the same episodes."""
    return Standing(
        reward=float(candidate.rewards.mean()),
        gain=paired(candidate.rewards - rule.rewards),
        load=_rate(candidate.load, rule.load, limits.load),
        violations={
            kind: _rate(committed, rule.violations[kind], limits.violations)
            for kind, committed in candidate.violations.items()
        },
    )


def _rate(candidate: NDArray[np.float64], rule: NDArray[np.float64], margin: float) -> Rate:
    return Rate(float(candidate.mean()), paired(candidate - rule), margin * float(rule.mean()))


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
