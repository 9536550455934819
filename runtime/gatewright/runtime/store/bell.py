"""Processes that share a database wake each other: by LISTEN and NOTIFY, on one connection of each process.

A ring is a hint and nothing more. It says that a look at the database may be worth while, it may come twice, and while
a connection is lost it does not come. So whoever listens also looks by itself now and then, more often while the bell
is not `steady`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from .database import Database

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Notify

    from .postgresql import PostgreSQL

CHANNEL = "gatewright"
INTERVAL = 0.01  # seconds between two notifications: what is rung meanwhile goes together
LARGEST = 7000  # bytes of a payload; PostgreSQL takes less than 8000
MOST = 1000  # names that wait to be sent
GRACE = 1.0  # seconds to send what was rung, when it closes
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts to connect

Hearer = Callable[[str], object]
"""Called on the event loop with the name that was rung, or with the beginning of names of which any may have been."""

_log = logging.getLogger(__name__)


class Bell:
    """Of a database that nobody shares: nobody hears it, and nobody else rings."""

    steady = True
    """Whether rings of other processes arrive at this moment."""

    async def open(self) -> None:
        """Begin, on this event loop; the database need not be there yet."""

    async def close(self) -> None:
        """Send what was rung, then ring and hear no more."""

    def ring(self, name: str) -> None:
        """Tell the other processes, soon and once: whoever listens to a beginning of `name`.

        Call it when what it tells of is durable. May be called from any thread.
        """

    def on(self, prefix: str, hearer: Hearer) -> None:
        """Call `hearer` for what other processes ring that begins with `prefix`; before the bell is opened."""


class SharedBell(Bell):
    """Of a PostgreSQL database."""

    steady = False

    def __init__(self, database: PostgreSQL) -> None:
        self._database = database
        self._hearers: list[tuple[str, Hearer]] = []
        self._lock = threading.Lock()
        self._rung: dict[str, None] = {}
        self._sent = 0.0
        self._due = False
        self._closing = False
        self._pause = SHORTEST_PAUSE
        self._process = 0
        self._loop: asyncio.AbstractEventLoop
        self._stirred: asyncio.Event
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()
        self._task = asyncio.create_task(self._stay(), name="bell")

    async def close(self) -> None:
        if self._task is not None:
            self._closing = True
            if self.steady:
                self._send_now()
                await asyncio.wait([self._task], timeout=GRACE)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def on(self, prefix: str, hearer: Hearer) -> None:
        self._hearers.append((prefix, hearer))

    def ring(self, name: str) -> None:
        with self._lock:
            first = not self._rung
            _add(self._rung, [name])
        if first and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody is told any more
                self._loop.call_soon_threadsafe(self._plan)

    def _plan(self) -> None:
        self._loop.call_later(max(0.0, self._sent + INTERVAL - self._loop.time()), self._send_now)

    def _send_now(self) -> None:
        self._due = True
        self._stirred.set()

    async def _stay(self) -> None:
        """Keep a connection, as far as that can be."""
        import psycopg

        while not self._closing:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                _log.warning("wake-ups of other processes do not arrive: %s", self._database.unavailable(error))
            except Exception:
                _log.exception("wake-ups of other processes do not arrive")
            await asyncio.sleep(random.uniform(self._pause / 2, self._pause))
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _listen(self) -> None:
        connection = await self._database.listener()
        try:
            connection.add_notify_handler(self._heard)
            self._process = connection.info.backend_pid
            await connection.execute("SET synchronous_commit = off")  # or each ring would be synced to the disk
            await connection.execute(f"LISTEN {CHANNEL}")
            self.steady, self._pause = True, SHORTEST_PAUSE
            for prefix, hearer in self._hearers:  # what was rung before has not been heard
                self._call(hearer, prefix)
            self._send_now()
            while not self._closing or self._due:
                await self._turn(connection)
        finally:
            self.steady = False
            await connection.close()

    async def _turn(self, connection: AsyncConnection[Any]) -> None:
        """Wait until there is something to hear or to send."""
        place = connection.fileno()
        self._loop.add_reader(place, self._stirred.set)  # not while psycopg waits: it does the same
        try:
            await self._stirred.wait()
        finally:
            self._loop.remove_reader(place)
        self._stirred.clear()
        connection.pgconn.consume_input()
        while (found := connection.pgconn.notifies()) is not None:
            self._hear(found.be_pid, found.extra)
        if self._due:
            await self._send(connection)

    async def _send(self, connection: AsyncConnection[Any]) -> None:
        with self._lock:
            names, self._rung = self._rung, {}
        self._due, self._sent = False, self._loop.time()
        if not names:
            return
        try:
            await connection.execute(
                "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload", (CHANNEL, list(_packed(names)))
            )
        except BaseException:
            with self._lock:
                _add(self._rung, names)
            raise

    def _heard(self, notify: Notify) -> None:
        self._hear(notify.pid, notify.payload.encode())

    def _hear(self, process: int, payload: bytes) -> None:
        if process == self._process:
            return
        try:
            names: list[str] = [str(name) for name in orjson.loads(payload)]
        except (orjson.JSONDecodeError, TypeError):  # of somebody else who uses the channel
            _log.warning("a notification on channel %r is none of ours: %.100r", CHANNEL, payload)
            return
        for name in names:
            for prefix, hearer in self._hearers:
                if name.startswith(prefix) or prefix.startswith(name):
                    self._call(hearer, name)

    def _call(self, hearer: Hearer, name: str) -> None:
        try:
            hearer(name)
        except Exception:
            _log.exception("what rang %r could not be followed up", name)


def of(database: Database) -> Bell:
    """The bell of a database."""
    if database.dialect == "sqlite":
        return Bell()
    from .postgresql import PostgreSQL

    assert isinstance(database, PostgreSQL)
    return SharedBell(database)


def _add(names: dict[str, None], more: Iterable[str]) -> None:
    """Add names to those that are to be sent; where they are too many, what they begin with stands for them."""
    names.update(dict.fromkeys(name if len(name) < LARGEST // 10 else _kind(name) for name in more))
    if len(names) > MOST:
        kinds = [_kind(name) for name in names]
        names.clear()
        names.update(dict.fromkeys(kinds))


def _kind(name: str) -> str:
    kind, colon, _which = name.partition(":")
    return kind + colon


def _packed(names: Iterable[str]) -> Iterator[str]:
    """The names as payloads."""
    parts: list[bytes] = []
    size = 0
    for name in names:
        part = orjson.dumps(name)
        if size + len(part) > LARGEST:
            yield f"[{b','.join(parts).decode()}]"
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield f"[{b','.join(parts).decode()}]"
