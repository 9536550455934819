"""The verdict on a policy by a log: better, worse, or inconclusive, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gatewright.agents.errors import UsageError

from .estimators import ESTIMATORS, Estimate, Estimator, Prediction, estimate, predict
from .logs import Logged
from .support import MINIMUM_ESS, Support

Outcome = Literal["pass", "fail", "inconclusive"]
"""`pass`: shown to earn more than what was done, or less by less than the margin · `fail`: shown to earn less, and not
that it is by less than the margin · `inconclusive`: neither is shown, or the log does not support the policy."""

EXIT_CODES: Mapping[Outcome, int] = {"pass": 0, "fail": 1, "inconclusive": 3}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a log says about a policy.

    `estimates` are empty where none can be computed. `decisive`: the one that the verdict is by; its interval of the
    gain is what counts. `prediction`: the direct method's, to put policies in an order; no verdict is by it.
    """

    outcome: Outcome
    reason: str
    support: Support
    decisive: Estimate | None
    estimates: tuple[Estimate, ...]
    prediction: Prediction

    @property
    def exit_code(self) -> int:
        """What the command line answers with."""
        return EXIT_CODES[self.outcome]


def evaluate(
    logged: Logged, estimator: Estimator = "dr", *, margin: float = 0.0, minimum_ess: float = MINIMUM_ESS
) -> Evaluation:
    """Evaluate a policy by a log.

    Args:
        estimator: whose gain decides. There is no way to ask for the direct method: see `Prediction`.
        margin: how much less a case than what was done the policy may earn, in the reward's unit.

    Raises:
        UsageError: there is no such estimator.
    """
    if estimator not in ESTIMATORS:
        raise UsageError(f"{estimator!r} decides nothing; what does is {', '.join(ESTIMATORS)}")
    support = Support.of(logged, minimum=minimum_ess)
    possible = not support.unusable and support.ess > 0
    estimates = tuple(estimate(logged, name) for name in ESTIMATORS) if possible else ()
    decisive = next((each for each in estimates if each.estimator == estimator), None)
    outcome, reason = _verdict(decisive, support, margin)
    return Evaluation(
        outcome=outcome,
        reason=reason,
        support=support,
        decisive=decisive,
        estimates=estimates,
        prediction=predict(logged),
    )


def _verdict(found: Estimate | None, support: Support, margin: float) -> tuple[Outcome, str]:
    if found is None or not support.enough:
        return "inconclusive", "; ".join(map(str, support.reasons))
    low, high = found.gain
    told = (
        f"it gains {found.value - found.logged:+.4g} a case over what was done, 95 % interval {low:+.4g} to {high:+.4g}"
    )
    if not math.isfinite(high - low):
        return "inconclusive", "one case says nothing about chance; log more"
    if low > 0:
        return "pass", f"{told}: it earns more"
    if low > -margin:
        return "pass", f"{told}: if it earns less, then by less than {margin:g}"
    if high < 0:
        return "fail", f"{told}: it earns less"
    return "inconclusive", f"{told}: neither more nor less is shown; log more cases"
