"""Requests: a message with a deadline and an address for the reply, and the wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import orjson

from gatewright.agents.envelopes import Message, partition_of
from gatewright.runtime.store.writer import Transaction

from .log import Log, Row, Scan

REPLIES = "gatewright.replies"
MOST = 256  # replies read at once

_log = logging.getLogger(__name__)


class Replies:
    """The replies to one process. All processes share a topic, and each looks at the partition of its own key there."""

    def __init__(self, log: Log, name: str) -> None:
        self.address = f"{REPLIES}/{name}"
        self._log = log
        self._name = name
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._partition = 0
        self._next = 0
        self._head = 0
        self._since = 0
        self._opening: asyncio.Task[None] | None = None
        self._reading = False

    async def open(self) -> None:
        """Begin to listen, the first time."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        self._partition = partition_of(self._name, await self._log.declare(REPLIES))
        heads, self._since = await self._log.write(self._heads)
        self._next = self._head = heads[self._partition]
        self._log.listen(REPLIES, self)

    def _heads(self, transaction: Transaction) -> tuple[dict[int, int], int]:
        return self._log.heads(transaction, REPLIES), self._log.newest(transaction, REPLIES)

    def expect(self, request_id: str) -> asyncio.Future[Message]:
        """The reply to a request; `forget` it in any case."""
        waiter = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        return waiter

    def forget(self, request_id: str) -> None:
        """Nobody waits for the reply any more."""
        self._waiting.pop(request_id, None)

    def appended(self, rows: Sequence[Row]) -> None:
        """Replies that this process has written itself."""
        for row in rows:
            if row.partition == self._partition:
                self._head = max(self._head, row.offset + 1)
                if row.offset == self._next:
                    self._take(row)
        self._catch_up()

    def heads(self, heads: Mapping[int, int]) -> None:
        """How far the partition reaches."""
        self._head = max(self._head, heads.get(self._partition, 0))
        self._catch_up()

    def _take(self, row: Row) -> None:
        self._next, self._since = row.offset + 1, row.number
        if row.key != self._name:
            return
        message = Message.trusted(orjson.loads(row.body))  # a process of ours has written it
        waiter = self._waiting.get(message.correlation_id or "")
        if waiter is None or waiter.done():
            _log.info("reply %s to request %s came too late", message.id, message.correlation_id)
        else:
            waiter.set_result(message)

    def _catch_up(self) -> None:
        if self._next < self._head and not self._reading:
            self._reading = True
            self._log.later(self._log.writer.submit(self._read, durability="process"), self._found)

    def _read(self, transaction: Transaction) -> Scan:
        return self._log.read(transaction, REPLIES, [self._partition], self._since, MOST)

    def _found(self, done: Future[Scan]) -> None:
        self._reading = False
        if done.exception() is not None:
            return  # the next look finds them
        scan = done.result()
        for row in scan.rows:
            if row.offset >= self._next:
                self._take(row)
        if not scan.rows:
            if scan.complete:
                self._next = self._head  # nothing is left of what was there
            else:
                self._since = max(self._since, scan.last)
        self._catch_up()
