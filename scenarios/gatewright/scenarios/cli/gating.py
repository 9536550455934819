"""`gatewright scenario compare|gate|report`: two results beside each other, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.runtime.cli.desk import Desk, desk
from gatewright.runtime.cli.grammar import Command

if TYPE_CHECKING:
    from gatewright.scenarios.gate.trials import Table

RESULT = click.Path(path_type=Path, dir_okay=False)


def _margins(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """`0.05` is of success, `cost=0.01` of what it names."""
    margins: dict[str, float] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            margins[name or "success"] = float(number)
        except ValueError as error:
            raise click.BadParameter(
                f"{text!r} is no margin; write a number (of success: 0.05 is five points) or METRIC=NUMBER"
            ) from error
    return margins


def _sides(desk: Desk, base: Path, candidate: Path) -> tuple[Table, Table]:
    """Both results; says so where they were made with two suites."""
    from gatewright.scenarios import gate

    before, after = gate.read(base), gate.read(candidate)
    suites = [side.about.get("suite", "") for side in (before, after)]
    if all(suites) and suites[0] != suites[1]:
        desk.say(
            f"warning: the results are of two suites ({suites[0][:12]} and {suites[1][:12]}): what a case asks may "
            "have changed too, not the release alone; run the baseline again with the suite of the candidate"
        )
    return before, after


@click.command(cls=Command)
@click.argument("base", type=RESULT)
@click.argument("candidate", type=RESULT)
@desk
def compare(desk: Desk, base: Path, candidate: Path) -> None:
    """Show the results of CANDIDATE beside those of BASE, case by case.

    A result is a file of trials (JSON Lines), or one that tau-bench or tau2-bench wrote.
    """
    from gatewright.scenarios import gate
    from gatewright.scenarios.gate import reports

    found = gate.compare(*_sides(desk, base, candidate))
    document = reports.of_comparison(found)
    desk.show(document.plain(), lambda: reports.text(document))


@click.command(name="gate", cls=Command)
@click.argument("base", type=RESULT)
@click.argument("candidate", type=RESULT)
@click.option("--rules", type=RESULT, help="The gate's rules, as YAML; without: success is not shown to be worse.")
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="[METRIC=]NUMBER",
    callback=_margins,
    help="Demand proof that it is worse by less than this; of success, if no metric is named.",
)
@click.option("--report", "files", multiple=True, type=RESULT, help="Write this report too: .html, .xml, .md or .json.")
@desk
def judge(
    desk: Desk, base: Path, candidate: Path, rules: Path | None, margins: dict[str, float], files: tuple[Path, ...]
) -> int:
    """Decide whether CANDIDATE may take the place of BASE.

    Exit code 0 if it passes, 1 if it fails, 3 if what was tried cannot tell.
    """
    from gatewright.scenarios import gate
    from gatewright.scenarios.gate import reports
    from gatewright.scenarios.gate import rules as gates

    said = gates.read(rules) if rules else gate.Gate()
    if margins:
        merged = said.model_dump() | {"margins": {**said.margins, **margins}}
        said = gates.parse(merged, "--margin")
    verdict = gate.judge(*_sides(desk, base, candidate), said)
    for file in files:
        reports.write(file, verdict)
        desk.say(f"wrote {file}")
    document = reports.of_verdict(verdict)
    desk.show(document.plain() | {"exit_code": verdict.exit_code}, lambda: reports.text(document))
    return verdict.exit_code


@click.command(cls=Command)
@click.argument("result", type=RESULT)
@click.option("-o", "--output", "files", multiple=True, required=True, type=RESULT, help=".html, .xml, .md or .json.")
@desk
def report(desk: Desk, result: Path, files: tuple[Path, ...]) -> None:
    """Write a report of RESULT: a result file, or the .json that `gatewright scenario gate --report` wrote."""
    from gatewright.scenarios.gate import reports

    subject = reports.load(result)
    for file in files:
        reports.write(file, subject)
    desk.show({"written": [str(file) for file in files]}, lambda: "\n".join(f"wrote {file}" for file in files))
