"""The server process: one socket, uvloop and httptools, and an end that loses nobody."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from types import FrameType

import uvicorn

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.addresses import is_loopback
from gatewright.runtime.config import Config
from gatewright.runtime.operations import Host
from gatewright.runtime.people import Roster

from . import presence
from .application import create_app

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2048


class Server(uvicorn.Server):
    """Uvicorn, told apart in two things: streams are ended before it waits for connections to close (it would wait
    for ever), and a signal is remembered rather than raised again, so that the service can drain afterwards."""

    def __init__(self, options: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(options)
        self.closing = closing
        self.signal: int | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.signal is not None  # the second signal does not wait for anyone
        self.signal = sig
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.closing.set()
        await super().shutdown(sockets)


def bind(config: Config, *, unsafe: bool = False) -> socket.socket:
    """The socket to listen on.

    Raises:
        UsageError: it could be reached from other machines, and neither a token, people nor `unsafe` was given.
        UnavailableError: the address is in use, is not this machine's, or may not be taken.
    """
    server = config.server
    if not is_loopback(server.host) and Roster.of(config).open and not unsafe:
        raise UsageError(
            f"refusing to listen on {server.host!r} without a token: whoever reaches it could approve actions; set "
            "server.token (GATEWRIGHT_SERVER__TOKEN), name people (`gatewright people token NAME`), listen on "
            "127.0.0.1, or pass --unsafe-allow-unauthenticated"
        )
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if listener:
            listener.close()
        remedy = {
            errno.EADDRINUSE: "it is in use; stop what listens there or choose another with --port",
            errno.EADDRNOTAVAIL: "this machine has no such address; choose one of its own with --host",
            errno.EACCES: "it may not be taken by this user; choose a port above 1023",
        }.get(error.errno or 0, error.strerror or str(error))
        raise UnavailableError(f"cannot listen on port {server.port} of {server.host!r}: {remedy}") from error
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """The URL by which a client on this machine reaches a socket."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    service: Host,
    listener: socket.socket,
    *,
    unsafe: bool = False,
    ready: Callable[[str], Awaitable[None]] | None = None,
) -> int | None:
    """Serve until a signal says to stop; the service itself stays open for the caller to drain.

    Args:
        ready: called with the URL once requests are answered.

    Returns:
        The signal that ended it, None if `ready` failed.
    """
    closing = asyncio.Event()
    instance = secrets.token_hex(8)
    options = uvicorn.Config(
        create_app(service, closing=closing, instance=instance, open_to_all=unsafe),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(service.config.worker.drain) + 2,
    )
    server = Server(options, closing)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = address(listener)
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        presence.announce(service.config.data_dir, url, instance=instance, token=service.config.server.token)
        notify("READY=1")
        if ready:
            await ready(url)
        await serving
    finally:
        notify("STOPPING=1")
        server.should_exit = True
        presence.withdraw(service.config.data_dir, instance=instance)
        await serving
    return server.signal


def notify(state: str) -> None:
    """Tell systemd (`Type=notify`), where it started this process."""
    target = os.environ.get("NOTIFY_SOCKET")
    if target:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
            channel.sendto(state.encode(), target.replace("@", "\0", 1) if target.startswith("@") else target)
