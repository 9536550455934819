"""What a metric is: how the trials of a case become one number."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from gatewright.agents.errors import UsageError

from . import statistics
from .statistics import Floats
from .trials import Trial

MEASURES = ("success", "reward", "cost", "latency", "human_load", "violations")
LOWER_IS_BETTER = frozenset({"cost", "latency", "human_load", "violations"})
CONTINUOUS = frozenset({"cost", "latency"})
MOST_K = 8  # pass^k beyond it are made only when asked for

_PASS_K = re.compile(r"pass\^([1-9][0-9]?)")


def check(name: str) -> None:
    """Whether there is such a metric.

    Raises:
        UsageError: there is not.
    """
    if name not in MEASURES and not _PASS_K.fullmatch(name):
        raise UsageError(
            f"there is no metric {name!r}; there are {', '.join(MEASURES)} and pass^k (pass^2, pass^4, ...)"
        )


def is_share(name: str) -> bool:
    """Whether it is a share of trials or cases, told in percent."""
    return name == "success" or _PASS_K.fullmatch(name) is not None


def is_single(name: str) -> bool:
    """Whether it is the mean of a value that each trial has, as pass^k is not."""
    return name in MEASURES


def unit(name: str, seen: Floats) -> float:
    """By how much one case can change wholly, for `statistics.non_inferior`; 0 where ties do not come about.

    A reward has the scale of its world: what was `seen` of it, of all cases, tells how wide that is.
    """
    if name in CONTINUOUS:
        return 0.0
    return max(1.0, float(np.ptp(seen))) if name == "reward" and len(seen) else 1.0


def reduced(name: str, trials: Sequence[Trial]) -> float | None:
    """The metric of one case; None if it is not known of any trial, or if there are too few for this pass^k."""
    match = _PASS_K.fullmatch(name)
    known = values("success" if match else name, trials)
    if match:
        return statistics.pass_k(int(known.sum()), len(known), int(match[1]))
    return float(known.mean()) if len(known) else None


def missing(name: str, trials: Sequence[Trial]) -> int:
    """How many trials of one case the metric cannot be made of."""
    match = _PASS_K.fullmatch(name)
    if match and reduced(name, trials) is None:
        return len(trials)
    return len(trials) - len(values("success" if match else name, trials))


def values(name: str, trials: Sequence[Trial]) -> Floats:
    """The values that are known: float64, shape `(n_known,)`."""
    return np.array([value for trial in trials if (value := getattr(trial, name)) is not None], dtype=np.float64)


def present(*sides: Sequence[Sequence[Trial]]) -> list[str]:
    """The metrics that can be made on every side, each given as its cases: the measures, then pass^k up to `MOST_K`."""
    names = [name for name in MEASURES if all(any(len(values(name, case)) for case in side) for side in sides)]
    fewest = min((len(values("success", case)) for side in sides for case in side), default=0)
    return [*names, *(f"pass^{k}" for k in range(2, min(fewest, MOST_K) + 1))]


def groups(cases: Sequence[tuple[str, Sequence[Trial]]]) -> list[str] | None:
    """The group of each case, itself where none is stated; None if no case states any."""
    stated = [next((trial.group for trial in trials if trial.group), None) for _, trials in cases]
    if not any(stated):
        return None
    return [f"group {group}" if group else f"case {name}" for group, (name, _) in zip(stated, cases, strict=True)]
