"""Sends records to Kafka from an event loop: bounded, in order per partition, and every wait ends by its deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gatewright.agents.errors import UnavailableError, UsageError

from .mailbox import Mailbox
from .records import Position, Record, UnknownOutcomeError
from .room import Room
from .sending import LARGEST_RECORD, Sender, Submission
from .settings import Settings

OVERHEAD = 64  # bytes of a record besides what its sender gave
LARGEST_SUBMISSION = 1024  # records that go to the thread at once


class Producer:
    """A producer that belongs to the event loop it was made on.

    Deadlines are moments of `time.monotonic()`. `records` and `size` (bytes) bound what is under way, whatever the
    brokers do; whoever sends more waits for room. A record counts until Kafka has answered for it, even when nobody
    waits for it any more.

    Kafka may hold a record more than once: after an `UnknownOutcomeError` it is sent again by whoever sent it.
    Records of one partition are in Kafka in the order in which they were sent first, as long as what failed is sent
    again before what comes after it.
    """

    def __init__(self, settings: Settings, *, records: int = 10_000, size: int = 16 * 1024 * 1024) -> None:
        if records < 1 or size < LARGEST_RECORD:
            raise UsageError(
                f"room for {records!r} records of {size!r} bytes is too small; give at least 1 and {LARGEST_RECORD}"
            )
        self._loop = asyncio.get_running_loop()
        self._room = Room(records, size)
        self._most = (min(LARGEST_SUBMISSION, records), size)
        self._mailbox = Mailbox(self._loop, self._receive)
        self._sender = Sender(settings, self._mailbox.post)
        self._outstanding: set[Submission] = set()
        self._collected: list[Submission] = []
        self._drained = asyncio.Event()
        self._drained.set()
        self._closed = False
        self._era = 0  # as far as those who send have been told
        self._sender.start()

    async def send(self, record: Record, *, deadline: float) -> Position:
        """Send a record; gives its position when all replicas in step have it. Raises as `send_many`."""
        (sent,) = await self._send((record,), deadline)
        place = sent.value
        return Position(place.topic, place.partition, place.offset)

    async def send_many(self, records: Sequence[Record], *, deadline: float) -> None:
        """Send records in their order; returns when all replicas in step have all of them.

        Raises:
            UsageError: a record is malformed or too large; it will never be accepted.
            UnknownOutcomeError: some may have arrived, now or later; send them again, all and in this order.
            UnavailableError: none was sent: no room or no broker by the deadline, no such topic, or closed.
        """
        await self._send(records, deadline)

    async def _send(self, records: Sequence[Record], deadline: float) -> list[Any]:
        """As `send_many`; gives what the client knows of each record."""
        slices = self._sliced(records)
        waiters: list[asyncio.Future[list[Any]]] = []
        sent: list[Any] = []
        try:
            for part, size in slices:
                waiters.append(await self._submit(part, size, deadline))
            for waiter in waiters:
                sent += await waiter
        except UnavailableError as error:
            if len(waiters) > 1 and not isinstance(error, UnknownOutcomeError):
                raise UnknownOutcomeError(f"only some of the records were sent ({error}); send all again") from error
            raise
        finally:
            for waiter in waiters:
                if waiter.done() and not waiter.cancelled():
                    waiter.exception()  # whoever left early does not hear of the rest
                waiter.cancel()
        return sent

    async def close(self, *, deadline: float) -> None:
        """Wait until all that was sent is answered for, at most until the deadline, then fail the rest and stop.

        The thread ends by itself: it may take longer when a broker does not answer.
        """
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._drained.wait()
        self._flush()
        for submission in list(self._outstanding):
            submission.failure = UnknownOutcomeError(
                "the sender to Kafka was closed before an answer came; whether records arrived is unknown"
            )
            self._receive(submission)
        self._sender.stop()
        await asyncio.to_thread(self._sender.join, max(0.0, deadline - time.monotonic()))

    def _sliced(self, records: Sequence[Record]) -> list[tuple[Sequence[Record], int]]:
        """Parts that fit into the room, each with its size in bytes."""
        count, room = self._most
        slices: list[tuple[Sequence[Record], int]] = []
        start = total = 0
        for index, record in enumerate(records):
            size = _size(record)
            if index - start == count or total + size > room:
                slices.append((records[start:index], total))
                start, total = index, 0
            total += size
        if start < len(records):
            slices.append((records[start:], total))
        return slices

    async def _submit(self, records: Sequence[Record], size: int, deadline: float) -> asyncio.Future[list[Any]]:
        if not self._closed:
            await self._room.take(len(records), size, deadline)
        if self._closed:
            raise UnavailableError("the sender to Kafka is closed; nothing was sent")
        waiter: asyncio.Future[list[Any]] = self._loop.create_future()
        submission = Submission(records, size, self._era, waiter)
        timer = self._loop.call_at(deadline, self._expire, submission)
        waiter.add_done_callback(partial(self._leave, submission, timer))
        self._outstanding.add(submission)
        self._drained.clear()
        self._collected.append(submission)
        if len(self._collected) == 1:  # all that is sent in this turn of the loop goes to the thread together
            self._loop.call_soon(self._flush)
        return waiter

    def _flush(self) -> None:
        if self._collected:
            collected, self._collected = self._collected, []
            self._sender.submit(collected)

    def _leave(self, submission: Submission, timer: asyncio.TimerHandle, _: object) -> None:
        timer.cancel()
        submission.waiter = None  # its error would hold the frames of whoever waited, for as long as Kafka is away

    def _expire(self, submission: Submission) -> None:
        if submission.waiter is not None and not submission.waiter.done():
            submission.waiter.set_exception(
                UnknownOutcomeError(
                    f"Kafka has not answered for {submission.count} records by the deadline; they may arrive yet, "
                    "send them again"
                )
            )

    def _receive(self, submission: Submission) -> None:
        if submission.finished:
            return
        submission.finished = True
        self._outstanding.discard(submission)
        self._room.give(submission.count, submission.size)
        if not self._outstanding:
            self._drained.set()
        if submission.failure is not None:
            self._era = max(self._era, submission.era)
        waiter = submission.waiter
        if waiter is None or waiter.done():
            return
        if submission.failure is not None:
            waiter.set_exception(submission.failure)
        elif all(future.is_done and future.exception is None for future in submission.futures):
            waiter.set_result(submission.futures)
        else:
            waiter.set_exception(UnknownOutcomeError("Kafka answered for some of the records only; send all again"))


def _size(record: Record) -> int:
    """The bytes that a record takes; checks it.

    Raises:
        UsageError: it is malformed or larger than Kafka takes.
    """
    key, value = record.key, record.value
    if not (key is None or type(key) is bytes) or not (value is None or type(value) is bytes):
        raise UsageError(
            f"a record for {record.topic!r} has a key of {type(key).__name__} and a value of {type(value).__name__}; "
            "Kafka takes bytes"
        )
    if key is None and value is None:
        raise UsageError(f"a record for {record.topic!r} has neither a key nor a value; it needs one of them")
    size = OVERHEAD + len(key or b"") + len(value or b"")
    for name, content in record.headers:
        size += len(name) + len(content) + 8
    if size > LARGEST_RECORD:
        raise UsageError(
            f"a record for {record.topic!r} takes {size} bytes and Kafka at most {LARGEST_RECORD}; keep the content "
            "elsewhere and send where it is"
        )
    return size
