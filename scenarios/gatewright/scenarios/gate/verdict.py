"""Pass, fail or inconclusive, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from gatewright.agents.wording import counted

from . import measures, statistics, wording
from .comparison import Comparison, Metric, compare
from .power import Plan
from .rules import Gate
from .trials import Table

Outcome = Literal["pass", "fail", "inconclusive"]
"""`fail`: it was shown that a rule does not hold. `inconclusive`: what was tried cannot show that all hold."""

EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 1, "inconclusive": 3}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of one rule. `p` is adjusted for the number of metrics, where a test was made."""

    rule: str
    outcome: Outcome
    reason: str
    p: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's answer: the worst of its findings, a failure being worse than a doubt."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    comparison: Comparison
    gate: Gate

    @property
    def exit_code(self) -> int:
        """What the command line answers with."""
        return EXIT_CODES[self.outcome]


def judge(base: Table, candidate: Table, gate: Gate | None = None) -> Verdict:
    """Hold a candidate against the baseline.

    Raises:
        UsageError: they have no case in common.
    """
    gate = gate or Gate()
    comparison = compare(base, candidate, [*gate.tested(), *gate.budgets], gate.settings())
    findings = (
        *_coverage(comparison),
        *_zero_tolerance(comparison, gate),
        *_metrics(comparison, gate),
        *_violations(comparison, gate),
        *(_budget(comparison, gate, name, limit) for name, limit in gate.budgets.items()),
    )
    outcomes = {finding.outcome for finding in findings}
    worst: Outcome = "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"
    return Verdict(outcome=worst, findings=findings, comparison=comparison, gate=gate)


def _coverage(comparison: Comparison) -> Iterator[Finding]:
    missing = comparison.only_base
    if missing:
        yield Finding(
            rule="cases",
            outcome="inconclusive",
            reason=f"the candidate did not run {counted(len(missing), 'case')} of the baseline ({_listed(missing)}); "
            "what did not run may be what would have failed",
        )


def _zero_tolerance(comparison: Comparison, gate: Gate) -> Iterator[Finding]:
    named = set(gate.block)
    candidate = comparison.candidate.cases()
    blocking = [
        name for name, trials in candidate.items() if name in named or any(each.severity == "block" for each in trials)
    ]
    # A case whose baseline says `block` stays one, whatever the candidate's file says of it.
    blocking += [case.name for case in comparison.cases if case.severity == "block" and case.name not in blocking]
    if absent := sorted(named - set(candidate)):
        yield Finding(
            rule="zero tolerance",
            outcome="inconclusive",
            reason=f"the candidate did not run {_listed(absent)}, which must not fail",
        )
    if not blocking:
        return
    failed = {name: sum(trial.success is False for trial in candidate[name]) for name in blocking}
    unknown = [name for name in blocking if any(trial.success is None for trial in candidate[name])]
    broken = [name for name, count in failed.items() if count >= gate.block_failures]
    if broken:
        told = [f"{name} ({failed[name]} of {counted(len(candidate[name]), 'trial')})" for name in broken]
        yield Finding(
            rule="zero tolerance",
            outcome="fail",
            reason=f"{len(broken)} of {counted(len(blocking), 'case')} that must not fail did: {_listed(told)}",
        )
    elif unknown:
        yield Finding(
            rule="zero tolerance",
            outcome="inconclusive",
            reason=f"it is not known how trials of {_listed(unknown)} ended, which must not fail",
        )
    else:
        yield Finding(rule="zero tolerance", outcome="pass", reason=f"none of {len(blocking)} blocking cases failed")


def _metrics(comparison: Comparison, gate: Gate) -> Iterator[Finding]:
    metrics = [comparison.metrics[name] for name in gate.tested()]
    # What nobody knows counts as one of the tests too: it was to be one before the run.
    chances = [1.0 if math.isnan(metric.p_worse) else metric.p_worse for metric in metrics]
    for metric, p in zip(metrics, statistics.holm(chances), strict=True):
        yield _metric(metric, p, gate, adjusted="" if len(metrics) == 1 else f" for {len(metrics)} metrics")


def _metric(metric: Metric, p: float, gate: Gate, adjusted: str) -> Finding:
    def found(outcome: Outcome, reason: str) -> Finding:
        return Finding(rule=metric.name, outcome=outcome, reason=reason, p=p)

    if not metric.cases:
        return found("inconclusive", f"{metric.name} is not known of any case on both sides{_missing(metric)}")
    name = metric.name
    told = (
        f"{name} went from {wording.value(name, metric.base)} to {wording.value(name, metric.candidate)} "
        f"({wording.change(name, metric.difference)}, 95 % interval {wording.interval(name, metric.interval)}; "
        f"{wording.probability(p)}{adjusted})"
    )
    if metric.p_margin is not None and metric.p_margin <= gate.alpha:
        shown: Outcome = "pass"
        reason = f"{told}: worse by less than {wording.size(metric.name, metric.margin or 0)}, as was to be shown"
    elif p <= gate.alpha:
        return found("fail", f"{told}: worse than the baseline by more than chance explains")
    elif metric.margin is not None:
        return found(
            "inconclusive",
            f"{told}: not shown to be worse, but nor that it is worse by less than "
            f"{wording.size(metric.name, metric.margin)}; run more cases",
        )
    else:
        blind = _blind(metric, gate)
        if blind:
            return found("inconclusive", f"{told}: not shown to be worse, but {blind}; run more cases")
        shown, reason = "pass", f"{told}: not worse than chance explains"
    if metric.missing_base or metric.missing_candidate:
        return found("inconclusive", f"{reason}, of what is known{_missing(metric)}")
    return found(shown, reason)


def _blind(metric: Metric, gate: Gate) -> str:
    """Why the run was too small to see a change that matters; empty if it was not."""
    limit = gate.detectable.get(metric.name)
    if limit is None:
        return ""
    seen = [metric.detectable, metric.plan.detectable if metric.plan else None]
    largest = max((each for each in seen if each is not None), default=None)
    if largest is None:
        return "what could have been seen cannot be told of one case, or of values that never vary"
    if largest <= limit:
        return ""
    return (
        f"a change of less than {wording.size(metric.name, largest)} could not have been seen "
        f"({wording.size(metric.name, limit)} must be)"
    )


def _violations(comparison: Comparison, gate: Gate) -> Iterator[Finding]:
    if gate.violations in ("tested", "ignored"):
        return
    before = [trial.violations for case in comparison.cases for trial in case.base]
    # All of the candidate's, also in cases that the baseline does not have.
    after = [trial.violations for trial in comparison.candidate.trials]
    if gate.violations is None and all(count is None for count in (*before, *after)):
        return
    known, new = [count for count in before if count is not None], [count for count in after if count is not None]
    base, candidate = sum(known), sum(new)
    told = f"{counted(candidate, 'violation')} in {counted(len(new), 'trial')}, {base} in {len(known)} of the baseline"
    if known and new and candidate * len(known) > base * len(new):
        yield Finding(rule="violations", outcome="fail", reason=f"{told}: more than before")
    elif len(known) < len(before) or len(new) < len(after):
        missing = len(before) - len(known) + len(after) - len(new)
        yield Finding(
            rule="violations",
            outcome="inconclusive",
            reason=f"{told}; of {counted(missing, 'trial')} they are not known",
        )
    else:
        yield Finding(rule="violations", outcome="pass", reason=f"{told}: no more than before")


def _budget(comparison: Comparison, gate: Gate, name: str, limit: float) -> Finding:
    """Of all that the candidate ran, also what the baseline does not have."""
    cases = comparison.candidate.cases()
    known = {case: value for case, trials in cases.items() if (value := measures.reduced(name, trials)) is not None}
    missing = sum(measures.missing(name, trials) for trials in cases.values())

    def found(outcome: Outcome, reason: str) -> Finding:
        return Finding(rule=f"budget {name}", outcome=outcome, reason=reason)

    if missing:
        return found(
            "inconclusive", f"{name} is not known of {counted(missing, 'trial')} of the candidate; unknown is not 0"
        )
    lower = name in measures.LOWER_IS_BETTER
    values = statistics.floats(list(known.values()))
    groups = measures.groups([(case, cases[case]) for case in known])
    low, high = statistics.bootstrap(values, groups, seed=gate.seed)
    told = (
        f"mean {name} is {wording.value(name, float(values.mean()))} (95 % interval {wording.value(name, low)} to "
        f"{wording.value(name, high)}), {'at most' if lower else 'at least'} {wording.value(name, limit)} is allowed"
    )
    spare = limit - values if lower else values - limit
    if limit == (0 if lower else 1) and (lower or measures.is_share(name)):
        # Nothing is better than the limit, so no sample can show that the mean is: it must hold of every case.
        return found("pass" if (spare >= 0).all() else "fail", told)
    unit = measures.unit(name, values)
    if statistics.non_inferior(spare, 0.0, groups, unit=unit) <= gate.alpha:
        return found("pass", told)
    if statistics.non_inferior(-spare, 0.0, groups, unit=unit) <= gate.alpha:
        return found("fail", told)
    return found("inconclusive", f"{told}: too few cases to tell on which side of it the mean is")


def beforehand(plans: Mapping[str, Plan | None]) -> list[str]:
    """What can be seen, as known from the baseline before a candidate runs: a line for each metric with a plan."""
    lines: list[str] = []
    for name, plan in plans.items():
        if plan is not None:
            bound = " at most (one trial a case)" if plan.bound else ""
            lines.append(
                f"{name}: {plan.cases} cases of {plan.trials:.3g} trials show a change for the worse by "
                f"{wording.size(name, plan.detectable)}{bound} with chance {100 * plan.power:g} %"
            )
    return lines


def _missing(metric: Metric) -> str:
    base = counted(metric.missing_base, "trial")
    return f": {base} of the baseline and {metric.missing_candidate} of the candidate lack it"


def _listed(names: list[str] | tuple[str, ...], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
