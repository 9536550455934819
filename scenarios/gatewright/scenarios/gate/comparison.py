"""Two sides beside each other, case by case."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gatewright.agents.errors import UsageError

from . import measures, statistics
from . import power as powers
from .statistics import Floats, Interval
from .trials import Severity, Table, Trial

Test = Literal["permutation", "clustered"]
"""`permutation`: signs of cases are flipped, no distribution is assumed. `clustered`: a t test over cases."""

Change = Literal["fixed", "broken", "better", "worse", "same", "unknown"]
"""`fixed`, `broken`: more than half of its trials succeed now, or did. `better`, `worse`: only the share moved."""


_PARTS = re.compile(r"\d+|\D+")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case on both sides."""

    name: str
    severity: Severity
    tags: tuple[str, ...]
    base: tuple[Trial, ...]
    candidate: tuple[Trial, ...]

    @property
    def change(self) -> Change:
        """What became of it."""
        before, after = measures.reduced("success", self.base), measures.reduced("success", self.candidate)
        if before is None or after is None:
            return "unknown"
        if (before > 0.5) != (after > 0.5):
            return "fixed" if after > 0.5 else "broken"
        if before == after:
            return "same"
        return "better" if after > before else "worse"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure on both sides: means over cases of the means of their trials, over the `cases` that have it on both.

    `p_worse` is one-sided, of the candidate being worse than the baseline; `p_margin` of its being worse by no less
    than `margin`. `plan` is known before the candidate runs, `detectable` is what the differences say afterwards.
    `missing_base` and `missing_candidate` count trials without a value. What cannot be told is NaN.
    """

    name: str
    cases: int
    base: float
    candidate: float
    candidate_interval: Interval
    difference: float
    interval: Interval
    p_worse: float
    margin: float | None
    p_margin: float | None
    missing_base: int
    missing_candidate: int
    plan: powers.Plan | None
    detectable: float | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to compare. `margins` say how much worse a metric may be, in its own unit."""

    alpha: float = 0.05
    power: float = 0.8
    test: Test = "permutation"
    margins: dict[str, float]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that is known of two sides.

    `icc` is the baseline's. `mcnemar` is there where every case has one trial on both sides.
    """

    base: Table
    candidate: Table
    cases: tuple[Case, ...]
    only_base: tuple[str, ...]
    only_candidate: tuple[str, ...]
    metrics: dict[str, Metric]
    icc: float | None
    mcnemar: float | None
    settings: Settings

    def changed(self, change: Change) -> list[Case]:
        """The cases of which this became."""
        return [case for case in self.cases if case.change == change]


def compare(base: Table, candidate: Table, metrics: Sequence[str] = (), settings: Settings | None = None) -> Comparison:
    """Compare two tables on the cases that both have. The order of either makes no difference.

    Args:
        metrics: names of measures, or `pass^k`; those that both sides know anything of are added.

    Raises:
        UsageError: they have no case in common, or there is no such metric.
    """
    settings = settings or Settings(margins={})
    before, after = base.cases(), candidate.cases()
    shared = sorted((name for name in before if name in after), key=natural)
    if not shared:
        raise UsageError(
            f"{base.name!r} and {candidate.name!r} have no case in common; compare results of the same suite"
        )
    cases = tuple(_case(name, before[name], after[name]) for name in shared)
    names = [*metrics, *measures.present([case.base for case in cases], [case.candidate for case in cases])]
    return Comparison(
        base=base,
        candidate=candidate,
        cases=cases,
        only_base=tuple(sorted((name for name in before if name not in after), key=natural)),
        only_candidate=tuple(sorted((name for name in after if name not in before), key=natural)),
        metrics={name: _metric(name, cases, settings) for name in dict.fromkeys(names)},
        icc=statistics.icc([known for case in cases if len(known := measures.values("success", case.base))]),
        mcnemar=_mcnemar(cases),
        settings=settings,
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names as people do: `case 9` before `case 10`."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _PARTS.findall(name)]


def _case(name: str, base: list[Trial], candidate: list[Trial]) -> Case:
    both = [*base, *candidate]
    return Case(
        name=name,
        severity="block" if any(trial.severity == "block" for trial in both) else "warn",
        tags=tuple(dict.fromkeys(tag for trial in both for tag in trial.tags)),
        base=tuple(base),
        candidate=tuple(candidate),
    )


def _mcnemar(cases: Sequence[Case]) -> float | None:
    changes = [case.change for case in cases]
    if "unknown" in changes or any(len(case.base) != 1 or len(case.candidate) != 1 for case in cases):
        return None
    return statistics.mcnemar(changes.count("fixed"), changes.count("broken"))


def _metric(name: str, cases: Sequence[Case], settings: Settings) -> Metric:
    measures.check(name)
    pairs = [(measures.reduced(name, case.base), measures.reduced(name, case.candidate)) for case in cases]
    kept = [place for place, pair in enumerate(pairs) if None not in pair]
    before = np.array([pairs[place][0] for place in kept], dtype=np.float64)
    after = np.array([pairs[place][1] for place in kept], dtype=np.float64)
    groups = measures.groups([(cases[place].name, (*cases[place].base, *cases[place].candidate)) for place in kept])
    differences = after - before
    gain = -differences if name in measures.LOWER_IS_BETTER else differences
    margin = settings.margins.get(name)

    error = statistics.standard_error(differences, groups)
    return Metric(
        name=name,
        cases=len(kept),
        base=float(before.mean()) if kept else math.nan,
        candidate=float(after.mean()) if kept else math.nan,
        candidate_interval=statistics.bootstrap(after, groups, seed=settings.seed),
        difference=float(differences.mean()) if kept else math.nan,
        interval=statistics.bootstrap(differences, groups, seed=settings.seed),
        p_worse=_chance(gain, groups, settings),
        margin=margin,
        p_margin=(
            None
            if margin is None or not kept
            else statistics.non_inferior(gain, margin, groups, unit=measures.unit(name, np.append(before, after)))
        ),
        missing_base=sum(measures.missing(name, case.base) for case in cases),
        missing_candidate=sum(measures.missing(name, case.candidate) for case in cases),
        plan=plan(name, [(case.base, len(case.candidate)) for case in cases], settings),
        detectable=None if not error else powers.detectable(error, alpha=settings.alpha, power=settings.power),
    )


def _chance(gain: Floats, groups: list[str] | None, settings: Settings) -> float:
    if not len(gain):
        return math.nan
    if settings.test == "clustered":
        return statistics.clustered(gain, groups)
    return statistics.sign_flip(gain, groups, seed=settings.seed)


def plan(name: str, baseline: Sequence[tuple[Sequence[Trial], int]], settings: Settings) -> powers.Plan | None:
    """What a comparison with this baseline can see; None of pass^k, and where the baseline cannot tell.

    Args:
        baseline: the trials of each case, and how many of it the candidate makes.
    """
    if not measures.is_single(name):
        return None
    return powers.plan(
        [measures.values(name, trials) for trials, _ in baseline],
        trials=1 / float(np.mean([1 / count for _, count in baseline])),
        alpha=settings.alpha,
        power=settings.power,
        share=measures.is_share(name),
    )
