"""The commands of the scenario harness; what they need is imported when they are called."""

from __future__ import annotations

import click

from gatewright.runtime.cli.grammar import Group, Lazy

HERE = "gatewright.scenarios.cli"

SCENARIO: dict[str, Lazy] = {
    "record": Lazy(f"{HERE}.recording:record", "Write cases of the ledger to a file of episodes."),
    "import": Lazy(f"{HERE}.carrying:take", "Write recordings of other harnesses as episodes."),
    "export": Lazy(f"{HERE}.carrying:give", "Write the decisions of episodes for other programs."),
    "replay": Lazy(f"{HERE}.replaying:replay", "Run recorded episodes again and name what differs."),
    "run": Lazy(f"{HERE}.suites:run", "Run a suite of scenarios on the real team."),
    "from-run": Lazy(f"{HERE}.suites:from_run", "Make a suite of a run that went wrong."),
    "compare": Lazy(f"{HERE}.gating:compare", "Show two results beside each other, case by case."),
    "gate": Lazy(f"{HERE}.gating:judge", "Decide whether a candidate may take the baseline's place."),
    "report": Lazy(f"{HERE}.gating:report", "Write a result as HTML, JUnit XML, Markdown or JSON."),
    "check-env": Lazy(f"{HERE}.checking:check_env", "Say what is wrong with a Gymnasium environment."),
}
TUNE: dict[str, Lazy] = {
    "start": Lazy(f"{HERE}.tuning:start", "Learn a policy for a decision point, beside simpler ones."),
    "evaluate": Lazy(f"{HERE}.evaluating:evaluate", "Say what a policy would have earned on what is on record."),
}


@click.group(cls=Group, lazy=SCENARIO)
def scenario() -> None:
    """Record, replay, simulate and compare what teams do."""


@click.group(cls=Group, lazy=TUNE)
def tune() -> None:
    """Tune the policies of decision points, and judge them on what was logged."""
