"""What outlives a single decision: `gatewright approvals delegate|delegations|grants|revoke`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from gatewright.runtime.views import DelegationView, GrantView

from . import clients
from .clients import acting, connect
from .desk import Desk, desk, facts
from .grammar import Command
from .inputs import Time

DELEGATION = "delegation-"


def add(group: click.Group) -> None:
    """Put the commands into `gatewright approvals`."""
    for command in (delegate, delegations, grants, revoke):
        group.add_command(command)


@click.command("delegate", cls=Command)
@click.argument("to")
@click.option("--until", type=Time(), required=True, help="When it ends, as 4h, 2d or a time.")
@click.option("--role", "roles", multiple=True, help="Hand over this role only; may be repeated.")
@click.option("--deployment", default="", help="Only for this deployment.")
@click.option("--agent", default="", help="Only for this agent.")
@click.option("--name", default="", help="Only for this tool.")
@click.option("--reason", default="", help="Why; it is recorded.")
@desk
def delegate(desk: Desk, /, to: str, until: datetime, roles: tuple[str, ...], **scope: str) -> None:
    """Let TO vote in your place for a while."""

    async def ask() -> DelegationView:
        config = desk.config()
        async with connect(config, create=True) as client:
            voter = (await acting(client, config)).voter(None, via=clients.VIA)
            return await client.delegate(to, voter=voter, until=until, roles=list(roles) or None, **scope)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: f"{view.id}: {view.to} may vote for {view.by} {_end(view)}")


@click.command("delegations", cls=Command)
@click.option("--person", help="Only those given by or to this person.")
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@desk
def delegations(desk: Desk, person: str | None, every: bool) -> None:
    """List who may vote in whose place, the newest first."""

    async def ask() -> list[DelegationView]:
        async with connect(desk.config()) as client:
            return await client.delegations(person=person, every=every)

    found = desk.run(ask())
    rows = [
        (view.id, view.by, view.to, ", ".join(view.roles), _where(view), _end(view), view.reason or "-")
        for view in found
    ]
    columns = ("id", "by", "to", "roles", "for", "ends", "reason")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no delegations")


@click.command("grants", cls=Command)
@click.option("--deployment", help="Only of this deployment.")
@click.option("--by", help="Only those that this person gave.")
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@desk
def grants(desk: Desk, /, **query: Any) -> None:
    """List what passes without asking again, the newest first."""

    async def ask() -> list[GrantView]:
        async with connect(desk.config()) as client:
            return await client.grants(**query)

    found = desk.run(ask())
    rows = [
        (
            view.id,
            view.by,
            view.name,
            view.args or "any",
            f"{view.agent} of {view.deployment}",
            _reach(view),
            _end(view),
        )
        for view in found
    ]
    columns = ("id", "by", "action", "arguments", "agent", "reaches", "ends")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no grants")


@click.command("revoke", cls=Command)
@click.argument("id")
@desk
def revoke(desk: Desk, id: str) -> None:
    """End a grant or a delegation: one of yours, or as an operator any."""

    async def ask() -> GrantView | DelegationView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config)
            voter = who.voter(None, via=clients.VIA)
            if id.startswith(DELEGATION):
                return await client.revoke_delegation(id, voter=voter, operates=who.operates)
            return await client.revoke_grant(id, voter=voter, operates=who.operates)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: facts({"id": view.id, "by": view.by, "ended": _end(view)}))


def _end(view: GrantView | DelegationView) -> str:
    if view.revoked_at:
        return f"revoked {view.revoked_at.isoformat(timespec='minutes')}"
    return f"until {view.until.isoformat(timespec='minutes')}" if view.until else "with what it reaches"


def _where(view: DelegationView) -> str:
    parts = [part for part in (view.name, view.agent, view.deployment) if part]
    return " of ".join(parts) or "all"


def _reach(view: GrantView) -> str:
    return f"{view.reach} {view.place}" if view.place else "all threads"
