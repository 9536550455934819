"""The log: messages in partitions, appended once for a group of operations, handed on as soon as they are durable.

Whoever appends locks the heads of the partitions, all of them in one order and at the end of the group, so that offsets
have no gaps and appending processes never wait for each other in a circle. Messages are told to the listeners of this
process right after the commit; other processes find them by reading.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import Executable

from gatewright.agents.envelopes import Message
from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.clock import Clock
from gatewright.runtime.store import schema
from gatewright.runtime.store.bell import Bell
from gatewright.runtime.store.database import Database, Dialect
from gatewright.runtime.store.writer import Transaction, Writer, arrival

from . import topics
from .rowsets import rows, rowset
from .topics import Topic

T = TypeVar("T")

POLL = 0.1  # seconds between looks for what other processes have appended
LOOK = 2.0  # seconds, while the bell tells of it
RING = "topic:"
SCAN = 20_000  # numbers of messages looked at by one operation
READ_BYTES = 8 << 20  # after which a read takes no more
LARGEST = 1 << 20  # bytes of a message in JSON
LONGEST = 500  # characters of an id or a key; indexes hold them
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # in texts of CloudEvents 1.0 (its type system)

_MESSAGE = schema.Message.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_INSERT = sa.insert(_MESSAGE)
_KNOWN = sa.text("SELECT partitions FROM topic WHERE name = :topic")
_DECLARE = sa.text(
    "INSERT INTO topic (name, partitions, created_at) VALUES (:topic, :partitions, :now) ON CONFLICT DO NOTHING"
)
_BEGIN = sa.text("INSERT INTO head (topic, partition, next) VALUES (:topic, :part, 0) ON CONFLICT DO NOTHING")
_HEADS = sa.text("SELECT partition, next FROM head WHERE topic = :topic")
_DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql")
_READ = {
    dialect: sa.text(
        "WITH found AS (SELECT number, length(body) AS size FROM message "
        "WHERE topic = :topic AND number > :since AND number <= :last "
        f'AND "partition" IN (SELECT given."partition" FROM {rowset(dialect, partition="bigint")}) '
        "ORDER BY number LIMIT :most), "
        "sized AS (SELECT number, sum(size) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) - size AS before, "
        "count(*) OVER () AS together FROM found) "
        "SELECT message.*, sized.together FROM sized JOIN message ON message.number = sized.number "
        "WHERE sized.before < :bytes ORDER BY message.number"
    )
    for dialect in _DIALECTS
}
_NEWEST = sa.text("SELECT max(number) FROM message WHERE topic = :topic")
_NUMBERS: Mapping[Dialect, Executable] = {
    "sqlite": sa.text("SELECT coalesce(max(number), 0) + 1, :count FROM message"),
    "postgresql": sa.text("SELECT nextval('message_number_seq') FROM generate_series(1, :count)"),
}
_ALL_HEADS = {
    dialect: sa.text(
        f"SELECT head.topic, head.partition, head.next FROM {rowset(dialect, topic='text')} "
        "CROSS JOIN head WHERE head.topic = given.topic"
    )
    for dialect in _DIALECTS
}
_NOW = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)")
_SEEN: Mapping[Dialect, Executable] = {
    "sqlite": sa.text(
        f"SELECT message.topic, message.id FROM {rowset('sqlite', topic='text', id='text')} "
        "CROSS JOIN message ON message.topic = given.topic AND message.id = given.id"
    ),
    "postgresql": sa.text(
        f"SELECT message.topic, message.id FROM {rowset('postgresql', topic='text', id='text')} "
        "JOIN message ON message.topic = given.topic AND message.id = given.id"
    ),
}
_LOCK = sa.text(
    f"SELECT 1 FROM head JOIN {rowset('postgresql', topic='text', partition='bigint')} "
    "ON head.topic = given.topic AND head.partition = given.partition "
    "ORDER BY head.topic, head.partition FOR UPDATE OF head"
)


def _advance(dialect: Dialect) -> Executable:
    given = rowset(dialect, topic="text", partition="bigint", count="bigint")
    return sa.text(
        f"UPDATE head SET next = head.next + given.count FROM {given} "
        "WHERE head.topic = given.topic AND head.partition = given.partition "
        "RETURNING head.topic, head.partition, head.next"
    )


_ADVANCE: Mapping[Dialect, Executable] = {"sqlite": _advance("sqlite"), "postgresql": _advance("postgresql")}


class Entry(NamedTuple):
    """A message on its way into the log. `new` says that nobody can have published its id before."""

    topic: str
    id: str
    key: str | None
    body: bytes
    new: bool = True


class Row(NamedTuple):
    """A message in the log; `created_at` in microseconds since the epoch."""

    number: int
    topic: str
    partition: int
    offset: int
    id: str
    key: str | None
    body: bytes
    created_at: int


class Scan(NamedTuple):
    """What was found up to the number `last`; `complete` says that there is nothing above it."""

    rows: list[Row]
    last: int
    complete: bool


class Listener(Protocol):
    """Is told, on the event loop, of what is appended to a topic."""

    def appended(self, rows: Sequence[Row]) -> None:
        """Messages that this process has appended, in order."""

    def heads(self, heads: Mapping[int, int]) -> None:
        """How far partitions reach by now, whoever has appended."""


class Log:
    """The log in one database, for one event loop."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        settings: Callable[[str], Topic],
        bell: Bell | None = None,
    ) -> None:
        self.writer = writer
        self.clock = clock
        self.dialect: Dialect = database.dialect
        self.shared = database.shared
        self._settings = settings
        self._partitions: dict[str, int] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._loop = asyncio.get_running_loop()
        self._letters: deque[Callable[[], None]] = deque()
        self._called = False
        self._poller: asyncio.Task[None] | None = None
        self._look_now = asyncio.Event()
        self._bell = bell
        if bell is not None:
            bell.on(RING, lambda _: self._look_now.set())

    def watch(self) -> None:
        """Begin to look for what others append."""
        self._poller = asyncio.create_task(self._poll())

    async def close(self) -> None:
        """Look no more."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            self._look_now.clear()
            if self._listeners:
                try:
                    found = await self.write(self._everywhere)
                except UnavailableError:
                    found = {}  # who writes is told
                for topic, heads in found.items():
                    for listener in self._listeners.get(topic, ()):
                        listener.heads(heads)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK if self._bell is not None and self._bell.steady else POLL):
                    await self._look_now.wait()

    def _everywhere(self, transaction: Transaction) -> dict[str, dict[int, int]]:
        found: dict[str, dict[int, int]] = {}
        given = rows((topic,) for topic in list(self._listeners))
        for topic, part, head in transaction.all(_ALL_HEADS[self.dialect], given=given):
            found.setdefault(topic, {})[part] = head
        return found

    # topics

    async def declare(self, topic: str) -> int:
        """See to it that a topic exists; gives its number of partitions.

        Raises:
            UsageError: that is no name of a topic, or it exists with another number of partitions.
        """
        found = self._partitions.get(topic)
        if found is None:
            topics.check(topic)
            found = await self.write(partial(self._declare, topic=topic))
            self._partitions[topic] = found
        return found

    def _declare(self, transaction: Transaction, *, topic: str) -> int:
        wanted = self._settings(topic).partitions
        found = transaction.one(_KNOWN, topic=topic)
        if found is None:
            transaction.run(_DECLARE, topic=topic, partitions=wanted, now=self.clock.now())
            found = transaction.one(_KNOWN, topic=topic)
            assert found is not None
            for part in range(found[0]):
                transaction.run(_BEGIN, topic=topic, part=part)
        partitions: int = found[0]
        if partitions != wanted:
            raise UsageError(
                f"topic {topic!r} has {partitions} partitions and is configured with {wanted}; the number is fixed "
                f"when a topic is first used, since keys would change places: set [topics.{topic}] partitions = "
                f"{partitions}, or take another name"
            )
        return partitions

    # appending

    def put(self, transaction: Transaction, entries: Sequence[Entry]) -> None:
        """Append messages with the transaction, at the end of its group."""
        transaction.gather(self._append, entries)

    def _append(self, transaction: Transaction, entries: list[Entry]) -> Callable[[], None] | None:
        placed: dict[tuple[str, int], list[Entry]] = {}
        partitions, crc32, new, count, of = self._partitions, zlib.crc32, True, 0, ""
        for entry in entries:
            if entry.topic != of:
                of = entry.topic
                count = partitions.get(of) or self._declare(transaction, topic=of)
            place = (of, crc32((entry.key or entry.id).encode()) % count)
            if place in placed:
                placed[place].append(entry)
            else:
                placed[place] = [entry]
            new = new and entry.new
        if self.dialect == "postgresql":
            transaction.all(_LOCK, given=rows(placed))
        if not new:
            placed = self._unseen(transaction, placed)
            if not placed:
                return None
        given = rows((*place, len(found)) for place, found in placed.items())
        heads = {(topic, part): head for topic, part, head in transaction.all(_ADVANCE[self.dialect], given=given)}
        now, numbers = self.clock.now(), self._numbers(transaction, len(entries))
        appended: list[tuple[Any, ...]] = []
        for place, found in placed.items():
            topic, part = place
            offset = heads[place] - len(found)
            for (_, id, key, body, _), number in zip(found, numbers, strict=False):
                appended.append((number, topic, part, offset, id, key, body, now))
                offset += 1
        transaction.many(_INSERT, appended)
        return partial(self._committed, appended)

    def _numbers(self, transaction: Transaction, count: int) -> Iterator[int]:
        found = transaction.all(_NUMBERS[self.dialect], count=count)
        if self.dialect == "sqlite":
            return iter(range(found[0][0], found[0][0] + count))
        return iter(sorted(number for (number,) in found))

    def _unseen(
        self, transaction: Transaction, placed: dict[tuple[str, int], list[Entry]]
    ) -> dict[tuple[str, int], list[Entry]]:
        """What of it is not in the log yet; of an id that is given twice, the first."""
        asked = rows((entry.topic, entry.id) for found in placed.values() for entry in found if not entry.new)
        seen: set[tuple[str, str]] = set(transaction.all(_SEEN[self.dialect], given=asked))
        left: dict[tuple[str, int], list[Entry]] = {}
        for place, found in placed.items():
            for entry in found:
                if (entry.topic, entry.id) not in seen:
                    seen.add((entry.topic, entry.id))
                    left.setdefault(place, []).append(entry)
        return left

    # reading

    def read(self, transaction: Transaction, topic: str, parts: Iterable[int], since: int, most: int) -> Scan:
        """Up to `most` messages of some partitions with numbers above `since`, of the next `SCAN` numbers.

        As soon as they have `READ_BYTES` it stops.
        """
        given = rows((part,) for part in parts)
        values = {"topic": topic, "since": since, "last": since + SCAN, "given": given, "most": most}
        taken = transaction.all(_READ[self.dialect], **values, bytes=READ_BYTES)
        found = [Row._make(row[:-1]) for row in taken]
        if found and (len(found) < taken[-1][-1] or len(found) == most):
            return Scan(found, found[-1].number, False)
        last, newest = since + SCAN, self.newest(transaction, topic)
        return Scan(found, min(last, max(newest, since)), newest <= last)

    def newest(self, transaction: Transaction, topic: str) -> int:
        """The number of the newest message."""
        found = transaction.one(_NEWEST, topic=topic)
        return 0 if found is None or found[0] is None else int(found[0])

    def heads(self, transaction: Transaction, topic: str) -> dict[int, int]:
        """The offset that the next message of each partition gets."""
        return dict(transaction.all(_HEADS, topic=topic))

    def now(self, transaction: Transaction) -> int:
        """The time that all processes on this database agree on, in microseconds since the epoch."""
        if not self.shared:
            return self.clock.now()
        found = transaction.one(_NOW)
        assert found is not None
        now: int = found[0]
        return now

    def listen(self, topic: str, listener: Listener) -> None:
        """Tell this listener what is appended by this process."""
        self._listeners.setdefault(topic, []).append(listener)

    def unlisten(self, topic: str, listener: Listener) -> None:
        """Tell it no more."""
        self._listeners[topic].remove(listener)

    # between the writer's thread and the event loop

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """What an operation gives; it need not survive more than the process."""
        return await arrival(self.writer.submit(work, durability="process"))

    def later(self, future: Future[T], tell: Callable[[Future[T]], None]) -> None:
        """Call on the event loop when an operation is done; a group of operations wakes it once."""
        future.add_done_callback(lambda done: self._post(partial(tell, done)))

    def _committed(self, appended: list[tuple[Any, ...]]) -> None:
        self._post(partial(self._tell, appended))
        if self.shared and self._bell is not None:
            for topic in {row[1] for row in appended}:
                self._bell.ring(f"{RING}{topic}")

    def _tell(self, appended: list[tuple[Any, ...]]) -> None:
        by_topic: dict[str, list[Row]] = {}
        for row in map(Row._make, appended):
            if row.topic in by_topic:
                by_topic[row.topic].append(row)
            else:
                by_topic[row.topic] = [row]
        for topic, found in by_topic.items():
            for listener in self._listeners.get(topic, ()):
                listener.appended(found)

    def _post(self, letter: Callable[[], None]) -> None:
        """Called by the writer's thread."""
        self._letters.append(letter)
        if not self._called:  # set back before the letters are taken out, so that none is left behind
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._called = False
        while self._letters:
            self._letters.popleft()()


def entry(topic: str, message: Message, *, new: bool) -> Entry:
    """A message for the log.

    Raises:
        UsageError: it is too large, no JSON, or its id or key cannot be stored.
    """
    if message.key is not None:
        _check(topic, "key", message.key)
    if not new:
        _check(topic, "id", message.id)
    body = message.to_json()
    if len(body) > LARGEST:
        raise UsageError(
            f"message {message.id!r} for topic {topic!r} has {len(body)} bytes; at most {LARGEST} are taken: keep "
            "large values elsewhere and publish their address"
        )
    return Entry(topic, message.id, message.key, body, new)


def _check(topic: str, name: str, text: object) -> None:
    if not isinstance(text, str):
        raise UsageError(f"a message for topic {topic!r} has the {name} {text!r}; take a text")
    if len(text) > LONGEST or _FORBIDDEN.search(text) is not None:
        raise UsageError(
            f"a message for topic {topic!r} has the {name} {text[:80]!r} of {len(text)} characters; take at most "
            f"{LONGEST}, without control characters"
        )
