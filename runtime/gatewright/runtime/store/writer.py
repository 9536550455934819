"""The one writer of a database: every change is an operation, and operations are committed in groups.

Operations wait in a queue while the disk is busy; whatever has gathered by then shares one transaction and one fsync.
So a single caller pays one commit, and a hundred callers pay hardly more. When an operation raises, only its own
changes are undone and only its own caller is told: the group is rolled back and carried out again, now with a savepoint
for each operation. So an operation may be called several times, and changes nothing but its transaction.

PostgreSQL may go away, and come back. What was under way is carried out again then, unless it had been committed when
the connection was lost: the session knows how to find out. There, other processes write too: rows are locked, and a
group that others stand in the way of (deadlock) is rolled back and its operations are committed one by one.

Statements are few and large: the driver gives up the interpreter's lock for each one and then queues for it behind the
event loop, which costs more than SQLite does. Hence no savepoints where nothing fails, and rows inserted together.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Executable

from gatewright.agents.errors import UnavailableError
from gatewright.safety.ledger import merkle

from . import appending
from .appending import Appended, Ids, Leaf, Seal
from .database import Database, Dialect
from .sessions import Session, open_session
from .statements import Compiled

T = TypeVar("T")
Durability = Literal["disk", "process"]

LARGEST_GROUP = 512  # operations
LINGER = 0.005  # seconds that an operation nobody waits for may stay in memory
MOST_WAITING = 20_000  # operations in memory
PATIENCE = 10.0  # seconds to wait for a database that is away, before callers are told
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between attempts to connect
TRIALS = 5  # of a group whose connection is lost, or of an operation that others stand in the way of
CONTENTION_PAUSE = 0.005  # seconds, at most, before the second trial; doubled before each further one
LARGEST_INSERT = 64  # rows of one statement; the widest has 14 columns, and SQLite takes 32,766 parameters


class Transaction:
    """What an operation works with. Statements are module-level constants, so that each is compiled once."""

    def __init__(self, session: Session, ids: Ids, tail: merkle.Frontier) -> None:
        self.dialect: Dialect = session.dialect
        self._cursor = session.cursor
        self._statements = session.statements
        self._ids = ids
        self._base = tail.size
        self._postponed: tuple[Compiled, list[list[Any]]] | None = None
        self._gathered: dict[Gatherer, list[Any]] = {}
        self.leaves: list[Appended] = []
        self.fenced: set[str] = set()  # runs that are known to be held by this process until the transaction ends
        self.going: set[str] = set()  # deployments that nobody can pause before it ends
        self.queued = False  # whether a run can be claimed since one of the operations
        self.lost: dict[str, BaseException] = {}  # threads of which a checkpoint could not be saved, for those behind
        self.tells: list[Callable[[], None]] = []

    def run(self, clause: Executable, /, **values: Any) -> int:
        """Execute; gives the number of rows that changed."""
        self._execute(self._statements.compile(clause), values)
        changed: int = self._cursor.rowcount
        return changed

    def insert(self, clause: Executable, /, **values: Any) -> int:
        """Insert a row; gives the number that the database gave it."""
        self._execute(self._statements.numbered(clause), values)
        number: int = self._cursor.lastrowid if self.dialect == "sqlite" else self._cursor.fetchone()[0]
        return number

    def _execute(self, compiled: Compiled, values: dict[str, Any]) -> None:
        if self._postponed is not None and self._postponed[0].table in compiled.text:
            self.flush()
        if compiled.fixed:
            values = {**compiled.fixed, **values}
        self._cursor.execute(compiled.text, [values[name] for name in compiled.names])

    def many(self, clause: Executable, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, each in the order of the statement's columns."""
        compiled = self._statements.compile(clause)
        done = 0
        while done < len(rows):
            count = min(LARGEST_INSERT, 1 << (len(rows) - done).bit_length() - 1)  # few texts, which SQLite keeps
            parameters = [value for row in rows[done : done + count] for value in row]
            self._cursor.execute(self._statements.of_rows(compiled, count), parameters)
            done += count

    def each(self, clause: Executable, rows: Sequence[Sequence[Any]]) -> int:
        """Execute once for each row of values, in the order of the statement's parameters; gives the number of rows
        that changed."""
        self.flush()
        self._cursor.executemany(self._statements.compile(clause).text, rows)
        changed: int = self._cursor.rowcount
        return changed

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
        self._gathered = {}
        self.fenced.clear()  # with the operation, its locks are gone
        self.going.clear()
        del self.leaves[leaves:]

    def flush(self) -> None:
        """Insert what was postponed."""
        if self._postponed is not None:
            (compiled, rows), self._postponed = self._postponed, None
            self.many(compiled.clause, rows)

    def gather(self, gatherer: Gatherer, items: Sequence[Any]) -> None:
        """Leave work for the end of the group, where `gatherer` does it for all operations at once."""
        self._gathered.setdefault(gatherer, []).extend(items)

    def finish(self) -> None:
        """Do what was left for the end."""
        self.flush()
        gathered, self._gathered = self._gathered, {}
        in_order = sorted(gathered.items(), key=lambda work: work[0].__qualname__)  # of all writers, as they lock rows
        tells = [gatherer(self, items) for gatherer, items in in_order]
        self.flush()
        self.tells += [tell for tell in tells if tell is not None]

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
        if len(rows) == 1:
            self._cursor.execute(text, rows[0])
        elif rows:
            self._cursor.executemany(text, rows)

    def append(self, leaf: Leaf, seals: Sequence[Seal] = ()) -> int:
        """Append a record to the ledger; gives its id. It is there when the group is committed."""
        id = self._base + len(self.leaves) if self.dialect == "sqlite" else self._ids.take(self._cursor)
        self.leaves.append(Appended(id, leaf, seals))
        return id

    def sealed(self, id: int, field: str) -> Seal | None:
        """A value of a record that this group has appended: its row comes at the group's end."""
        seals = next((appended.seals for appended in self.leaves if appended.id == id), ())
        return next((seal for seal in seals if seal.field == field), None)


Gatherer = Callable[[Transaction, list[Any]], Callable[[], None] | None]
"""Does with one call what several operations have left to it; gives what to call when that is durable, in the
writer's thread."""


class _Failed(Exception):
    """An operation of a group raised."""


class _Contended(Exception):
    """Other transactions stood in the way of a group of several operations: each is to be tried by itself."""


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
    durable: bool


class _Outcome(NamedTuple):
    """What a group has come to."""

    results: list[tuple[_Operation, Any]]
    failures: list[tuple[_Operation, BaseException]]
    tells: Sequence[Callable[[], None]] = ()


class Writer:
    """A thread that owns the writing connection and the ledger's right edge."""

    def __init__(self, database: Database) -> None:
        self._session = open_session(database)
        self._database = database
        self._queue: queue.SimpleQueue[list[_Operation] | None] = queue.SimpleQueue()
        self._ids = Ids()
        self._behind: list[_Operation] = []  # nobody waits for these: they go with the next urgent one
        self._handed = 0  # how often they have gone: a timer that was set for earlier ones does not end this wait
        self._waiting = 0
        self._away: UnavailableError | None = None
        self.tail = self._restore() if database.dialect == "sqlite" else merkle.Frontier()
        self.groups = 0
        self.operations = 0
        self._closed = False
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="gatewright-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        work: Callable[[Transaction], T],
        *,
        urgent: bool = True,
        durability: Durability = "disk",
    ) -> Future[T]:
        """Run `work` in the next group; the future is done when the group is durable.

        Nobody waits for what is not `urgent`: it goes to the disk with the next urgent operation, at the latest after
        `LINGER` seconds, and keeps its place in the order.

        The future raises what `work` raised, or UnavailableError when the database refused the whole group (full
        disk), has been away for `PATIENCE` seconds, or `MOST_WAITING` operations wait for it: then nothing of it
        happened. Where the database went away while it committed, and nobody can say whether it did, the future waits
        until it is back: then the operation has happened, or is carried out. What has been submitted is carried out:
        whoever waits for the future may stop waiting, but cannot take the operation back.

        Args:
            durability: what it survives. `disk`: the machine's end. `process`: the process' end; the machine may
                forget the last moments. A group is as durable as any of its operations needs.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # else a waiting task that is cancelled would cancel it
        with self._lock:  # nothing may be queued behind the end
            refusal = self._refusal()
            if refusal is None:
                self._waiting += 1
                self._behind.append(_Operation(work, future, durability == "disk"))
                if urgent:
                    self._pass_on()
                elif len(self._behind) == 1:
                    self._pass_on_later()
                return future
        future.set_exception(refusal)
        return future

    def _refusal(self) -> UnavailableError | None:
        if self._closed:
            return UnavailableError("the service is closing; send the request again when it is back")
        if self._waiting >= MOST_WAITING:
            return UnavailableError(
                f"{self._waiting} changes wait for {self._database.place!r} already; send the request again later"
            )
        return self._away

    def _pass_on(self) -> None:
        """Hand what was submitted to the thread, in its order; the caller has the lock."""
        if self._behind:
            self._queue.put(self._behind)
            self._behind = []
            self._handed += 1

    def _pass_on_later(self) -> None:
        """See to it that the thread gets what nobody waits for: from the event loop, without waking the thread now."""
        try:
            asyncio.get_running_loop().call_later(LINGER, self._linger_over, self._handed)
        except RuntimeError:  # not on an event loop: the thread waits instead
            self._queue.put([])

    def _linger_over(self, handed: int) -> None:
        with self._lock:
            if not self._closed and handed == self._handed:
                self._pass_on()

    def close(self) -> None:
        """Finish what was submitted and give the connection back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._pass_on()
            self._queue.put(None)  # nothing comes after it
        self._closing.set()
        self._thread.join()
        self._session.close()

    def _restore(self) -> merkle.Frontier:
        size: int = self._session.cursor.execute("SELECT coalesce(max(position) + 1, 0) FROM place").fetchone()[0]

        def node(level: int, index: int) -> bytes:
            query = (
                ("SELECT hash FROM place WHERE position = ?", (index,))
                if level == 0
                else ("SELECT hash FROM node WHERE level = ? AND position = ?", (level, index))
            )
            found: bytes = self._session.cursor.execute(*query).fetchone()[0]
            return found

        return merkle.Frontier.restore(size, node)

    def _next(self) -> list[_Operation] | None:
        """What is to be committed next, in the order of submission; None at the end."""
        group = self._queue.get()
        while group is not None and not group:  # something nobody waits for was submitted by a thread without a loop
            try:
                group = self._queue.get(timeout=LINGER)
            except queue.Empty:
                self._linger_over(self._handed)
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
                if not following:  # as in `_next`; it comes at the end of the queue, and may go with this group
                    self._linger_over(self._handed)
                group += following
            self._commit(group)
            if closing:
                return
            while self._away is not None and not self._closing.is_set():
                with suppress(UnavailableError):
                    self._return(committing=False)

    def _commit(self, group: list[_Operation]) -> None:
        """Carry out a group, and tell its callers when it is durable."""
        try:
            outcome = self._durably(group)
        except _Contended:
            for operation in group:
                self._commit([operation])
            return
        except BaseException as error:
            outcome = _Outcome([], [(operation, self._session.translate(error)) for operation in group])
        else:
            self.groups += 1
            self.operations += len(group)
        with self._lock:
            self._waiting -= len(group)
        for tell in outcome.tells:
            tell()
        for operation, failure in outcome.failures:
            operation.future.set_exception(failure)
        for operation, value in outcome.results:
            operation.future.set_result(value)

    def _durably(self, group: list[_Operation]) -> _Outcome:
        """Carry out a group and commit it; again where others stood in the way, or the connection was lost."""
        session, trial = self._session, 0
        while True:
            trial += 1
            tail = self.tail.copy()
            outcome: _Outcome | None = None
            try:
                session.begin(durable=any(operation.durable for operation in group))
                try:
                    outcome = self._together(group, tail)
                except _Failed:
                    outcome = self._each(group, tail)
                session.commit()
            except BaseException as error:
                if session.lost:
                    if not self._return(committing=outcome is not None) or outcome is None:
                        if trial == TRIALS:
                            raise
                        continue
                else:
                    session.rollback()
                    if not session.contended(error) or trial == TRIALS:
                        raise
                    if len(group) > 1:
                        raise _Contended from error
                    time.sleep(random.uniform(0, CONTENTION_PAUSE * 2**trial))
                    continue
            self.tail = tail  # what readers see of the ledger is what is durable
            return outcome

    def _together(self, group: list[_Operation], tail: merkle.Frontier) -> _Outcome:
        """Carry out a group in which nothing fails.

        Raises:
            _Failed: something did; all of it has been rolled back, and a transaction is begun anew.
        """
        session = self._session
        transaction = Transaction(session, self._ids, tail)
        try:
            results = [(operation, operation.work(transaction)) for operation in group]
            transaction.finish()
        except BaseException as error:
            if not session.in_transaction or session.contended(error):
                raise  # the database gave up the whole group (full disk, I/O error, lost connection)
            session.rollback()
            session.begin(durable=any(operation.durable for operation in group))
            raise _Failed from error
        self._append(transaction, tail)
        return _Outcome(results, [], transaction.tells)

    def _each(self, group: list[_Operation], tail: merkle.Frontier) -> _Outcome:
        """Carry out a group in which something fails: gives what succeeded and what did not."""
        session = self._session
        cursor = session.cursor
        outcome = _Outcome([], [])
        transaction = Transaction(session, self._ids, tail)
        for operation in group:
            leaves = len(transaction.leaves)
            cursor.execute("SAVEPOINT operation")
            try:
                value = operation.work(transaction)
                transaction.finish()
            except BaseException as error:
                if not session.in_transaction or session.contended(error):
                    raise
                transaction.forget(leaves)
                cursor.execute("ROLLBACK TO operation")
                outcome.failures.append((operation, session.translate(error)))
            else:
                outcome.results.append((operation, value))
            cursor.execute("RELEASE operation")
        self._append(transaction, tail)
        return outcome._replace(tells=transaction.tells)

    def _append(self, transaction: Transaction, tail: merkle.Frontier) -> None:
        if self._session.dialect == "sqlite":
            appending.integrate(transaction, tail)
        else:
            appending.leave(transaction)

    def _return(self, *, committing: bool) -> bool:
        """Wait until the database is there again; gives whether the last transaction had been committed.

        Raises:
            UnavailableError: it stays away, and nothing happened; or it was `committing`, and the writer is closed
                before anybody can say what happened.
        """
        since, pause = time.monotonic(), SHORTEST_PAUSE
        while True:
            try:
                committed = self._session.reconnect()
                self._away = None
                return committed
            except Exception as error:
                refusal = self._database.unavailable(error)
            if self._closing.is_set():
                raise UnavailableError(f"{refusal}; what was being written may have happened, or not") from refusal
            if time.monotonic() - since > PATIENCE:
                self._refuse(refusal)
                if not committing:
                    raise refusal
            self._closing.wait(random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _refuse(self, refusal: UnavailableError) -> None:
        """Tell those who wait, and whoever comes until the database is back, that it is away."""
        with self._lock:
            self._away = refusal
            refused, self._behind = self._behind, []
            with suppress(queue.Empty):
                while (group := self._queue.get_nowait()) is not None:
                    refused += group
                self._queue.put(None)  # the end stays the end
            self._waiting -= len(refused)
        for operation in refused:
            operation.future.set_exception(refusal)
