"""The bus: publish, request, subscribe."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from gatewright.agents.envelopes import Message
from gatewright.agents.errors import UsageError
from gatewright.runtime.clock import Clock
from gatewright.runtime.store.bell import Bell
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.sqlite import Memory
from gatewright.runtime.store.writer import Transaction, Writer

from . import topics
from .composing import HANDLED, Composer
from .cursors import Group, Start, take_over
from .log import Entry, Log
from .outgoing import Outgoing, check_room
from .requests import REPLIES, Replies
from .retention import Retention
from .schemas import Models
from .subscription import Subscription, Terms
from .topics import Topic
from .workers import Handler

CONCURRENCY = 16  # messages that a subscription handles at once
TIMEOUT = 60.0  # seconds that a handler has for a message
LEASE = 3.0  # seconds
PATIENCE = 10.0  # seconds that a publisher waits for room, and a request for its reply

_REPLIES = Topic(retention=3600.0)


class Carrier(Protocol):
    """A way for messages between this log and others."""

    def route(self, entry: Entry) -> Entry:
        """What is put into the log for a message that is published."""
        ...

    async def create(self, topic: str) -> None:
        """See to it that a topic exists on the way."""
        ...

    def follow(self, topic: str) -> None:
        """Bring what others publish to a topic, since somebody here listens to it."""
        ...


class _Side:
    """One database that keeps messages, and what this process has to do with it."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        settings: Callable[[str], Topic],
        name: str,
        bell: Bell | None,
    ) -> None:
        self.log = Log(database, writer, clock, settings, bell)
        self.outgoing = Outgoing(self.log, settings)
        self.replies = Replies(self.log, name)
        self.retention = Retention(self.log, settings)


class Bus:
    """The bus of one process, on one event loop.

    Topics of durability `memory` are kept in a database of this process, all others in the service's own.
    """

    group_type: type[Group] = Group

    def __init__(
        self,
        database: Database,
        writer: Writer,
        *,
        source: str = "gatewright",
        settings: Mapping[str, Topic] | None = None,
        models: Mapping[str, Models] | None = None,
        lease: float = LEASE,
        clock: Clock | None = None,
        carrier: Carrier | None = None,
        bell: Bell | None = None,
    ) -> None:
        """`carrier` takes messages to other databases, and brings theirs. `bell` tells the processes on this one that
        there are some; without, they look more often. It is opened later than the bus is made."""
        self._database = database
        self._carrier = carrier
        self._configured = dict(settings or {})
        for topic in self._configured:
            topics.check(topic)
        self._default = Topic()
        self._clock = clock or Clock()
        self._lease = lease
        self.name = f"{socket.gethostname()}-{secrets.token_hex(6)}"
        self._composer = Composer(source, self.settings, models, None if carrier is None else carrier.route)
        self._main = _Side(database, writer, self._clock, self.settings, self.name, bell)
        self._memory: _Side | None = None
        self._memory_database: Memory | None = None
        self._subscriptions: list[Subscription] = []
        self._one_at_a_time = asyncio.Semaphore(1)

    def settings(self, topic: str) -> Topic:
        """The settings of a topic."""
        return self._configured.get(topic) or (_REPLIES if topic == REPLIES else self._default)

    async def open(self, *, alone: bool = False) -> None:
        """Begin.

        Args:
            alone: nobody else works on this database, so whoever still holds partitions is dead.
        """
        if any(topic.durability == "memory" for topic in self._configured.values()):
            self._memory_database = Memory()
            self._memory_database.hold()
            await asyncio.to_thread(self._memory_database.prepare)
            writer = Writer(self._memory_database)
            self._memory = _Side(self._memory_database, writer, self._clock, self.settings, self.name, None)
        if alone:
            await self._main.log.write(take_over)
        for side in self._sides():
            if side.log.shared:
                side.log.watch()
            side.retention.start()

    async def close(self, grace: float = 10.0) -> None:
        """Hand everything back. The writer that was given stays open."""
        await asyncio.gather(*(subscription.close(grace) for subscription in list(self._subscriptions)))
        for side in self._sides():
            await side.retention.close()
            await side.outgoing.close()
            await side.log.close()
        if self._memory is not None and self._memory_database is not None:
            await asyncio.to_thread(self._memory.log.writer.close)
            self._memory_database.release()

    async def __aenter__(self) -> Bus:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # publishing

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
        timeout: float = PATIENCE,
    ) -> Awaitable[Message]:
        """Publish a message; await it: the message has the topic's durability when this returns.

        A handler that is to publish if and only if its message is acknowledged uses `Delivery.publish`. Whoever is
        cancelled meanwhile does not know whether it was published; publishing it again under the same id is safe.

        Args:
            data: JSON values, bytes, a pydantic model, or a whole `Message`.
            id: names the message; the same id on the same topic is published once.
            deadline: after that it is not handled any more.
            timeout: seconds to wait for room.

        Raises:
            BusyError: there was no room; nothing was stored.
            UsageError: the topic does not take it.
            UnavailableError: the database did not take it.
        """
        message, entry = self._composer.compose(
            topic, data, key=key, id=id, type=type, subject=subject, deadline=deadline
        )
        return self._side(topic).outgoing.publish(message, entry, timeout)

    def put(
        self, transaction: Transaction, topic: str, data: Any, *, bounded: bool = False, **attributes: Any
    ) -> Message:
        """Publish with another operation of the service's writer, in its transaction: both happen, or none.

        Args:
            bounded: whether to refuse where the topic is full; it does not wait for room.
            attributes: those of `publish`, without a time-out.

        Raises:
            BusyError: there is no room.
            UsageError: the topic does not take it, or keeps its messages in memory.
        """
        if self.settings(topic).durability == "memory":
            raise UsageError(f"topic {topic!r} keeps its messages in memory; only a durable one takes part in this")
        message, entry = self._composer.compose(topic, data, **attributes)
        if bounded:
            check_room(transaction, entry.topic, self.settings(entry.topic).limit)
        self._main.log.put(transaction, [entry])
        return message

    def shape(self, topic: str, data: Any, *, type: str | None = None) -> tuple[str, Any]:
        """The type and the JSON form in which a topic takes a payload.

        Raises:
            UsageError: it does not take it.
        """
        return self._composer.schemas(topic).dump(type, data)

    async def request(
        self,
        topic: str,
        data: Any,
        *,
        key: str | None = None,
        type: str | None = None,
        subject: str | None = None,
        timeout: float = PATIENCE,
    ) -> Message:
        """Publish a message and wait for the reply to it: what a handler of it returns first.

        Inside a handler the wait ends with the deadline of the message that is being handled, whatever `timeout` says,
        and so it does for everybody who is asked in turn.

        Args:
            timeout: seconds to wait for room and for the reply.

        Raises:
            TimeoutError: there was no reply by then; the request is not started any more.
            BusyError, UsageError, UnavailableError: as of `publish`.
        """
        deadline = datetime.now(UTC) + timedelta(seconds=timeout)
        handled = HANDLED.get()
        if handled is not None and handled.deadline is not None:
            deadline = min(deadline, handled.deadline)
        side = self._side(topic)
        await side.replies.open()
        message, entry = self._composer.compose(
            topic, data, key=key, type=type, subject=subject, deadline=deadline, reply_to=side.replies.address
        )
        reply = side.replies.expect(message.id)
        try:
            left = (deadline - datetime.now(UTC)).total_seconds()
            async with asyncio.timeout(max(0.0, left)):
                await side.outgoing.publish(message, entry, max(0.0, left))
                return await reply
        except TimeoutError:
            raise TimeoutError(
                f"nobody answered request {message.id} on topic {topic!r} by {deadline.isoformat()}"
            ) from None
        finally:
            side.replies.forget(message.id)

    # consuming

    async def subscribe(
        self,
        topic: str,
        group: str,
        handler: Handler,
        *,
        concurrency: int = CONCURRENCY,
        timeout: float = TIMEOUT,
        start: Start = "earliest",
    ) -> Subscription:
        """Have a topic's messages handled, as a member of a consumer group: each message by one member of it.

        Args:
            concurrency: messages handled at once; those of one key always one after the other.
            timeout: seconds that the handler has for a message, unless it takes more with `Delivery.extend`.
            start: where a group that is new to the topic begins.

        Raises:
            UsageError: that is no name of a topic or a group, or the topic exists with other partitions.
        """
        topics.check(group)
        if concurrency < 1:
            raise UsageError(f"concurrency is {concurrency}; it must be at least 1")
        side = self._side(topic)
        subscription = Subscription(
            side.log,
            self.group_type(topic, group, f"{self.name}-{secrets.token_hex(3)}"),
            handler,
            self._composer,
            self.settings,
            Terms(concurrency, timeout, self._lease, start),
            elsewhere=lambda other: self._side(other) is not side,
            foreign=self._publish_all,
            one_at_a_time=self._one_at_a_time,
        )
        await subscription.open()
        self._subscriptions.append(subscription)
        if self._carrier is not None:
            self._carrier.follow(topic)
        return subscription

    async def create(self, topic: str) -> None:
        """See to it that a topic exists, wherever its messages go.

        Raises:
            UsageError: that is no name of a topic, or it exists with other partitions.
        """
        await self._side(topic).log.declare(topic)
        if self._carrier is not None and self.settings(topic).durability != "memory":
            await self._carrier.create(topic)

    @property
    def log(self) -> Log:
        """The log of the service's own database."""
        return self._main.log

    # inside

    def _sides(self) -> list[_Side]:
        return [side for side in (self._main, self._memory) if side is not None]

    def _side(self, topic: str) -> _Side:
        if self._memory is not None and self.settings(topic).durability == "memory":
            return self._memory
        return self._main

    async def _publish_all(self, foreign: Sequence[tuple[Message, Entry]]) -> None:
        await asyncio.gather(*(self._side(entry.topic).outgoing.append(message, entry) for message, entry in foreign))
