"""`gatewright policy lint|test|diff`: rule packs as they are written, before anything runs under them."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatewright.agents.errors import UsageError
from gatewright.agents.wording import counted

from .desk import Desk, desk, progress_bar
from .grammar import Command

if TYPE_CHECKING:
    from gatewright.runtime.config import Deployment
    from gatewright.safety.review.comparison import Comparison
    from gatewright.safety.review.drafts import Draft
    from gatewright.safety.review.mutation import Mutations, Trial
    from gatewright.safety.rules.sources import PackError, Problem

PASSED, FAILED = 0, 1
PACK = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@click.argument("file", type=PACK)
@click.option("--deployment", help="Check it against the tools of this deployment too.")
@desk
def lint(desk: Desk, file: Path, deployment: str | None) -> int:
    """Say everything that is wrong with the rule pack FILE, and what looks like an oversight.

    Oversights are rules that decide nothing, tools without labels, calls that no rule looks at, and clauses that no
    example tries.

    Exit code 1 if the pack cannot be used; warnings are no reason.
    """
    from gatewright.runtime import deployments
    from gatewright.safety.review import drafts, mutation, oversights
    from gatewright.safety.rules.sources import PackError

    tools = None if deployment is None else deployments.governed(configured(desk, deployment)).tools
    try:
        draft = drafts.read(file, tools=tools)
    except PackError as error:
        return refused(desk, error)
    trials = mutation.trials(draft)
    with progress(desk, len(trials)) as step:
        survivors = mutation.outcome(_counted(trials, step)).survivors
    warnings = oversights.warnings(draft, survivors)
    value = {"ok": True, "pack": draft.pack.title, "problems": [], "warnings": [_problem(each) for each in warnings]}
    said = [f"{draft.pack.title} can be used; {len(warnings)} warnings", *map(str, warnings)]
    desk.show(value, lambda: "\n".join(said))
    return PASSED


@click.command(cls=Command)
@click.argument("file", type=PACK)
@click.option(
    "--min-killed",
    type=click.FloatRange(0, 100),
    default=0.0,
    help="Fail if the examples notice fewer changes than this; in percent.",
)
@desk
def test(desk: Desk, file: Path, min_killed: float) -> int:
    """Run the examples of the rule pack FILE, and see which changes of its rules they would notice.

    Each example is judged by the whole pack. Then every clause of a condition is dropped, every negation dropped, every
    comparison turned and every limit moved, one at a time: where all examples still hold, that part is not tried.

    Exit code 1 if an example fails or fewer changes are noticed than --min-killed.
    """
    from gatewright.safety.review import drafts, mutation
    from gatewright.safety.rules.sources import PackError

    try:
        draft = drafts.read(file)
    except PackError as error:
        return refused(desk, error)
    judged = [(sample, draft.guard.evaluate(sample.event)) for sample in draft.samples()]
    trials = mutation.trials(draft)
    with progress(desk, len(trials)) as step:
        mutations = mutation.outcome(_counted(trials, step))
    ok = mutations.killed * 100 >= min_killed
    value = {
        "ok": ok,
        "pack": draft.pack.title,
        "examples": [
            {
                "rule": sample.rule.id,
                "expected": sample.expected,
                "number": sample.at,
                "line": sample.line,
                "verdict": decision.verdict,
                "rules": [hit.rule_id for hit in decision.hits],
                "findings": [finding.message for finding in decision.findings],
            }
            for sample, decision in judged
        ],
        "mutations": {
            "tried": mutations.tried,
            "killed": round(mutations.killed, 4),
            "survivors": [
                {
                    "rule": survivor.rule or None,
                    "place": survivor.place,
                    "line": survivor.line,
                    "change": survivor.change,
                    "part": survivor.part,
                    "remedy": survivor.remedy,
                }
                for survivor in mutations.survivors
            ],
        },
    }
    desk.show(value, lambda: _tested(file, draft, value["examples"], mutations, min_killed))
    return PASSED if ok else FAILED


@click.command(cls=Command)
@click.argument("old", type=PACK)
@click.argument("new", type=PACK)
@desk
def diff(desk: Desk, old: Path, new: Path) -> int:
    """Say what changes when the rule pack NEW takes the place of OLD.

    Rules, labels and budgets are compared as they are written, and both packs judge the examples of both.

    Exit code 1 if NEW lets through what OLD must stop: an example that a rule of OLD asks about, denies or ends.
    """
    from gatewright.safety.review import comparison, drafts
    from gatewright.safety.rules.sources import PackError

    try:
        found = comparison.compare(drafts.read(old), drafts.read(new))
    except PackError as error:
        return refused(desk, error)
    value = {
        "ok": not found.opened,
        "old": found.old,
        "new": found.new,
        "changes": [
            {
                "part": entry.part,
                "name": entry.name,
                "change": entry.kind,
                "fields": [change._asdict() for change in entry.fields],
            }
            for entry in found.entries
        ],
        "examples": found.examples,
        "shifts": [
            {
                "of": shift.of,
                "rule": shift.sample.rule.id,
                "expected": shift.sample.expected,
                "number": shift.sample.at,
                "line": shift.sample.line,
                "old": shift.old,
                "new": shift.new,
                "direction": shift.direction,
                "opens": shift.opens,
                "reason": shift.reason,
            }
            for shift in found.shifts
        ],
    }
    desk.show(value, lambda: _compared({"old": old, "new": new}, found))
    return FAILED if found.opened else PASSED


def refused(desk: Desk, error: PackError) -> int:
    """Show everything that is wrong with a pack."""
    desk.show({"ok": False, "problems": [_problem(each) for each in error.problems]}, lambda: str(error))
    return FAILED


def _problem(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "rule": problem.rule or None, "message": problem.message}


def progress(desk: Desk, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """A bar on a terminal, and nothing anywhere else."""
    return progress_bar(desk, total) if sys.stderr.isatty() else nullcontext(lambda _count: None)


def configured(desk: Desk, name: str | None) -> Deployment:
    """The deployment of this name; without a name, the only one there is.

    Raises:
        UsageError: there is none, or it has to be named.
    """
    found = desk.config().deployments
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is None:
        raise UsageError(f"say which one with --deployment: {', '.join(sorted(found))}")
    if name not in found:
        near = difflib.get_close_matches(name, found, 1)
        remedy = f"did you mean {near[0]!r}?" if near else f"configured are {', '.join(sorted(found))}"
        raise UsageError(f"there is no deployment {name!r}; {remedy}")
    return found[name]


def _counted(trials: Iterable[Trial], step: Callable[[int], None]) -> Iterator[Trial]:
    for trial in trials:
        yield trial
        step(1)


def _tested(file: Path, draft: Draft, examples: Any, mutations: Mutations, least: float) -> str:
    lines = [f"{draft.pack.title}: {counted(len(draft.rules), 'rule')}; examples that hold: {len(examples)}"]
    for example in examples:
        others = [rule for rule in example["rules"] if rule != example["rule"]]
        place = f"{file}:{example['line']}: rule {example['rule']!r}, {example['expected']} {example['number']}"
        if example["expected"] == "pass" and example["verdict"] != "allow":
            why = f"by {', '.join(others)}" if others else "because a rule fails on it"
            lines.append(f"{place}: the pack as a whole says {example['verdict']} {why}")
        lines += [f"{place}: {message}" for message in example["findings"]]
    noticed = mutations.tried - len(mutations.survivors)
    lines.append(f"changes that the examples notice: {noticed} of {mutations.tried} ({mutations.killed:.0%})")
    lines += [f"{file}:{survivor.line}: {survivor}" for survivor in mutations.survivors]
    if mutations.killed * 100 < least:
        lines.append(f"fewer than the {least:g} % that are asked for")
    return "\n".join(lines)


def _compared(files: Mapping[str, Path], found: Comparison) -> str:
    lines = [f"{found.old} -> {found.new}"]
    for entry in found.entries:
        lines.append(f"{entry.kind}: {entry.part} {entry.name!r}")
        lines += [f"    {change.field}: {_written(change.old)} -> {_written(change.new)}" for change in entry.fields]
    if not found.entries:
        lines.append("nothing that is written differs")
    for direction in ("looser", "stricter"):
        shifts = [shift for shift in found.shifts if shift.direction == direction]
        lines.append(f"{direction} on {len(shifts)} of {found.examples} examples")
        lines += [
            f"    {files[shift.of]}:{shift.sample.line}: rule {shift.sample.rule.id!r}, {shift.sample.expected} "
            f"{shift.sample.at}: {shift.old} -> {shift.new} ({shift.reason})"
            for shift in shifts
        ]
    for shift in found.opened:
        lines.append(
            f"NO: rule {shift.sample.rule.id!r} must {shift.sample.rule.verdict} its example {shift.sample.at} "
            f"({files['old']}:{shift.sample.line}), and the new pack says {shift.new}"
        )
    return "\n".join(lines)


def _written(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
