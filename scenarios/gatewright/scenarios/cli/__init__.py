"""The commands of the scenario harness; what they need is imported when they are called."""

from __future__ import annotations

import click

from gatewright.runtime.cli.grammar import Group, Lazy

HERE = "gatewright.scenarios.cli"

SCENARIO: dict[str, Lazy] = {
    "check-env": Lazy(f"{HERE}.checking:check_env", "Say what is wrong with a Gymnasium environment."),
}
TUNE: dict[str, Lazy] = {}


@click.group(cls=Group, lazy=SCENARIO)
def scenario() -> None:
    """Record, replay, simulate and compare what teams do."""


@click.group(cls=Group, lazy=TUNE)
def tune() -> None:
    """Tune the policies of decision points, and judge them on what was logged."""
