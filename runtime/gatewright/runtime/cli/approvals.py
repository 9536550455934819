"""`gatewright approvals`: what waits for a person, and their decision."""

from __future__ import annotations

import json
from typing import Any

import click

from gatewright.runtime.views import ApprovalView, Verb

from .clients import BY, connect, signature
from .desk import Desk, desk, facts
from .grammar import Group
from .inputs import JSONText


@click.group(cls=Group, default="list")
def approvals() -> None:
    """See what waits for a person, and decide it. Without a command: list."""


@approvals.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are decided.")
@click.option("--run", "run_id", help="Only of this run.")
@click.option("--case", "case_id", help="Only of this case.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@desk
def list_approvals(desk: Desk, every: bool, run_id: str | None, case_id: str | None, limit: int) -> None:
    """List approvals, the oldest first."""

    async def ask() -> list[ApprovalView]:
        async with connect(desk.config()) as client:
            return await client.approvals(state=None if every else "open", run_id=run_id, case_id=case_id, limit=limit)

    found = desk.run(ask())
    rows = [
        (
            view.id,
            view.state,
            view.kind,
            view.action.get("name") or view.action.get("payload"),
            view.reason,
            view.run_id,
        )
        for view in found
    ]
    columns = ("id", "state", "kind", "action", "reason", "run")
    desk.table(dump(found), columns, rows, empty="nothing waits for a person")


@approvals.command("show")
@click.argument("approval_id")
@desk
def show(desk: Desk, approval_id: str) -> None:
    """Show what would be done, why it waits, and what a decision may look like."""

    async def ask() -> ApprovalView:
        async with connect(desk.config()) as client:
            return await client.approval(approval_id)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: describe(view))


def decision(verb: Verb, help: str, *options: Any) -> None:
    """Add the command for one verb."""

    async def ask(desk: Desk, approval_id: str, by: str | None, reason: str, value: Any) -> ApprovalView:
        config = desk.config()
        async with connect(config) as client:
            name = await signature(client, config, by)
            return await client.decide(approval_id, verb, by=name, reason=reason, value=value)

    @desk
    def command(desk: Desk, approval_id: str, by: str | None, reason: str = "", value: Any = None) -> None:
        view = desk.run(ask(desk, approval_id, by, reason, value))
        desk.show(view.model_dump(mode="json"), lambda: f"{view.id} {view.state} by {view.decided_by}")

    made: Any = click.option("--by", help=BY)(command)
    for option in options:
        made = option(made)
    made = click.argument("approval_id")(made)
    approvals.command(verb, help=help)(made)


decision("approve", "Let the action be performed as it is.", click.option("--reason", default="", help="A note."))
decision(
    "reject",
    "Refuse the action; the agent is told the reason.",
    click.option("--reason", required=True, help="Why; the agent is told."),
)
decision(
    "edit",
    "Let the action be performed with other arguments.",
    click.option("--args", "value", type=JSONText(), required=True, help="All arguments: JSON, @FILE or - for stdin."),
    click.option("--reason", default="", help="A note."),
)
decision(
    "answer",
    "Answer what an agent asks, or say whether an effect happened.",
    click.option("--value", type=JSONText(), required=True, help="The answer: JSON, @FILE or - for stdin."),
    click.option("--reason", default="", help="A note."),
)


def dump(views: list[ApprovalView]) -> list[dict[str, Any]]:
    return [view.model_dump(mode="json") for view in views]


def describe(view: ApprovalView) -> str:
    """An approval for the person who decides it, with the commands that do."""
    said = facts(
        {
            "id": view.id,
            "state": view.state,
            "kind": view.kind,
            "agent": f"{view.agent} of {view.deployment}",
            "run": view.run_id,
            "asked": view.created_at.isoformat(),
            "why": view.reason or None,
            "rules": ", ".join(view.rules) or None,
            "digest": view.digest,
            "decision": view.decision,
            "by": view.decided_by,
            "reason": view.decision_reason or None,
        }
    )
    action = json.dumps(view.action, indent=2, ensure_ascii=False, default=str)
    text = f"{said}\n\n{action}"
    if view.state != "open":
        return text
    form = f"\n\nwhat an edit or answer looks like:\n{json.dumps(view.form, indent=2)}" if view.form else ""
    verbs = (
        f"gatewright approvals approve {view.id}\ngatewright approvals reject {view.id} --reason TEXT"
        if view.kind == "approval"
        else f"gatewright approvals answer {view.id} --value JSON"
    )
    return f"{text}{form}\n\n{verbs}"
