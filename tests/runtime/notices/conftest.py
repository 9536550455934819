"""Receivers in this process: an HTTP server that does as it is told, a mail server, and an outbox to fill."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from email.message import Message
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from sqlalchemy import Connection
from tests.certificates import self_signed

from gatewright.runtime.clock import Clock
from gatewright.runtime.notices import outbox
from gatewright.runtime.notices.facts import Facts
from gatewright.runtime.notices.receivers import Receiver
from gatewright.runtime.notices.views import NoticeView
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Transaction, Writer, arrival

T = TypeVar("T")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own test vector
OK = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


class Sent(NamedTuple):
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class Receiving:
    """An HTTP server. `replies` are used up in order, then every request is taken with 204."""

    def __init__(self) -> None:
        self.requests: list[Sent] = []
        self.replies: list[Reply] = []
        self.arrived = asyncio.Condition()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        async with self.arrived:
            self.requests.append(Sent(head[0].split()[1], headers, body))
            self.arrived.notify_all()
        reply = self.replies.pop(0) if self.replies else OK
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
        else:
            await reply(writer)

    async def stop(self) -> None:
        """Let go of those that are being answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_for(self, count: int) -> list[Sent]:
        """The requests, when there are so many."""
        async with asyncio.timeout(60), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests


@asynccontextmanager
async def serving() -> AsyncGenerator[Receiving]:
    receiving = Receiving()
    server = await asyncio.start_server(receiving.handle, "127.0.0.1", 0)
    receiving.port = server.sockets[0].getsockname()[1]
    try:
        yield receiving
    finally:
        server.close()
        await receiving.stop()


@pytest.fixture
async def receiving() -> AsyncGenerator[Receiving]:
    async with serving() as found:
        yield found


@pytest.fixture
async def other() -> AsyncGenerator[Receiving]:
    """A second receiver."""
    async with serving() as found:
        yield found


class Outbox:
    """A database with receivers, its writer and its readers."""

    def __init__(self, folder: Path) -> None:
        SQLite(folder).prepare()
        self.clock = Clock()
        self.writer = Writer(SQLite(folder))
        self._reading = SQLite(folder).connect(readonly=True)

    @staticmethod
    def receiver(name: str = "desk", to: str = "https://example.org/hook", **more: Any) -> Receiver:
        """A webhook, unless `more` says otherwise."""
        return Receiver.model_validate(
            {"name": name, "to": to, **({} if "kind" in more else {"secret": SECRET}), **more}
        )

    async def write(self, operation: Callable[[Transaction], T]) -> T:
        return await arrival(self.writer.submit(operation))

    async def query(self, read: Callable[[Connection], T]) -> T:
        with self._reading.connect() as connection:
            return read(connection)

    async def declare(self, *receivers: Receiver) -> None:
        await self.write(lambda transaction: outbox.declare(transaction, receivers))

    async def enqueue(self, event: Any = "approval.opened", subject: str = "ask-1", facts: Facts | None = None) -> None:
        now = self.clock.now()
        await self.write(lambda tx: outbox.enqueue(tx, event, subject, facts or Facts(deployment="x"), now=now))

    async def views(self, **wanted: Any) -> list[NoticeView]:
        wanted = {"state": None, "limit": 1000, "offset": 0, **wanted}
        return await self.query(lambda connection: outbox.views(connection, **wanted))

    async def settled(self, state: str, count: int = 1) -> list[NoticeView]:
        """The messages of a state, when there are so many."""
        async with asyncio.timeout(60):
            while len(found := await self.views(state=state)) < count:
                await asyncio.sleep(0.01)
        return found

    def close(self) -> None:
        self.writer.close()
        self._reading.dispose()


@pytest.fixture
async def box(tmp_path: Path) -> AsyncGenerator[Outbox]:
    made = Outbox(tmp_path)
    yield made
    made.close()


class Mailbox:
    """What aiosmtpd hands over, and who may log in."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.envelopes: list[Any] = []
        self.refuse = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        self.envelopes.append(envelope)
        self.messages.append(BytesParser(policy=default).parsebytes(envelope.content))
        return "250 OK"

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"gate", b"wright")
        return AuthResult(success=good, handled=good)  # who handles a failure answers it


class MailServer(NamedTuple):
    host: str
    port: int
    box: Mailbox


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server that speaks in the clear."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=_free_port())
    with _running(controller):
        yield MailServer("127.0.0.1", controller.port, box)


@pytest.fixture
def tls_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that insists on STARTTLS and a login, with a certificate that this process trusts."""
    certificate = self_signed(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    box = Mailbox()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=_free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=box.login,
        auth_required=True,
    )
    with _running(controller):
        yield MailServer("127.0.0.1", controller.port, box)


class _running:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def __enter__(self) -> None:
        self._controller.start()

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


def _free_port() -> int:
    """A port that nobody listens on; aiosmtpd cannot be given port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
