"""`gatewright workers`: the processes that work on the database."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from gatewright.runtime.workers.views import WorkerView

from .clients import connect
from .desk import Desk, desk
from .grammar import Command


@click.command(cls=Command)
@click.option("--all", "every", is_flag=True, help="Show those too that have left or were lost in the last day.")
@desk
def workers(desk: Desk, every: bool) -> None:
    """See the processes that execute runs: where each is, what it holds and does for all, when it was last heard of.

    One that is not heard of while its lease runs is lost: others take over what it held.
    """

    async def ask() -> list[WorkerView]:
        async with connect(desk.config()) as client:
            found = await client.workers(every=every)
        return [view for view in found if view.kind != "command"]  # such as this one

    found = desk.run(ask())
    now = datetime.now(UTC)
    rows = [
        (
            view.id,
            view.kind,
            f"{view.host}:{view.pid}",
            view.state,
            f"{view.runs} of {view.concurrency}" if view.concurrency else None,
            (" ".join(view.deployments) or "all") if view.concurrency else "none",
            " ".join(view.duties) or None,
            f"{max((now - view.seen_at).total_seconds(), 0.0):.0f} s ago",
        )
        for view in found
    ]
    columns = ("id", "kind", "process", "state", "runs", "deployments", "duties", "seen")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no process executes runs here")
