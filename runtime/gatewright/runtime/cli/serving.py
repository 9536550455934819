"""`gatewright serve`, `dev` and `worker`: processes that stay."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import webbrowser
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from gatewright.runtime.views import ApprovalView

from . import logs
from .desk import Desk, desk
from .grammar import Command

if TYPE_CHECKING:
    from gatewright.runtime.config import Config
    from gatewright.runtime.operations import Operations
    from gatewright.runtime.service import Service

INTERRUPTED = 130
SAMPLES = "support"


def _placed(command: Any) -> Any:
    bus = click.option(
        "--bus", default="", help="Carry messages over this Kafka cluster: kafka://HOST:PORT,… (or GATEWRIGHT_BUS)."
    )
    return bus(command)


def _listening(command: Any) -> Any:
    for option in (
        click.option(
            "--unsafe-allow-unauthenticated",
            "unsafe",
            is_flag=True,
            help="Listen on other than loopback addresses without a token. Whoever reaches it can approve actions.",
        ),
        click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one."),
        click.option("--host", help="Address to listen on."),
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@_listening
@_placed
@click.option("--no-execute", is_flag=True, help="Leave the runs to `gatewright worker` processes.")
@desk
def serve(desk: Desk, host: str | None, port: int | None, unsafe: bool, no_execute: bool, bus: str) -> int:
    """Serve the HTTP API and the console, and execute runs, until SIGTERM or Ctrl-C.

    Then: streams are ended, requests finish, running steps are finished or handed back. On a PostgreSQL database any
    number of these and of `gatewright worker` processes share the work.
    """
    return _run(_serve(desk, _configured(desk, host, port, bus), unsafe=unsafe, execute=not no_execute))


@click.command(cls=Command)
@_listening
@_placed
@click.option("--open", "browser", is_flag=True, help="Open the console in a browser.")
@desk
def dev(desk: Desk, host: str | None, port: int | None, unsafe: bool, browser: bool, bus: str) -> int:
    """Serve, and on first use hold the sample conversations of the support team.

    One approval is left waiting, for you to decide in the console.
    """
    return _run(_serve(desk, _configured(desk, host, port, bus), unsafe=unsafe, samples=True, browser=browser))


@click.command(cls=Command)
@click.option("--deployment", "names", multiple=True, help="Execute this deployment's runs alone; may be repeated.")
@_placed
@desk
def worker(desk: Desk, names: tuple[str, ...], bus: str) -> int:
    """Execute runs, without HTTP, until SIGTERM or Ctrl-C.

    With --deployment no other deployment's code is loaded into this process.
    """
    named: dict[str, Any] = {"bus": bus} if bus else {}
    return _run(_work(desk, desk.config(worker={"deployments": list(names)} if names else {}, **named)))


def _configured(desk: Desk, host: str | None, port: int | None, bus: str) -> Config:
    given = {"host": host, "port": port}
    named: dict[str, Any] = {"bus": bus} if bus else {}
    return desk.config(server={name: value for name, value in given.items() if value is not None}, **named)


def _run(main: Coroutine[Any, Any, int | None]) -> int:
    """Run to the end of a service; SIGTERM is a clean end, Ctrl-C is told apart by its exit code."""
    import uvloop

    logs.begin()
    return _code(uvloop.run(main))


def _code(ended_by: int | None) -> int:
    return INTERRUPTED if ended_by == signal.SIGINT else 0


async def _serve(
    desk: Desk,
    config: Config,
    *,
    unsafe: bool,
    execute: bool = True,
    samples: bool = False,
    browser: bool = False,
) -> int | None:
    from gatewright.runtime.api import server
    from gatewright.runtime.service import Service

    listener = server.bind(config, unsafe=unsafe)
    try:
        service = await Service.open(config, execute=execute)
    except BaseException:
        listener.close()
        raise
    background: set[asyncio.Task[None]] = set()

    async def ready(url: str) -> None:
        desk.show({"url": url, "data_dir": str(config.data_dir)}, lambda: f"console: {url}")
        if unsafe and not config.server.token and not config.people:
            desk.say("warning: anyone who reaches this address can approve actions")
        if not execute and not config.database:
            desk.say(
                "warning: no run is executed; no worker may stand beside this SQLite file, so leave out --no-execute"
            )
        if samples and SAMPLES in config.deployments:
            background.add(asyncio.create_task(_hold_samples(desk, service)))
        if browser:
            webbrowser.open(url)

    ended_by = None
    try:
        ended_by = await server.serve(service, listener, unsafe=unsafe, ready=ready)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await _close(desk, service, config, ended_by)
    return ended_by


async def _close(desk: Desk, service: Service, config: Config, ended_by: int | None) -> None:
    """Close the service, and leave without waiting for calls that hang: Python would wait for their threads."""
    await service.close(drain=config.worker.drain)
    if service.hanging:
        desk.say(f"leaving {service.hanging} calls of agents behind that have not returned")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_code(ended_by))


async def _hold_samples(desk: Desk, client: Operations) -> None:
    """Give a data directory without runs something to look at: all sample conversations, and one open approval."""
    from .episodes import Holding

    if await client.runs(limit=1):
        return
    left: list[ApprovalView] = []

    def approve(approval: ApprovalView) -> bool:
        return bool(left) and approval.id != left[0].id

    holding = Holding(client, SAMPLES, approve=approve, tell=left.append)
    try:
        conversations = await client.conversations(SAMPLES, None)
        await holding.start(conversations)
        desk.say(f"holding {len(conversations)} sample conversations; one approval will wait for you in the console")
        await holding.follow()
    except Exception as error:
        desk.say(f"warning: the sample conversations could not be held: {type(error).__name__}: {error}")


async def _work(desk: Desk, config: Config) -> int | None:
    from gatewright.runtime.service import Service

    ended_by: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(number: int) -> None:
        if not ended_by.done():
            ended_by.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    service = await Service.open(config, kind="worker")
    try:
        what = " ".join(config.worker.deployments) or "all deployments"
        desk.show({"database": service.place}, lambda: f"executing the runs of {what} in {service.place}")
        await ended_by
    finally:
        await _close(desk, service, config, ended_by.result() if ended_by.done() else None)
    return ended_by.result()
