"""`gatewright policy observe`: labels for tools, proposed from recorded runs."""

from __future__ import annotations

from datetime import datetime

import click

from .backtests import INCONCLUSIVE, selecting
from .desk import Desk, desk
from .grammar import Command
from .packs import PASSED, progress


@click.command(cls=Command)
@selecting
@desk
def observe(desk: Desk, deployment: str | None, since: datetime | None, case: str | None, limit: int | None) -> int:
    """Propose what a rule pack says about tools (`tools:`), from the calls that are on record.

    The evidence stands beside each label, and so does what no record can show. Exit code 3 if there are no calls.
    """
    from gatewright.runtime.policy import backtest
    from gatewright.safety.review.observation import Observer

    observer = Observer()
    chosen = backtest.Selection(deployment=deployment, since=since, case=case, limit=limit)
    with backtest.ledger(desk.store()) as engine:
        ids = chosen.ids(engine)
        with progress(desk, len(ids)) as step:
            for found in backtest.cases(engine, ids, step):
                observer.case(found.id, [happening.event for happening in found.happenings])
    tools = list(observer.observed())
    value = [
        {
            "tool": tool.tool,
            "calls": tool.calls,
            "cases": tool.cases,
            "labels": [proposal._asdict() for proposal in tool.labels],
            "target": [proposal._asdict() for proposal in tool.target],
            "payload": [proposal._asdict() for proposal in tool.payload],
            "unknown": tool.unknown,
            "yaml": tool.yaml(),
        }
        for tool in tools
    ]
    empty = "there are no calls of tools on record"
    desk.show(value, lambda: "\n".join(["tools:", *(tool.yaml() for tool in tools)]) if tools else empty)
    return PASSED if tools else INCONCLUSIVE
