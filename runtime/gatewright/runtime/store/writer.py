"""The one writer of a database: every change is an operation, and operations are committed in groups.

Operations wait in a queue while the disk is busy; whatever has gathered by then shares one transaction and one fsync.
So a single caller pays one commit, and a hundred callers pay hardly more. When an operation raises, only its own
changes are undone and only its own caller is told: the group is rolled back and carried out again, now with a savepoint
for each operation. So an operation may be called twice, and changes nothing but its transaction.

Statements are few and large: the driver gives up the interpreter's lock for each one and then queues for it behind the
event loop, which costs more than SQLite does. Hence no savepoints where nothing fails, and rows inserted together.
"""

from __future__ import annotations

import asyncio
import queue
import re
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import Executable

from gatewright.agents.errors import GatewrightError, UnavailableError
from gatewright.safety.ledger import merkle

from . import schema
from .database import Database

T = TypeVar("T")

LARGEST_GROUP = 512  # operations
LINGER = 0.005  # seconds that an operation nobody waits for may stay in memory
LARGEST_INSERT = 64  # rows of one statement; the widest has 14 columns, and SQLite takes 32,766 parameters
_VALUES = re.compile(r"VALUES (\((?:\?, )*\?\))")


class Leaf(NamedTuple):
    """A record on its way into the ledger."""

    kind: str
    run_id: str | None
    case_id: str | None
    body: bytes


class Seal(NamedTuple):
    """A value that a record only commits to."""

    field: str
    type: str
    value: bytes
    salt: bytes


class Compiled(NamedTuple):
    """SQL text, the names of its parameters in order, and the values that the clause itself fixes."""

    clause: Executable
    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    def of_rows(self, count: int) -> str:
        """The text that inserts `count` rows at once."""
        found = _VALUES.search(self.text)
        if found is None:
            raise ValueError(f"{self.text!r} inserts no rows by parameters")
        return f"{self.text[: found.end()]}{f', {found[1]}' * (count - 1)}{self.text[found.end() :]}"

    @property
    def table(self) -> str:
        """The table that it inserts into."""
        return self.text.split(maxsplit=3)[2]


class Statements:
    """SQL compiled once for a dialect: SQLAlchemy writes it, the driver runs it without SQLAlchemy's per-call cost."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self._compiled: dict[int, Compiled] = {}
        self._of_rows: dict[tuple[int, int], str] = {}

    def compile(self, clause: Executable) -> Compiled:
        """The SQL of a clause, which must live as long as the process (a module-level constant)."""
        found = self._compiled.get(id(clause))
        if found is None:
            compiled = clause.compile(dialect=self._dialect)  # type: ignore[attr-defined]  # every Core clause has it
            names = tuple(compiled.positiontup or compiled.params)
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._compiled[id(clause)] = Compiled(clause, str(compiled), names, fixed)
        return found

    def of_rows(self, compiled: Compiled, count: int) -> str:
        """The SQL that inserts `count` rows at once."""
        key = (id(compiled.clause), count)
        found = self._of_rows.get(key)
        if found is None:
            found = self._of_rows[key] = compiled.of_rows(count)
        return found


class Transaction:
    """What an operation works with. Statements are module-level constants, so that each is compiled once."""

    def __init__(self, cursor: Any, statements: Statements, tail: merkle.Frontier) -> None:
        self._cursor = cursor
        self._statements = statements
        self._base = tail.size
        self._postponed: tuple[Compiled, list[list[Any]]] | None = None
        self.leaves: list[tuple[Leaf, Sequence[Seal]]] = []

    def run(self, clause: Executable, /, **values: Any) -> int:
        """Execute; gives the number of rows that changed."""
        compiled = self._statements.compile(clause)
        if self._postponed is not None and self._postponed[0].table in compiled.text:
            self.flush()
        if compiled.fixed:
            values = {**compiled.fixed, **values}
        self._cursor.execute(compiled.text, [values[name] for name in compiled.names])
        changed: int = self._cursor.rowcount
        return changed

    def insert(self, clause: Executable, /, **values: Any) -> int:
        """Insert a row; gives the number that the database gave it."""
        self.run(clause, **values)
        number: int = self._cursor.lastrowid
        return number

    def many(self, clause: Executable, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, each in the order of the statement's columns."""
        compiled = self._statements.compile(clause)
        done = 0
        while done < len(rows):
            count = min(LARGEST_INSERT, 1 << (len(rows) - done).bit_length() - 1)  # few texts, which SQLite keeps
            parameters = [value for row in rows[done : done + count] for value in row]
            self._cursor.execute(self._statements.of_rows(compiled, count), parameters)
            done += count

    def postpone(self, clause: Executable, /, **values: Any) -> None:
        """Insert a row later, together with others: before the next statement on its table, or with the group."""
        compiled = self._statements.compile(clause)
        if self._postponed is None or self._postponed[0] is not compiled:
            self.flush()
            self._postponed = (compiled, [])
        self._postponed[1].append([values[name] for name in compiled.names])

    def forget(self, leaves: int) -> None:
        """Drop what an operation postponed, and its records: all but the first `leaves`."""
        self._postponed = None
        del self.leaves[leaves:]

    def flush(self) -> None:
        """Insert what was postponed."""
        if self._postponed is not None:
            (compiled, rows), self._postponed = self._postponed, None
            self.many(compiled.clause, rows)

    def one(self, clause: Executable, /, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""
        self.run(clause, **values)
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row

    def all(self, clause: Executable, /, **values: Any) -> list[tuple[Any, ...]]:
        """All rows."""
        self.run(clause, **values)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def raw(self, text: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute SQL that somebody else wrote for this database (LangGraph's checkpointer), once for each row."""
        self._cursor.executemany(text, rows)

    def append(self, leaf: Leaf, seals: Sequence[Seal] = ()) -> int:
        """Append a record to the ledger; gives its position. It is there when the group is committed."""
        self.leaves.append((leaf, seals))
        return self._base + len(self.leaves) - 1


class _Failed(Exception):
    """An operation of a group raised."""


class _Mailbox:
    """Results on their way to an event loop: one wake-up brings all that a group gave."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._letters: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._called = False

    def post(self, waiter: asyncio.Future[Any], done: Future[Any]) -> None:
        """Called by the thread that made the result."""
        self._letters.append((waiter, done))
        if not self._called:  # set back before the letters are taken out, so that none is left behind
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._called = False
        while self._letters:
            waiter, done = self._letters.popleft()
            if waiter.done():  # whoever waited has been cancelled
                continue
            if (error := done.exception()) is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())


_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()


async def arrival(future: Future[T]) -> T:
    """What a submitted operation gave. Unlike `asyncio.wrap_future`, a group of them wakes the event loop once."""
    loop = asyncio.get_running_loop()
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = _Mailbox(loop)
    waiter: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(partial(mailbox.post, waiter))
    return await waiter


class _Operation(NamedTuple):
    work: Callable[[Transaction], Any]
    future: Future[Any]


_INSERT_LEAF = sa.insert(schema.Leaf.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_INSERT_PLACE = sa.insert(schema.Place.__table__)  # type: ignore[attr-defined]
_INSERT_NODE = sa.insert(schema.Node.__table__)  # type: ignore[attr-defined]
_INSERT_SEALED = sa.insert(schema.Sealed.__table__)  # type: ignore[attr-defined]


class Writer:
    """A thread that owns the writing connection and the ledger's right edge."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = database.connect()
        self._statements = Statements(self._engine.dialect)
        self._queue: queue.SimpleQueue[list[_Operation] | None] = queue.SimpleQueue()
        self._behind: list[_Operation] = []  # nobody waits for these: they go with the next urgent one
        self._raw = self._engine.raw_connection()
        self._cursor = self._raw.cursor()
        self.tail = self._restore()
        self.groups = 0
        self.operations = 0
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="gatewright-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Transaction], T], *, urgent: bool = True) -> Future[T]:
        """Run `work` in the next group; the future is done when the group is durable.

        Nobody waits for what is not `urgent`: it goes to the disk with the next urgent operation, at the latest after
        `LINGER` seconds, and keeps its place in the order.

        The future raises what `work` raised, or UnavailableError when the database refused the whole group (full
        disk): then nothing of it happened. What has been submitted is carried out: whoever waits for the future may
        stop waiting, but cannot take the operation back.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # else a waiting task that is cancelled would cancel it
        with self._lock:  # nothing may be queued behind the end
            if not self._closed:
                self._behind.append(_Operation(work, future))
                if urgent:
                    self._pass_on()
                elif len(self._behind) == 1:
                    self._pass_on_later()
                return future
        future.set_exception(UnavailableError("the service is closing; send the request again when it is back"))
        return future

    def _pass_on(self) -> None:
        """Hand what was submitted to the thread, in its order; the caller has the lock."""
        if self._behind:
            self._queue.put(self._behind)
            self._behind = []

    def _pass_on_later(self) -> None:
        """See to it that the thread gets what nobody waits for: from the event loop, without waking the thread now."""
        try:
            asyncio.get_running_loop().call_later(LINGER, self._linger_over)
        except RuntimeError:  # not on an event loop: the thread waits instead
            self._queue.put([])

    def _linger_over(self) -> None:
        with self._lock:
            if not self._closed:
                self._pass_on()

    def close(self) -> None:
        """Finish what was submitted and give the connection back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._pass_on()
            self._queue.put(None)  # nothing comes after it
        self._thread.join()
        self._raw.close()
        self._engine.dispose()

    def _restore(self) -> merkle.Frontier:
        size: int = self._cursor.execute("SELECT coalesce(max(position) + 1, 0) FROM place").fetchone()[0]

        def node(level: int, index: int) -> bytes:
            query = (
                ("SELECT hash FROM place WHERE position = ?", (index,))
                if level == 0
                else ("SELECT hash FROM node WHERE level = ? AND position = ?", (level, index))
            )
            found: bytes = self._cursor.execute(*query).fetchone()[0]
            return found

        return merkle.Frontier.restore(size, node)

    def _next(self) -> list[_Operation] | None:
        """What is to be committed next, in the order of submission; None at the end."""
        group = self._queue.get()
        while group is not None and not group:  # something nobody waits for was submitted by a thread without a loop
            try:
                group = self._queue.get(timeout=LINGER)
            except queue.Empty:
                self._linger_over()
                group = self._queue.get()
        return group

    def _work(self) -> None:
        while (group := self._next()) is not None:
            closing = False
            while len(group) < LARGEST_GROUP:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    closing = True
                    break
                group += following
            self._commit(group)
            if closing:
                return

    def _commit(self, group: list[_Operation]) -> None:
        results: list[tuple[_Operation, Any]] = []
        failures: list[tuple[_Operation, BaseException]] = []
        tail = self.tail.copy()
        try:
            try:
                results = self._together(group, tail)
            except _Failed:
                tail = self.tail.copy()
                results, failures = self._each(group, tail)
            self._cursor.execute("COMMIT")
        except BaseException as error:
            with suppress(Exception):  # no transaction is open any more: SQLite rolled back by itself
                self._cursor.execute("ROLLBACK")
            refused = self._translate(error)
            for operation in group:
                operation.future.set_exception(refused)
            return
        self.tail = tail  # what readers see of the ledger is what is durable
        self.groups += 1
        self.operations += len(group)
        for operation, failure in failures:
            operation.future.set_exception(failure)
        for operation, value in results:
            operation.future.set_result(value)

    def _together(self, group: list[_Operation], tail: merkle.Frontier) -> list[tuple[_Operation, Any]]:
        """Carry out a group in which nothing fails.

        Raises:
            _Failed: something did, and all of it has been rolled back.
        """
        self._cursor.execute("BEGIN IMMEDIATE")
        transaction = Transaction(self._cursor, self._statements, tail)
        try:
            results = [(operation, operation.work(transaction)) for operation in group]
            transaction.flush()
        except BaseException as error:
            if not self._in_transaction():  # SQLite gave up the whole group (full disk, I/O error)
                raise
            self._cursor.execute("ROLLBACK")
            raise _Failed from error
        _extend(transaction, tail)
        return results

    def _each(
        self, group: list[_Operation], tail: merkle.Frontier
    ) -> tuple[list[tuple[_Operation, Any]], list[tuple[_Operation, BaseException]]]:
        """Carry out a group in which something fails: gives what succeeded and what did not."""
        cursor = self._cursor
        results: list[tuple[_Operation, Any]] = []
        failures: list[tuple[_Operation, BaseException]] = []
        cursor.execute("BEGIN IMMEDIATE")
        transaction = Transaction(cursor, self._statements, tail)
        for operation in group:
            leaves = len(transaction.leaves)
            cursor.execute("SAVEPOINT operation")
            try:
                value = operation.work(transaction)
                transaction.flush()
            except BaseException as error:
                if not self._in_transaction():
                    raise
                transaction.forget(leaves)
                cursor.execute("ROLLBACK TO operation")
                failures.append((operation, self._translate(error)))
            else:
                results.append((operation, value))
            cursor.execute("RELEASE operation")
        _extend(transaction, tail)
        return results, failures

    def _in_transaction(self) -> bool:
        connection = cast("sqlite3.Connection", self._raw.driver_connection)
        return connection.in_transaction

    def _translate(self, error: BaseException) -> BaseException:
        driver_error = isinstance(error, Exception) and type(error).__module__.startswith(("sqlite3", "psycopg"))
        if isinstance(error, GatewrightError) or not driver_error or "constraint" in str(error).lower():
            return error
        assert isinstance(error, Exception)
        return self._database.unavailable(error)


def _extend(transaction: Transaction, tail: merkle.Frontier) -> None:
    """Put the group's records into the tree: rows of leaves, places, the nodes they complete, and sealed values."""
    if not transaction.leaves:
        return
    leaves: list[tuple[Any, ...]] = []
    places: list[tuple[Any, ...]] = []
    nodes: list[tuple[Any, ...]] = []
    sealed: list[tuple[Any, ...]] = []
    for leaf, seals in transaction.leaves:
        position = tail.size
        completed = tail.append(merkle.leaf_hash(leaf.body))
        leaves.append((position, *leaf))
        places.append((position, position, completed[0].hash))
        nodes.extend(completed[1:])
        sealed.extend((position, *seal) for seal in seals)
    transaction.many(_INSERT_LEAF, leaves)
    transaction.many(_INSERT_PLACE, places)
    if nodes:
        transaction.many(_INSERT_NODE, nodes)
    if sealed:
        transaction.many(_INSERT_SEALED, sealed)
