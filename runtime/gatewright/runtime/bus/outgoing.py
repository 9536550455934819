"""Publishing: what is published in one turn of the event loop is one operation, and nothing waits without bound.

A publisher waits where too much is on its way to the database already, or where the topic's slowest group is too far
behind. How far it is, is measured now and then: several processes together may go beyond the limit by a sixteenth each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

import sqlalchemy as sa

from gatewright.agents.envelopes import Message
from gatewright.agents.errors import BusyError, GatewrightError
from gatewright.runtime.store.writer import Transaction

from .log import Entry, Log
from .topics import Topic

PENDING = 4096  # messages of this process on their way to the database
PENDING_BYTES = 64 << 20
LOOK = 0.05  # seconds between looks at a topic that is full

_BACKLOG = sa.text(
    'SELECT cursor."group", sum(head.next - cursor.position) + '
    '(SELECT count(*) FROM parked WHERE parked.topic = :topic AND parked."group" = cursor."group") '
    'FROM cursor JOIN head ON head.topic = cursor.topic AND head."partition" = cursor."partition" '
    'WHERE cursor.topic = :topic GROUP BY cursor."group" ORDER BY 2 DESC LIMIT 1'
)


def backlog(transaction: Transaction, topic: str) -> tuple[int, str]:
    """How many messages wait for the slowest group, and which that is."""
    found = transaction.one(_BACKLOG, topic=topic)
    return (0, "") if found is None else (int(found[1]), found[0])


def check_room(transaction: Transaction, topic: str, limit: int) -> None:
    """Check that fewer than `limit` messages wait.

    Raises:
        BusyError: there are more.
    """
    waiting, group = backlog(transaction, topic)
    if waiting >= limit:
        raise _full(topic, waiting, group, limit)


def _full(topic: str, waiting: int, group: str, limit: int) -> BusyError:
    return BusyError(
        f"topic {topic!r} is full: {waiting} messages wait for group {group!r}, and its limit is {limit}; let more "
        f"processes consume it, or raise [topics.{topic}] limit"
    )


class Backlog:
    """How much of a topic waits for its slowest group, as far as this process knows."""

    def __init__(self, log: Log, topic: str, limit: int) -> None:
        self._log = log
        self._topic = topic
        self._limit = limit
        self._step = max(1, limit // 16)
        self._known = 0
        self._since = 0  # published by this process since then
        self._group = ""
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._measuring: asyncio.Task[None] | None = None

    def take(self) -> bool:
        """Count a message in; false where it has to wait."""
        if self._waiters or self._known + self._since >= self._limit:
            self._measure()
            return False
        self._since += 1
        if self._since >= self._step:
            self._measure()
        return True

    async def wait(self, timeout: float) -> None:
        """Wait until a message is counted in.

        Raises:
            BusyError: that took too long.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise _full(self._topic, self._known, self._group, self._limit) from None
        finally:
            if not waiter.done() or waiter.cancelled():
                with suppress(ValueError):
                    self._waiters.remove(waiter)

    def _measure(self) -> None:
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            while True:
                before = self._since
                self._known, self._group = await self._log.write(partial(backlog, topic=self._topic))
                self._since -= before
                while self._waiters and self._known + self._since < self._limit:
                    waiter = self._waiters.popleft()
                    if not waiter.done():
                        waiter.set_result(None)
                        self._since += 1
                if not self._waiters:
                    return
                await asyncio.sleep(LOOK)
        except GatewrightError as error:  # the database is away: so nothing can be published either
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(error)
        finally:
            self._measuring = None

    async def close(self) -> None:
        """Measure no more."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)


class _Batch:
    """What was published since the last turn of the event loop, and who waits for it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiters: list[asyncio.Future[Message]] = []
        self.messages: list[Message] = []
        self.bytes = 0


class Outgoing:
    """What this process publishes to one log."""

    def __init__(self, log: Log, settings: Callable[[str], Topic]) -> None:
        self._log = log
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._backlogs: dict[str, Backlog] = {}
        self._batches: dict[bool, _Batch] = {}  # by whether it must survive the machine
        self._pending = 0
        self._bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def publish(self, message: Message, entry: Entry, timeout: float) -> Awaitable[Message]:
        """Append a message; it has the topic's durability when it is given back.

        Raises:
            BusyError: for `timeout` seconds there was no room for it; nothing of it was stored.
            UnavailableError: the database did not take it.
        """
        backlog = self._backlogs.get(entry.topic)
        if backlog is None or self._full() or not backlog.take():
            return self._publish(message, entry, timeout, backlog)
        return self.append(message, entry)

    async def _publish(self, message: Message, entry: Entry, timeout: float, backlog: Backlog | None) -> Message:
        end = self._loop.time() + timeout
        if backlog is None:
            await self._log.declare(entry.topic)
            backlog = self._backlogs.get(entry.topic)
            if backlog is None:
                settings = self._settings(entry.topic)
                backlog = self._backlogs[entry.topic] = Backlog(self._log, entry.topic, settings.limit)
        if self._full():
            await self._room(end - self._loop.time())
        if not backlog.take():
            await backlog.wait(end - self._loop.time())
        return await self.append(message, entry)

    def append(self, message: Message, entry: Entry) -> asyncio.Future[Message]:
        """Append a message without waiting for room; the future is done when it has the topic's durability."""
        waiter: asyncio.Future[Message] = self._loop.create_future()
        if not self._batches:
            self._loop.call_soon(self._flush)
        durable = self._settings(entry.topic).durability == "disk"
        batch = self._batches.get(durable)
        if batch is None:
            batch = self._batches[durable] = _Batch()
        size = len(entry.body)
        self._pending += 1
        self._bytes += size
        batch.bytes += size
        batch.entries.append(entry)
        batch.messages.append(message)
        batch.waiters.append(waiter)
        return waiter

    async def close(self) -> None:
        """Look after nothing any more; what is on its way arrives."""
        await asyncio.gather(*(backlog.close() for backlog in self._backlogs.values()))

    def _full(self) -> bool:
        return self._pending >= PENDING or self._bytes >= PENDING_BYTES or bool(self._waiters)

    async def _room(self, timeout: float) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise BusyError(
                f"{self._pending} messages of this process are on their way to the database already, and at most "
                f"{PENDING} may be; publish less at once, or wait longer"
            ) from None
        finally:
            if not waiter.done() or waiter.cancelled():
                with suppress(ValueError):
                    self._waiters.remove(waiter)

    def _flush(self) -> None:
        batches, self._batches = self._batches, {}
        for durable, batch in batches.items():
            future = self._log.writer.submit(partial(self._put, batch), durability="disk" if durable else "process")
            self._log.later(future, partial(self._done, batch))

    def _put(self, batch: _Batch, transaction: Transaction) -> None:
        self._log.put(transaction, batch.entries)

    def _done(self, batch: _Batch, done: Future[None]) -> None:
        self._pending -= len(batch.entries)
        self._bytes -= batch.bytes
        error = done.exception()
        for waiter, message in zip(batch.waiters, batch.messages, strict=True):
            if waiter.done():  # whoever waited has been cancelled
                continue
            if error is None:
                waiter.set_result(message)
            else:
                waiter.set_exception(error)
        for _ in range(min(len(self._waiters), max(0, PENDING - self._pending))):
            waiting = self._waiters.popleft()
            if not waiting.done():
                waiting.set_result(None)
