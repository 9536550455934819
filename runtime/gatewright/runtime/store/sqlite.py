"""The SQLite file of a data directory: opened safely, migrated, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Engine, PoolProxiedConnection, event, exc

from gatewright.agents.errors import UnavailableError

from . import migration
from .database import Database, InUseError

FILE = "gatewright.sqlite"
LOCK = "gatewright.lock"
BUSY_TIMEOUT = 10.0  # seconds


class Lock:
    """Exclusive use of a data directory. The operating system releases it when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            InUseError: another process has it.
            UnavailableError: the folder cannot be written.
        """
        try:
            file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115  # held until release()
        except OSError as error:
            raise UnavailableError(
                f"the data directory {str(self._path.parent)!r} cannot be written: {error.strerror}; "
                "make it writable for this user or set data_dir to another folder"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise InUseError(
                f"the data directory {str(self._path.parent)!r} is in use by process {holder}; one process at a time "
                "works on a SQLite file: use the running service, stop it first, or let several processes share a "
                "PostgreSQL database (`database` in the configuration)"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back. The file stays, so that the next holder locks the same inode."""
        if self._file is not None:
            self._file.close()
            self._file = None


class SQLite(Database):
    """The file in a data directory, in WAL mode, durable at every commit (`synchronous=FULL`)."""

    dialect = "sqlite"
    shared = False

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self.file = folder / FILE
        self._address = f"sqlite:///{self.file}"
        self._lock = Lock(folder)

    def hold(self) -> None:
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def exists(self) -> bool:
        return self.file.exists()

    def prepare(self) -> None:
        engine = self.connect()
        try:
            with engine.begin() as connection:
                migration.upgrade(connection)
        except exc.DatabaseError as error:
            raise self.unavailable(error) from error
        finally:
            engine.dispose()

    def connect(self, *, readonly: bool = False) -> Engine:
        engine = sa.create_engine(self._address, connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False})
        _configure(engine, readonly=readonly)
        return engine

    def unavailable(self, error: Exception) -> UnavailableError:
        reason = str(getattr(error, "orig", None) or error)
        remedy = "check the disk and the permissions"
        if "full" in reason:
            remedy = "free disk space; a service that runs goes on by itself"
        elif "readonly" in reason or "unable to open" in reason:
            remedy = "make the folder writable for this user"
        elif "not a database" in reason or "malformed" in reason:
            remedy = "restore the file from a backup"
        return UnavailableError(f"the database in {self.place!r} cannot be used: {reason}; {remedy}")


class Memory(SQLite):
    """A database of this process alone, for what need not outlive it; gone when it is released."""

    def __init__(self) -> None:
        self.place = "memory"
        self._address = f"sqlite:///file:/gatewright-{uuid4()}?vfs=memdb&uri=true"
        self._kept: Engine | None = None
        self._connection: PoolProxiedConnection | None = None

    def hold(self) -> None:
        self._kept = self.connect()
        self._connection = self._kept.raw_connection()  # it is there as long as somebody is connected

    def release(self) -> None:
        if self._kept is not None and self._connection is not None:
            self._connection.close()
            self._kept.dispose()
            self._kept = self._connection = None

    def exists(self) -> bool:
        return self._kept is not None


def _configure(engine: Engine, *, readonly: bool) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun where they are meant, by `begin` below
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only=ON" if readonly else "PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
