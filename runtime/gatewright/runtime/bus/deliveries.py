"""A delivery: a message in the hands of a handler, and what the handler may do besides returning."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import orjson

from gatewright.agents.envelopes import Message, Reject
from gatewright.agents.errors import UsageError
from gatewright.runtime.store.writer import Transaction

from .composing import Composer, derived_id
from .holdings import Holding, Lane
from .log import Entry, Row
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

    def elsewhere(self, topic: str) -> bool:
        """Whether messages of that topic are kept in another database than the delivered one."""
        ...


class Delivery:
    """A message that a group is given, once more than the last time where it is given again.

    Returning acknowledges it, and answers it where it is a request. `Retry` asks for it again, `Reject` refuses it for
    good, and any other exception counts as a failed attempt.
    """

    # Not slots: what is hardly ever set costs nothing as long as it is the class's.
    expected = math.inf
    given_up = ""
    acknowledging = False
    entries: list[Entry] | None = None
    foreign: list[tuple[Message, Entry]] | None = None
    works: list[Callable[[Transaction], object]] | None = None
    _event: dict[str, Any] | None = None
    _message: Message | None = None
    _loaded: Any = None

    def __init__(self, consumer: Consumer, lane: Lane, row: Row, attempt: int = 1, *, parked: bool = False) -> None:
        self._consumer = consumer
        self.lane = lane
        self.row = row
        self.attempt = attempt
        """How often it has been given to the group, this time included."""
        self.parked = parked
        """Whether it has waited in the database."""

    @property
    def holding(self) -> Holding:
        """The partition it is of."""
        return self.lane.holding

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self.row.topic

    @property
    def id(self) -> str:
        """The message's id, which is its source's own: the log may know the message by another one."""
        return self.message.id

    @property
    def partition(self) -> int:
        """The partition of its key."""
        return self.row.partition

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        return self.row.offset

    @property
    def key(self) -> str | None:
        """What its order is kept by."""
        return self.row.key

    @property
    def message(self) -> Message:
        """The envelope.

        Raises:
            UnreadableError: it is no message.
        """
        if self._message is None:
            try:
                read = Message.from_event(self._read())
            except UsageError as error:
                raise UnreadableError(str(error)) from error
            self._message = read if self.attempt == 1 else read.replace(attempt=self.attempt)
        return self._message

    @property
    def data(self) -> Any:
        """The payload: an instance of its model where the topic has one for its type, JSON values otherwise.

        Raises:
            UnreadableError: the topic does not take it.
        """
        if not self._consumer.schemas.typed:
            event = self._event or self._read()
            return event["data"] if "data" in event else self.message.data
        if self._loaded is None:
            try:
                self._loaded = self._consumer.schemas.check(self.message)
            except Reject as error:
                raise UnreadableError(str(error)) from error
        return self._loaded

    def _read(self) -> dict[str, Any]:
        if self._event is None:
            try:
                event = orjson.loads(self.row.body)
            except orjson.JSONDecodeError as error:
                raise UnreadableError(f"it is no JSON: {error}") from error
            if not isinstance(event, dict):
                raise UnreadableError(f"it is a JSON {type(event).__name__}, and no message")
            self._event = event
        return self._event

    def check(self) -> None:
        """Read the payload now.

        Raises:
            UnreadableError: the topic does not take it.
        """
        _ = self.data

    @property
    def deadline(self) -> datetime | None:
        """When nobody needs it handled any more."""
        return self.message.deadline if _DEADLINE in self.row.body else None

    @property
    def plain(self) -> bool:
        """Whether there is nothing to be done but to note that it is settled."""
        return not (self.entries or self.works or self.foreign or _REPLY in self.row.body)

    @property
    def reply_to(self) -> str | None:
        """Where a request is answered: `topic/key`."""
        return self.message.reply_to if _REPLY in self.row.body else None

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
        message, entry = consumer.composer.compose(
            topic, data, key=key, id=id, type=type, subject=subject, deadline=deadline
        )
        if elsewhere:
            self.foreign = [*(self.foreign or ()), (message, entry)]
        elif self.entries is None:
            self.entries = [entry]
        else:
            self.entries.append(entry)
        return message

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
