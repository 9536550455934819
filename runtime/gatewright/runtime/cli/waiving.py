"""`gatewright policy waive|waivers|revoke`: rules that do not count for a while, and who answers for it."""

from __future__ import annotations

from datetime import datetime

import click

from gatewright.runtime.controls.views import ScopeView, WaiverView

from .clients import BY, acting, connect
from .desk import Desk, desk, facts
from .grammar import Command
from .inputs import Time


@click.command(cls=Command)
@click.argument("rule_id")
@click.option("--until", type=Time(), required=True, help="When it ends: 4h, 2d, or a time as 2027-01-31T18:00.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--deployment", help="Only on this deployment.")
@click.option("--agent", help="Only what this agent does.")
@click.option("--thread", help="Only on this thread.")
@click.option("--tool", help="Only for the tool, model or function of this name.")
@click.option("--by", help=BY)
@desk
def waive(
    desk: Desk,
    rule_id: str,
    until: datetime,
    reason: str,
    deployment: str | None,
    agent: str | None,
    thread: str | None,
    tool: str | None,
    by: str | None,
) -> None:
    """Let matches of the rule RULE_ID not count for a while, within a scope; at least one option must give it.

    RULE_ID is as decisions name it. Errors of the rule still deny, and every use is on record.
    """
    scope = ScopeView(deployment=deployment, agent=agent, thread=thread, tool=tool)

    async def ask() -> WaiverView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config, by)
            who.operate("waiving a rule")
            return await client.waive(rule_id, scope=scope, until=until, by=who.name, reason=reason)

    _show(desk, desk.run(ask()))


@click.command(cls=Command)
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@desk
def waivers(desk: Desk, every: bool) -> None:
    """List waivers, the newest first."""

    async def ask() -> list[WaiverView]:
        async with connect(desk.config()) as client:
            return await client.waivers(every=every)

    found = desk.run(ask())
    rows = [
        (view.id, view.state, view.rule_id, _scope(view), view.until.isoformat(), view.by, view.reason)
        for view in found
    ]
    columns = ("id", "state", "rule", "scope", "until", "by", "reason")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no rule is waived")


@click.command(cls=Command)
@click.argument("waiver_id")
@click.option("--by", help=BY)
@desk
def revoke(desk: Desk, waiver_id: str, by: str | None) -> None:
    """End a waiver: the rule counts again from the next effect on."""

    async def ask() -> WaiverView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config, by)
            who.operate("revoking a waiver")
            return await client.revoke_waiver(waiver_id, by=who.name)

    _show(desk, desk.run(ask()))


def _show(desk: Desk, view: WaiverView) -> None:
    desk.show(
        view.model_dump(mode="json"),
        lambda: facts(
            {
                "id": view.id,
                "state": view.state,
                "rule": view.rule_id,
                "scope": _scope(view),
                "until": view.until.isoformat(),
                "by": view.by,
                "reason": view.reason,
                "revoked by": view.revoked_by,
            }
        ),
    )


def _scope(view: WaiverView) -> str:
    return ", ".join(f"{name} {value}" for name, value in view.scope.model_dump(exclude_none=True).items())
