"""`gatewright policy`: what rule packs say, and where they do not count."""

from __future__ import annotations

import click

from .grammar import Group, Lazy

HERE = "gatewright.runtime.cli"
COMMANDS = {
    "lint": Lazy(f"{HERE}.packs:lint", "Say what is wrong with a pack, and what looks like an oversight."),
    "test": Lazy(f"{HERE}.packs:test", "Run the examples of a pack, and see what they would notice."),
    "diff": Lazy(f"{HERE}.packs:diff", "Say what changes between two packs, and refuse what opens a door."),
    "backtest": Lazy(f"{HERE}.backtests:backtest", "Judge what is on record by another pack."),
    "shadow": Lazy(f"{HERE}.backtests:shadow", "Say what the packs on trial would have changed."),
    "explain": Lazy(f"{HERE}.explaining:explain", "Say why rules decide as they do."),
    "observe": Lazy(f"{HERE}.observing:observe", "Propose labels for tools from recorded runs."),
    "waive": Lazy(f"{HERE}.waiving:waive", "Let matches of a rule not count for a while."),
    "waivers": Lazy(f"{HERE}.waiving:waivers", "List waivers, the newest first."),
    "revoke": Lazy(f"{HERE}.waiving:revoke", "End a waiver."),
}


@click.group(cls=Group, lazy=COMMANDS)
def policy() -> None:
    """Look after rule packs, and waive rules where somebody answers for it."""
