"""The writing connection of a process: how its transactions begin and end, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from gatewright.agents.errors import GatewrightError, UsageError

from .database import Database, Dialect
from .statements import Statements

if TYPE_CHECKING:
    import psycopg


_FORGOTTEN = 7 * 24 * 3600 * 1_000_000  # microseconds after which a row in table `commit` is a dead process'


class Session(ABC):
    """One connection. Only the writer's thread uses it.

    `cursor` changes when the connection does.
    """

    dialect: Dialect
    cursor: Any

    def __init__(self, database: Database) -> None:
        self.dialect = database.dialect
        self._database = database
        self._engine = database.connect()
        self.statements = Statements(self._engine.dialect)
        self._raw = self._engine.raw_connection()

    @abstractmethod
    def begin(self, *, durable: bool) -> None:
        """Begin a transaction; one that is not `durable` survives the process, but not the machine."""

    def commit(self) -> None:
        """Commit; the transaction is over, or the connection is `lost`, or it must be rolled back."""
        self.cursor.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if one is still open."""
        with suppress(Exception):  # it is over: the database rolled back by itself
            self.cursor.execute("ROLLBACK")

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open: not if the database gave it up by itself."""

    @property
    def lost(self) -> bool:
        """Whether the connection is gone, and its transaction with it."""
        return False

    def contended(self, error: BaseException) -> bool:
        """Whether another transaction stood in the way, so that the same may succeed when it is done again."""
        del error
        return False

    def reconnect(self) -> bool:
        """Connect again; gives whether the last transaction that was begun had been committed.

        Raises:
            Exception: the driver's, if the database is still away.
        """
        raise NotImplementedError(f"a connection to {self._database.place!r} is not lost")

    def translate(self, error: BaseException) -> BaseException:
        """What the caller of an operation is told instead of a driver's error."""
        driver_error = isinstance(error, Exception) and type(error).__module__.startswith(("sqlite3", "psycopg"))
        if isinstance(error, GatewrightError) or not driver_error or "constraint" in str(error).lower():
            return error
        assert isinstance(error, Exception)
        return self._database.unavailable(error)

    def close(self) -> None:
        """Give the connection back."""
        with suppress(Exception):  # it may be lost
            self._raw.close()
        self._engine.dispose()


class SQLiteSession(Session):
    """Holds the file's write lock from `begin` on, so that nothing stands in its way."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._connection = cast("sqlite3.Connection", self._raw.driver_connection)
        self.cursor = self._connection.cursor()
        self._durable = True  # as `Database.connect` leaves it

    def begin(self, *, durable: bool) -> None:
        if durable != self._durable:
            self.cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self.cursor.execute("BEGIN IMMEDIATE")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction


class PostgreSQLSession(Session):
    """Every transaction begins by counting itself in the row of table `commit` that is this session's.

    If the connection is lost while a transaction is being committed, the count says whether it was: the row is locked
    from `begin` on, so who asks waits until the server has settled the transaction, even if its process hangs.
    """

    _CONTENDED = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._id = uuid4().hex
        self._number = 0
        self._adopt()
        self.cursor.execute("DELETE FROM commit WHERE at < %s", [_now() - _FORGOTTEN])

    def begin(self, *, durable: bool) -> None:
        self._number += 1
        setting = "" if durable else "SET LOCAL synchronous_commit = off; "
        from psycopg.errors import ReadOnlySqlTransaction

        try:
            self.cursor.execute(f"BEGIN; {setting}{self._count(self._number)}", prepare=False)  # one round trip
        except ReadOnlySqlTransaction:  # the server is a standby by now: connect again, to the primary
            self._connection.close()
            raise

    def commit(self) -> None:
        self.cursor.execute("COMMIT", prepare=False)
        if self.cursor.statusmessage != "COMMIT":
            from psycopg.errors import InFailedSqlTransaction

            raise InFailedSqlTransaction("an operation went on after an error of the database")

    @property
    def in_transaction(self) -> bool:
        from psycopg.pq import TransactionStatus

        return self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    @property
    def lost(self) -> bool:
        return self._connection.closed

    def contended(self, error: BaseException) -> bool:
        return getattr(error, "sqlstate", None) in self._CONTENDED

    def reconnect(self) -> bool:
        if self._raw.is_valid:  # else an earlier attempt has failed
            self._raw.invalidate()
        self._raw = self._engine.raw_connection()
        self._adopt()
        # it adds nothing: it waits for the row, and reads it
        self.cursor.execute(f"{self._count(0)} RETURNING number", prepare=False)
        committed: int = self.cursor.fetchone()[0]
        return committed == self._number

    def translate(self, error: BaseException) -> BaseException:
        import psycopg

        if isinstance(error, psycopg.DataError):
            return UsageError(f"the database cannot store a value: {error}")
        own = psycopg.ProgrammingError | psycopg.IntegrityError | psycopg.errors.InFailedSqlTransaction
        if isinstance(error, own):
            return error
        return super().translate(error)

    def close(self) -> None:
        with suppress(Exception):  # a row that is left behind is removed by whoever comes later
            self.cursor.execute("DELETE FROM commit WHERE writer = %s", [self._id])
        super().close()

    def _adopt(self) -> None:
        """Make a new connection ours: transactions are begun where they are meant, and numbers have one type."""
        from psycopg.types.numeric import Int8Dumper

        self._connection: psycopg.Connection[Any] = cast("Any", self._raw.driver_connection)
        self._connection.autocommit = True
        self._connection.adapters.register_dumper(int, Int8Dumper)  # else a statement is prepared for every width
        self.cursor = self._connection.cursor()

    def _count(self, number: int) -> str:
        return (
            f"INSERT INTO commit (writer, number, at) VALUES ('{self._id}', {number}, {_now()}) "
            "ON CONFLICT (writer) DO UPDATE SET number = greatest(commit.number, excluded.number), at = excluded.at"
        )


def _now() -> int:
    return time.time_ns() // 1000


def open_session(database: Database) -> Session:
    """The writing connection to a database."""
    return PostgreSQLSession(database) if database.dialect == "postgresql" else SQLiteSession(database)
