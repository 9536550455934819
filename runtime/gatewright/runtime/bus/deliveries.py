"""A delivery: a message in the hands of a handler, and what the handler may do besides returning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from gatewright.agents.envelopes import Message, Reject
from gatewright.agents.errors import UsageError
from gatewright.runtime.store.writer import Transaction

from .composing import Composer, derived_id
from .holdings import Holding, Lane, Work
from .log import Entry
from .schemas import Schemas

_DEADLINE = b'"deadline":'
_REPLY = b'"replyto":'


class UnreadableError(Reject):
    """A message is none, or none that its topic takes."""


class Consumer(Protocol):
    """What a delivery needs of the subscription it belongs to."""

    topic: str
    group: str
    composer: Composer
    schemas: Schemas
    timeout: float
    elsewhere: Callable[[str], bool]  # whether messages of a topic are kept in another database than the delivered one


class Delivery:
    """A message that a group is given, once more than the last time where it is given again.

    Returning acknowledges it, and answers it where it is a request. `Retry` asks for it again, `Reject` refuses it for
    good, and any other exception counts as a failed attempt.
    """

    __slots__ = (
        "_consumer",
        "_data",
        "_message",
        "acknowledging",
        "entries",
        "expected",
        "foreign",
        "given_up",
        "lane",
        "work",
        "works",
    )

    def __init__(self, consumer: Consumer, lane: Lane, work: Work, expected: float) -> None:
        self._consumer = consumer
        self._message: Message | None = None
        self._data: Any = _UNREAD
        self.lane = lane
        self.work = work
        self.entries: list[Entry] | None = None
        self.foreign: list[Entry] | None = None
        self.works: list[Callable[[Transaction], object]] | None = None
        self.expected = expected
        self.acknowledging = False
        self.given_up = ""

    @property
    def holding(self) -> Holding:
        """The partition it is of."""
        return self.lane.holding

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self.work.row.topic

    @property
    def partition(self) -> int:
        """The partition of its key."""
        return self.work.row.partition

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        return self.work.row.offset

    @property
    def key(self) -> str | None:
        """What its order is kept by."""
        return self.work.row.key

    @property
    def attempt(self) -> int:
        """How often it has been given to the group, this time included."""
        return self.work.attempt

    @property
    def message(self) -> Message:
        """The envelope.

        Raises:
            UnreadableError: it is no message.
        """
        if self._message is None:
            try:
                read = Message.from_json(self.work.row.body)
            except UsageError as error:
                raise UnreadableError(str(error)) from error
            self._message = read if self.work.attempt == 1 else read.replace(attempt=self.work.attempt)
        return self._message

    @property
    def data(self) -> Any:
        """The payload: an instance of its model where the topic has one for its type, JSON values otherwise.

        Raises:
            UnreadableError: the topic does not take it.
        """
        if self._data is _UNREAD:
            try:
                self._data = self._consumer.schemas.check(self.message)
            except Reject as error:
                raise UnreadableError(str(error)) from error
        return self._data

    def check(self) -> None:
        """Read the payload now.

        Raises:
            UnreadableError: the topic does not take it.
        """
        _ = self.data

    @property
    def deadline(self) -> datetime | None:
        """When nobody needs it handled any more."""
        return self.message.deadline if _DEADLINE in self.work.row.body else None

    @property
    def reply_to(self) -> str | None:
        """Where a request is answered: `topic/key`."""
        return self.message.reply_to if _REPLY in self.work.row.body else None

    def publish(
        self,
        topic: str,
        data: Any,
        *,
        key: str | None = None,
        id: str | None = None,
        type: str | None = None,
        subject: str | None = None,
        deadline: datetime | None = None,
    ) -> Message:
        """Publish a message if, and only if, this one is acknowledged: it is written in the same transaction.

        On a topic whose messages are kept in another database (`memory` against the others) it is written just before,
        under an id that is the same when this message is handled again.

        Raises:
            UsageError: the topic does not take it.
        """
        consumer = self._consumer
        elsewhere = consumer.elsewhere(topic)
        if elsewhere and id is None and not isinstance(data, Message):
            id = derived_id(self.message, consumer.group, len(self.foreign or ()))
        composed = consumer.composer.compose(topic, data, key=key, id=id, type=type, subject=subject, deadline=deadline)
        if elsewhere:
            self.foreign = [*(self.foreign or ()), composed.entry]
        elif self.entries is None:
            self.entries = [composed.entry]
        else:
            self.entries.append(composed.entry)
        return composed.message

    def transact(self, work: Callable[[Transaction], object]) -> None:
        """Do `work` in the transaction that acknowledges this message: exactly once, whatever dies and comes back.

        It runs after the handler has returned, in the writer's thread, and changes nothing but its transaction, which
        is of the database that keeps the topic. What it raises counts as if the handler had.
        """
        if self.works is None:
            self.works = []
        self.works.append(work)

    def extend(self, seconds: float | None = None) -> None:
        """Take more time: `seconds` from now, or the subscription's time for a message once more."""
        loop = asyncio.get_running_loop()
        self.expected = loop.time() + (self._consumer.timeout if seconds is None else seconds)


class _Unread:
    pass


_UNREAD = _Unread()
