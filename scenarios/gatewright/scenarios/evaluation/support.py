"""Support: whether a log says enough about a policy to be asked at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .logs import Logged

MINIMUM_ESS = 200.0  # cases; intervals were seen to cover from here on
UNCOVERED = 0.001  # share of the policy's choices that the log could not have made
ERRORS = 4.0  # standard errors that the mean weight may be off 1: once in 16,000 sound logs
TELLING = 10  # cases whose reward differs from the usual one


class Reason(NamedTuple):
    """Why a log cannot be used, and what to do about it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Support:
    """How much of a log is about the policy that is evaluated.

    `cases` and `decisions`: on record · `ess`: effective sample size, in cases: as many drawn from the policy itself
    would tell as much (L. Kish, Survey Sampling, 1965) · `max_weight`: of a case · `mean_weight`: about 1 where
    propensities are right and nothing is out of reach · `overlap`: 1 - total variation between what was done and what
    the policy would do, in [0, 1] · `uncovered`: the share of the policy's choices that had no chance to be on record
    since a decision left nothing to chance · `unusable`: decisions without a propensity above 0. Numbers of weights
    are 0 where there are such decisions.
    """

    cases: int
    decisions: int
    ess: float
    max_weight: float
    mean_weight: float
    overlap: float
    uncovered: float
    unusable: int
    reasons: tuple[Reason, ...]

    @property
    def enough(self) -> bool:
        """Whether nothing speaks against an estimate."""
        return not self.reasons

    @classmethod
    def of(cls, logged: Logged, *, minimum: float = MINIMUM_ESS) -> Support:
        """The support of a policy in a log. `minimum`: of the effective sample size."""
        cases, unusable = len(logged.earned), int((~logged.usable).sum())
        if unusable:
            return cls(
                cases=cases,
                decisions=len(logged),
                ess=0.0,
                max_weight=0.0,
                mean_weight=0.0,
                overlap=0.0,
                uncovered=_uncovered(logged),
                unusable=unusable,
                reasons=(
                    Reason(
                        f"{unusable} of {len(logged)} decisions have no propensity above 0 on record",
                        "have who decides record how likely the choice was, and leave out what came before",
                    ),
                ),
            )
        weights = logged.weights
        found = cls(
            cases=cases,
            decisions=len(logged),
            ess=float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0,
            max_weight=float(weights.max()),
            mean_weight=float(weights.mean()),
            overlap=float(np.minimum(weights, 1.0).mean()),
            uncovered=_uncovered(logged),
            unusable=0,
            reasons=(),
        )
        reasons = (found._deterministic(logged), found._thin(minimum), found._astray(logged), _monotonous(logged))
        return replace(found, reasons=tuple(reason for reason in reasons if reason))

    def _deterministic(self, logged: Logged) -> Reason | None:
        if self.uncovered <= UNCOVERED:
            return None
        certain = int((logged.propensities >= 1).sum())
        return Reason(
            f"{self.uncovered:.1%} of what the policy would choose had no chance to be on record, since {certain} of "
            f"{self.decisions} decisions left nothing to chance (at most {UNCOVERED:.1%} may)",
            "let the deployment explore (`explore` of its policies), and evaluate on decisions made since then",
        )

    def _thin(self, minimum: float) -> Reason | None:
        if self.ess >= minimum:
            return None
        more = "" if not self.ess else f"about {minimum / self.ess:.1f} times as many cases, "
        return Reason(
            f"the log tells as much as {self.ess:.0f} cases of the policy's own would, fewer than {minimum:g}",
            f"log {more}explore more, or evaluate a policy that is closer to what was done",
        )

    def _astray(self, logged: Logged) -> Reason | None:
        spread = float(logged.weights.std(ddof=1)) if self.cases > 1 else 0.0
        if self.uncovered > UNCOVERED or abs(self.mean_weight - 1) <= ERRORS * spread / self.cases**0.5 + 1e-6:
            return None
        return Reason(
            f"the weights are {self.mean_weight:.3f} on average and not about 1, so that the propensities on record "
            "are not those by which was chosen, or options that the policy takes were out of reach",
            "have who decides record the probability by which it really drew",
        )


def _uncovered(logged: Logged) -> float:
    return float(np.where(logged.propensities >= 1, 1 - logged.agreeing, 0.0).mean())


def _monotonous(logged: Logged) -> Reason | None:
    counted = logged.earned[logged.weights > 0]
    usual = 0 if not len(counted) else int(np.unique(counted, return_counts=True)[1].max())
    if len(counted) - usual >= TELLING:
        return None
    return Reason(
        f"of {len(counted)} cases that count, {usual} earned the same; an interval from fewer than {TELLING} others "
        "would be too narrow",
        "log more cases, or choose a reward that tells them apart",
    )
