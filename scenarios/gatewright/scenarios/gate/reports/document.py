"""What a report says, whatever it is written as: a verdict, a comparison without one, or a single run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gatewright.scenarios.gate import measures, statistics, verdict, wording
from gatewright.scenarios.gate.comparison import Case, Comparison, Metric, Settings, plan
from gatewright.scenarios.gate.statistics import Interval
from gatewright.scenarios.gate.trials import Severity, Table, Trial
from gatewright.scenarios.gate.verdict import Finding, Outcome, Verdict

Change = Literal["fixed", "broken", "better", "worse", "same", "unknown", "new", "gone", ""]
"""As `comparison.Change`; `new` and `gone` are cases of one side only, "" says that there is no other side."""


BEFOREHAND = "Known before the run, from the baseline"
AS_BASELINE = "What a comparison with it will be able to see"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric. `own` is the interval of the side that the report is about; numbers are None where not known."""

    name: str
    lower_is_better: bool
    cases: int
    value: float | None
    own: Interval | None
    base: float | None = None
    difference: float | None = None
    interval: Interval | None = None
    p_worse: float | None = None
    detectable_before: float | None = None
    detectable: float | None = None
    missing: int = 0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One case: how many of its trials succeeded, `3/4`, on the side that the report is about and on the baseline."""

    name: str
    change: Change
    severity: Severity
    tags: tuple[str, ...]
    result: str
    share: float | None
    seconds: float | None
    base_result: str = ""
    base_share: float | None = None
    notes: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report. `name` is the run it is about, `base` what it was held against; `outcome` is None without a gate."""

    name: str
    base: str | None
    about: dict[str, str]
    outcome: Outcome | None
    findings: tuple[Finding, ...]
    beforehand: tuple[str, ...]
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    icc: float | None
    mcnemar: float | None = None

    def changed(self, change: Change) -> list[Line]:
        """The cases of which this became."""
        return [line for line in self.lines if line.change == change]

    def plain(self) -> dict[str, Any]:
        """The document as JSON can hold it."""
        return asdict(self) | {
            "fixed": [line.name for line in self.changed("fixed")],
            "broken": [line.name for line in self.changed("broken")],
        }


def of_verdict(judged: Verdict) -> Document:
    """The report of a gate."""
    return _of(judged.comparison, judged.outcome, judged.findings)


def of_comparison(comparison: Comparison) -> Document:
    """The report of a comparison that nobody judged."""
    return _of(comparison, None, ())


def of_run(table: Table) -> Document:
    """The report of one side alone. What is known beforehand is of a candidate that makes as many trials."""
    cases = table.cases()
    names = measures.present(list(cases.values()))
    settings = Settings(margins={})
    sizes = [(trials, len(trials)) for trials in cases.values()]
    shares = [values for trials in cases.values() if len(values := measures.values("success", trials))]
    return Document(
        name=table.name,
        base=None,
        about=table.about,
        outcome=None,
        findings=(),
        beforehand=tuple(verdict.beforehand({name: plan(name, sizes, settings) for name in names})),
        rows=tuple(_alone(name, cases) for name in names),
        lines=tuple(_single(name, trials, "") for name, trials in cases.items()),
        icc=statistics.icc(shares),
    )


def _of(comparison: Comparison, outcome: Outcome | None, findings: tuple[Finding, ...]) -> Document:
    before, after = comparison.base.cases(), comparison.candidate.cases()
    about = {f"baseline {name}": value for name, value in comparison.base.about.items()}
    return Document(
        name=comparison.candidate.name,
        base=comparison.base.name,
        about=about | comparison.candidate.about,
        outcome=outcome,
        findings=findings,
        beforehand=tuple(verdict.beforehand({name: each.plan for name, each in comparison.metrics.items()})),
        rows=tuple(_row(metric) for metric in comparison.metrics.values()),
        lines=(
            *(_line(case) for case in comparison.cases),
            *(_single(name, after[name], "new") for name in comparison.only_candidate),
            *(_single(name, before[name], "gone") for name in comparison.only_base),
        ),
        icc=comparison.icc,
        mcnemar=comparison.mcnemar,
    )


def _row(metric: Metric) -> Row:
    return Row(
        name=metric.name,
        lower_is_better=metric.name in measures.LOWER_IS_BETTER,
        cases=metric.cases,
        value=_number(metric.candidate),
        own=_interval(metric.candidate_interval),
        base=_number(metric.base),
        difference=_number(metric.difference),
        interval=_interval(metric.interval),
        p_worse=_number(metric.p_worse),
        detectable_before=metric.plan.detectable if metric.plan else None,
        detectable=metric.detectable,
        missing=metric.missing_base + metric.missing_candidate,
    )


def _alone(name: str, cases: dict[str, list[Trial]]) -> Row:
    kept = {case: value for case, trials in cases.items() if (value := measures.reduced(name, trials)) is not None}
    values = statistics.floats(list(kept.values()))
    return Row(
        name=name,
        lower_is_better=name in measures.LOWER_IS_BETTER,
        cases=len(kept),
        value=_number(float(values.mean())),
        own=_interval(statistics.bootstrap(values, measures.groups([(case, cases[case]) for case in kept]))),
        missing=sum(measures.missing(name, trials) for trials in cases.values()),
    )


def _line(case: Case) -> Line:
    return Line(
        name=case.name,
        change=case.change,
        severity=case.severity,
        tags=case.tags,
        result=wording.trials(case.candidate),
        share=measures.reduced("success", case.candidate),
        seconds=_seconds(case.candidate),
        base_result=wording.trials(case.base),
        base_share=measures.reduced("success", case.base),
        notes=_notes(case.candidate),
        episodes=_episodes(case.candidate),
    )


def _single(name: str, trials: Sequence[Trial], change: Change) -> Line:
    gone = change == "gone"
    return Line(
        name=name,
        change=change,
        severity="block" if any(trial.severity == "block" for trial in trials) else "warn",
        tags=tuple(dict.fromkeys(tag for trial in trials for tag in trial.tags)),
        result="" if gone else wording.trials(trials),
        share=None if gone else measures.reduced("success", trials),
        seconds=None if gone else _seconds(trials),
        base_result=wording.trials(trials) if gone else "",
        base_share=measures.reduced("success", trials) if gone else None,
        notes=() if gone else _notes(trials),
        episodes=() if gone else _episodes(trials),
    )


def _notes(trials: Sequence[Trial]) -> tuple[str, ...]:
    return tuple(f"trial {trial.trial}: {trial.note}" for trial in trials if trial.note)


def _episodes(trials: Sequence[Trial]) -> tuple[str, ...]:
    return tuple(trial.episode for trial in trials if trial.episode)


def _seconds(trials: Sequence[Trial]) -> float | None:
    known = measures.values("latency", trials)
    return float(known.sum()) if len(known) else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(found: Interval) -> Interval | None:
    return None if math.isnan(found.low) else found
