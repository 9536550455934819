"""`gatewright scenario check-env`: whether an environment is one that can be trained in."""

from __future__ import annotations

import click

from gatewright.runtime.cli.desk import Desk, desk
from gatewright.runtime.cli.grammar import Command


@click.command(name="check-env", cls=Command)
@click.argument("id")
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="How far to go each time.")
@desk
def check_env(desk: Desk, id: str, steps: int) -> int:
    """Say what is wrong with the Gymnasium environment ID (MODULE:ID imports the module that registers it).

    Exit code 0 if nothing is, 1 if something is.
    """
    from gatewright.agents.errors import MissingExtraError, UsageError

    try:
        from gymnasium.error import Error

        from gatewright.environments.decisions.checker import check
    except ImportError as error:
        raise MissingExtraError("`gatewright scenario check-env`", "tune", error) from error
    try:
        findings = check(id, steps=steps)
    except (Error, ImportError) as error:
        raise UsageError(f"there is no environment {id!r}: {error}") from error
    plain = {"id": id, "findings": [finding._asdict() for finding in findings]}
    lines = [f"{finding.rule}: {finding.message}" for finding in findings] or [f"nothing is wrong with {id}"]
    desk.show(plain, lambda: "\n".join(lines))
    return 1 if findings else 0
