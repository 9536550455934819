"""`gatewright run`: start, watch and steer runs."""

from __future__ import annotations

import asyncio
import difflib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from gatewright.agents.errors import UsageError
from gatewright.runtime.api import presence
from gatewright.runtime.views import FINAL, Event, RunStatus, RunView

from .clients import BY, acting, connect
from .desk import Desk, desk, facts
from .grammar import LARGEST, Group
from .inputs import JSONText

PASSED = 0
REFUSED = 1
INCONCLUSIVE = 3


@click.group(cls=Group, default="list")
def run() -> None:
    """Start, watch and steer runs. Without a command: list."""


@run.command("start")
@click.argument("deployment")
@click.option("--input", "input_", type=JSONText(), help="The input of the graph: JSON, @FILE or - for stdin.")
@click.option("--thread", "thread_id", help="Go on with this thread instead of a new one.")
@click.option("--wait/--no-wait", default=True, help="Wait for the end; Ctrl-C leaves the run to the service.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait; then exit code 3.")
@click.option(
    "--episodes",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Hold the recorded conversations of this file, and compare.",
)
@click.option("--auto-approve", is_flag=True, help="With --episodes: approve what waits, as 'auto-approve'.")
@click.option("--model", help="With no service running: the chat model, for example openai:gpt-4o.")
@desk
def start(
    desk: Desk,
    deployment: str,
    input_: Any,
    thread_id: str | None,
    wait: bool,
    timeout: float | None,
    episodes: Path | None,
    auto_approve: bool,
    model: str | None,
) -> int:
    """Start a run of DEPLOYMENT, or hold recorded conversations with it.

    Exit code 0: it succeeded, 1: it failed or differs from the recording, 3: it waits for a person.
    """
    if episodes and (input_ is not None or thread_id):
        raise UsageError("--episodes brings its own inputs and threads; leave out --input and --thread")
    if auto_approve and not episodes:
        raise UsageError("--auto-approve belongs to --episodes; decide single runs with `gatewright approvals`")
    config = desk.config(**({"deployments": {deployment: {"model": model}}} if model else {}))
    running = presence.find(config.data_dir) is not None
    if model and running:
        raise UsageError(
            f"a service is running on {str(config.data_dir)!r} and has its own model; stop it, or set the model of "
            f"{deployment!r} in its configuration instead of --model {model!r}"
        )
    if deployment not in config.deployments:
        close = difflib.get_close_matches(deployment, config.deployments, n=1)
        known = ", ".join(sorted(config.deployments)) or "none"
        remedy = f"did you mean {close[0]!r}?" if close else f"configured are: {known}"
        raise UsageError(f"there is no deployment {deployment!r}; {remedy}")
    if episodes:
        from .episodes import hold

        return desk.run(hold(desk, config, deployment, episodes, auto_approve=auto_approve))

    async def begin() -> RunView:
        async with connect(config, execute=wait, create=True) as client:
            requester = (await acting(client, config)).requester
            accepted = await client.start_run(deployment, input_, thread_id=thread_id, requester=requester)
            if not wait:
                return accepted
            desk.say(f"run {accepted.id} on thread {accepted.thread_id}")
            try:
                return await client.wait(accepted.id, timeout=timeout)
            except TimeoutError:
                return await client.run(accepted.id)
            except asyncio.CancelledError:
                goes_on = "goes on in the service" if running else "goes on when a service or worker runs here"
                desk.say(f"run {accepted.id} {goes_on}")
                raise

    view = desk.run(begin())
    desk.show(view.model_dump(mode="json"), lambda: describe(view))
    if not wait:
        if not running:
            desk.say("no service is running here: `gatewright worker` or `gatewright serve` executes it")
        return PASSED
    return verdict(desk, view)


@run.command("list")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs in this status.")
@click.option("--deployment", help="Only of this deployment.")
@click.option("--thread", "thread_id", help="Only of this thread.")
@click.option("--case", "case_id", help="Only of this case.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0, LARGEST), default=0)
@desk
def list_runs(
    desk: Desk,
    status: str | None,
    deployment: str | None,
    thread_id: str | None,
    case_id: str | None,
    limit: int,
    offset: int,
) -> None:
    """List runs, the newest first."""

    async def ask() -> list[RunView]:
        async with connect(desk.config()) as client:
            return await client.runs(
                status=status,
                deployment=deployment,
                thread_id=thread_id,
                case_id=case_id,
                limit=limit,
                offset=offset,
            )

    found = desk.run(ask())
    rows = [
        (view.id, view.status, view.deployment, view.agent, view.case_id, view.created_at.isoformat(timespec="seconds"))
        for view in found
    ]
    columns = ("id", "status", "deployment", "agent", "case", "accepted")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no runs")


@run.command("show")
@click.argument("run_id")
@desk
def show(desk: Desk, run_id: str) -> None:
    """Show one run: its status, what it waits for, its output."""

    async def ask() -> RunView:
        async with connect(desk.config()) as client:
            return await client.run(run_id)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: describe(view))


@run.command("watch")
@click.argument("run_id")
@click.option("--after", type=click.IntRange(-1, LARGEST), default=-1, help="Begin behind this event.")
@desk
def watch(desk: Desk, run_id: str, after: int) -> int:
    """Print a run's events as they come (in JSON mode, one object a line), until it ends."""

    async def follow() -> RunView:
        async with connect(desk.config(), execute=True) as client:
            await client.run(run_id)
            async for event in client.events(run_id, after=after):
                desk.show(
                    event.model_dump(mode="json"),
                    partial(line_of, event),
                )
                sys.stdout.flush()
            return await client.run(run_id)

    return verdict(desk, desk.run(follow()))


@run.command("cancel")
@click.argument("run_id")
@click.option("--reason", default="", help="Why; it is recorded.")
@click.option("--by", help=BY)
@desk
def cancel(desk: Desk, run_id: str, reason: str, by: str | None) -> None:
    """End a run. What it did stays done."""

    async def ask() -> RunView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config, by)
            who.operate("cancelling a run")
            return await client.cancel(run_id, reason=reason, by=who.name)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: describe(view))


@run.command("resume")
@click.argument("run_id")
@click.option("--by", help=BY)
@desk
def resume(desk: Desk, run_id: str, by: str | None) -> None:
    """Queue a failed run again. It goes on behind what it has done."""

    async def ask() -> RunView:
        config = desk.config()
        async with connect(config) as client:
            who = await acting(client, config, by)
            who.operate("resuming a run")
            return await client.resume(run_id, by=who.name)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: describe(view))


def verdict(desk: Desk, view: RunView) -> int:
    """The exit code for the state of a run, with a word on what to do."""
    if view.status == "succeeded":
        return PASSED
    if view.status in FINAL:
        return REFUSED
    for name in view.waiting_for:
        if name.startswith("pause:"):
            desk.say("its deployment is paused: gatewright deploy list")
        elif name.startswith("run:"):
            asked = name.removeprefix("run:")
            desk.say(f"waits for an agent that it asked: gatewright run show {asked}, or gatewright approvals list")
        else:
            desk.say(f"waits for a person: gatewright approvals show {name}")
    return INCONCLUSIVE


def line_of(event: Event) -> str:
    """An event on one line."""
    return f"{event.seq} {event.type} {json.dumps(event.data, ensure_ascii=False, default=str)[:500]}"


def describe(view: RunView) -> str:
    """A run for a person."""
    said = facts(
        {
            "id": view.id,
            "status": view.status,
            "deployment": view.deployment,
            "agent": view.agent,
            "thread": view.thread_id,
            "case": view.case_id,
            "accepted": view.created_at.isoformat(),
            "finished": view.finished_at.isoformat() if view.finished_at else None,
            "waiting": ", ".join(view.waiting_for) or None,
            "error": f"{view.error.type}: {view.error.message}" if view.error else None,
        }
    )
    if view.output is None:
        return said
    return f"{said}\n\n{json.dumps(view.output, indent=2, ensure_ascii=False, default=str)}"
