"""`gatewright deploy`: which deployments there are, and stopping one in an emergency."""

from __future__ import annotations

import click

from gatewright.runtime.controls.views import DeploymentView

from .clients import BY, acting, connect
from .desk import Desk, desk, facts
from .grammar import Group


@click.group(cls=Group, default="list")
def deploy() -> None:
    """See the deployments, and stop one in an emergency. Without a command: list."""


@deploy.command("list")
@desk
def list_deployments(desk: Desk) -> None:
    """List the deployments, and who has paused which and why."""

    async def ask() -> list[DeploymentView]:
        async with connect(desk.config()) as client:
            return await client.deployments_state()

    found = desk.run(ask())
    rows = [
        (view.name, _state(view), *((paused.by, paused.reason) if (paused := view.paused) else (None, None)))
        for view in found
    ]
    columns = ("name", "state", "paused by", "reason")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no deployment is configured")


@deploy.command("pause")
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is recorded, and shown to whoever looks.")
@click.option("--by", help=BY)
@desk
def pause(desk: Desk, name: str, reason: str, by: str | None) -> None:
    """Stop a deployment: no further effect is performed and no run begins, until it is resumed.

    What is being performed at this moment comes to its end. Runs wait where they are; none is lost.
    """

    async def ask() -> DeploymentView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config, by)
            who.operate("pausing a deployment")
            return await client.pause_deployment(name, by=who.name, reason=reason)

    _show(desk, desk.run(ask()))


@deploy.command("resume")
@click.argument("name")
@click.option("--by", help=BY)
@desk
def resume(desk: Desk, name: str, by: str | None) -> None:
    """Let a paused deployment go on where it was stopped."""

    async def ask() -> DeploymentView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config, by)
            who.operate("resuming a deployment")
            return await client.resume_deployment(name, by=who.name)

    _show(desk, desk.run(ask()))


def _show(desk: Desk, view: DeploymentView) -> None:
    paused = view.paused
    desk.show(
        view.model_dump(mode="json"),
        lambda: facts(
            {
                "name": view.name,
                "state": _state(view),
                "by": paused and paused.by,
                "reason": paused and paused.reason,
                "since": paused and paused.since.isoformat(),
            }
        ),
    )


def _state(view: DeploymentView) -> str:
    if not view.configured:
        return "paused, not configured"
    return "paused" if view.paused else "active"
