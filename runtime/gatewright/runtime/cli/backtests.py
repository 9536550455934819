"""`gatewright policy backtest|shadow`: what another pack would have said of what has happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gatewright.agents.wording import counted

from .desk import Desk, desk, facts
from .grammar import Command
from .inputs import Since
from .packs import FAILED, PACK, PASSED, configured, progress

if TYPE_CHECKING:
    from gatewright.runtime.policy.tally import Change, Report

INCONCLUSIVE = 3
SHOWN = 20  # events of each kind
ACTIVE = "active"

F = TypeVar("F", bound=Callable[..., Any])


def selecting(command: F) -> F:
    """The options that say which cases."""
    for option in (
        click.option("--limit", type=click.IntRange(1), help="Only so many cases, the newest."),
        click.option("--case", help="Only this case."),
        click.option("--since", type=Since(), help="Only cases with a run since then: 30d, 12h, or a time."),
        click.option("--deployment", help="Only cases of this deployment."),
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@click.argument("file", type=PACK)
@click.option("--against", help="A rule pack to compare with, or `active`; without: what was said when it happened.")
@selecting
@desk
def backtest(
    desk: Desk,
    file: Path,
    against: str | None,
    deployment: str | None,
    since: datetime | None,
    case: str | None,
    limit: int | None,
) -> int:
    """Judge everything that is on record by the rule pack FILE, and say what would have been different.

    Nothing is executed, and a running service is no hindrance. Events whose values were erased are counted.

    Exit code 1 if the pack lets through what people have refused; 3 if there are no events, or if the very same pack
    judged them otherwise when they happened, so that the record does not hold all that it saw.
    """
    from gatewright.runtime.policy import backtest as backtests
    from gatewright.safety.rules.guard import Guard
    from gatewright.safety.rules.packs import Pack

    guard = Guard([Pack.load(file)])
    other = None
    if against is not None:
        other = Guard([_active(desk, deployment) if against == ACTIVE else Pack.load(Path(against))])
    chosen = backtests.Selection(deployment=deployment, since=since, case=case, limit=limit)
    with backtests.ledger(desk.store()) as engine:
        ids = chosen.ids(engine)
        with progress(desk, len(ids)) as step:
            report = backtests.run(engine, ids, guard, against=other, step=step)
    return _told(desk, report)


@click.command(cls=Command)
@selecting
@desk
def shadow(desk: Desk, deployment: str | None, since: datetime | None, case: str | None, limit: int | None) -> int:
    """Say what the packs on trial (`shadow` of a deployment) would have changed.

    Their verdicts were recorded beside those that counted. Exit codes as for `gatewright policy backtest`.
    """
    from gatewright.runtime.policy import backtest as backtests

    chosen = backtests.Selection(deployment=deployment, since=since, case=case, limit=limit)
    with backtests.ledger(desk.store()) as engine:
        ids = chosen.ids(engine)
        with progress(desk, len(ids)) as step:
            report = backtests.shadow(engine, ids, step=step)
    return _told(desk, report)


def _active(desk: Desk, deployment: str | None) -> Any:
    from gatewright.runtime import deployments
    from gatewright.safety.rules.packs import Pack

    rules = deployments.governed(configured(desk, deployment)).rules
    return Pack.empty() if rules is None else Pack.load(rules)


def _told(desk: Desk, report: Report) -> int:
    desk.show(_plain(report), lambda: _words(report))
    if report.overruled.count:
        return FAILED
    return PASSED if report.events and not report.deviations.count else INCONCLUSIVE


def _plain(report: Report) -> dict[str, Any]:
    days = len(report.dates)
    return {
        "pack": report.pack,
        "against": report.against,
        "cases": report.cases,
        "events": report.events,
        "lost": {"events": report.lost, "cases": report.lost_in, "listed": report.lost_cases},
        "verdicts": [
            {"old": old, "new": new, "events": count} for (old, new), count in sorted(report.verdicts.items())
        ],
        "changes": {"count": report.changes.count, "events": [each._asdict() for each in report.changes.kept]},
        "overruled": {"count": report.overruled.count, "events": [each._asdict() for each in report.overruled.kept]},
        "same_pack": {
            "events": report.same,
            "deviations": report.deviations.count,
            "listed": [each._asdict() for each in report.deviations.kept],
        },
        "asks": {
            name: {
                "count": report.asks(new=new),
                "per_100_cases": _per(100 * report.asks(new=new), report.cases),
                "per_day": _per(report.asks(new=new), days),
            }
            for name, new in (("old", False), ("new", True))
        },
        "days": days,
        "rules": [
            {
                "id": rule,
                "looked": report.looked[rule],
                "hits": report.hits[rule],
                "errors": report.errors[rule],
            }
            for rule in sorted({*report.looked, *report.hits, *report.errors})
        ],
        "answers": [
            {
                "rule": rule,
                "approved": answers.approved,
                "edited": answers.edited,
                "rejected": answers.rejected,
                "formality": answers.formality,
            }
            for rule, answers in sorted(report.answers.items())
        ],
    }


def _words(report: Report) -> str:
    if not report.events:
        return "there are no events on record to judge"
    value = _plain(report)
    asks = value["asks"]
    lines = [
        facts(
            {
                "pack": report.pack,
                "against": report.against,
                "cases": report.cases,
                "events": report.events,
                "not shown": f"{counted(report.lost, 'event')} of {counted(report.lost_in, 'case')}: "
                "values erased or withheld"
                if report.lost
                else None,
                "asks": f"{asks['old']['count']} -> {asks['new']['count']} ("
                f"{asks['old']['per_100_cases']} -> {asks['new']['per_100_cases']} per 100 cases, "
                f"{asks['old']['per_day']} -> {asks['new']['per_day']} per day)",
                "same pack": f"{counted(report.same, 'event')}, {report.deviations.count} judged otherwise"
                if report.same
                else None,
            }
        ),
        "",
        f"{report.changes.count} verdicts change",
        *(f"    {old} -> {new}: {count}" for (old, new), count in sorted(report.verdicts.items()) if old != new),
        *_events(report.changes.kept),
    ]
    lines += [_used(report, rule) for rule in sorted({*report.looked, *report.hits, *report.errors})]
    lines += [
        f"rule {answer['rule']!r} asked {answers.count} times and was always approved: think of relaxing it"
        for answer in value["answers"]
        if (answers := report.answers[answer["rule"]]).formality
    ]
    if report.deviations.count:
        lines += ["NOT ALL ON RECORD: the same pack judged these otherwise when they happened"]
        lines += _events(report.deviations.kept)
    if report.overruled.count:
        lines += [f"NO: {counted(report.overruled.count, 'event')} that people refused would go through"]
        lines += _events(report.overruled.kept)
    return "\n".join(lines)


def _used(report: Report, rule: str) -> str:
    hits, looked, errors = report.hits[rule], report.looked[rule], report.errors[rule]
    failed = f", had no value for {errors}" if errors else ""
    if rule not in report.looked:  # of a pack on trial, whose rules are not at hand
        return f"rule {rule!r} matched {counted(hits, 'event')}{failed}"
    if not looked:
        return f"rule {rule!r} was never asked: nothing happened that it looks at"
    return f"rule {rule!r} {f'matched {hits}' if hits else 'never matched'} of {counted(looked, 'event')}{failed}"


def _events(changes: list[Change]) -> list[str]:
    shown = [
        f"    record {'-' if each.position is None else each.position}, case {each.case}: {each.hook} {each.name}: "
        f"{each.old} -> {each.new}"
        + (f" ({'; '.join(each.reason.splitlines())})" if each.reason else "")
        + (f", people said {each.answer}" if each.answer else "")
        for each in changes[:SHOWN]
    ]
    return [*shown, f"    and {len(changes) - SHOWN} more, see --json"] if len(changes) > SHOWN else shown


def _per(count: int, among: int) -> float:
    return round(count / among, 2) if among else 0.0
