"""The SQLite file of a data directory: opened safely, migrated, held by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy import Engine, event, exc

from gatewright.agents.errors import UnavailableError

from . import migration

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
            UnavailableError: another process has it, or the folder cannot be written.
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
            raise UnavailableError(
                f"the data directory {str(self._path.parent)!r} is in use by process {holder}; one process at a time "
                "works on a SQLite file: use the running service, or stop it first"
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


def connect(folder: Path, *, readonly: bool = False) -> Engine:
    """An engine on the SQLite file in `folder`, in WAL mode, durable at every commit (`synchronous=FULL`)."""
    engine = sa.create_engine(
        f"sqlite:///{folder / FILE}", connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False}
    )

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

    return engine


def prepare(folder: Path) -> Engine:
    """Create or migrate the database of `folder` and give an engine on it. The caller holds the lock.

    Raises:
        UnavailableError: the folder or the file cannot be used, with the reason.
    """
    engine = connect(folder)
    try:
        with engine.begin() as connection:
            migration.upgrade(connection)
    except (exc.OperationalError, exc.DatabaseError) as error:
        engine.dispose()
        raise unavailable(error, folder) from error
    return engine


def unavailable(error: Exception, folder: Path) -> UnavailableError:
    """What to tell an operator of a database error."""
    reason = str(getattr(error, "orig", None) or error)
    remedy = "check the disk and the permissions"
    if "full" in reason:
        remedy = "free disk space; the service goes on by itself"
    elif "readonly" in reason or "unable to open" in reason:
        remedy = "make the folder writable for this user"
    elif "not a database" in reason or "malformed" in reason:
        remedy = "restore the file from a backup"
    return UnavailableError(f"the database in {str(folder)!r} cannot be used: {reason}; {remedy}")


def dumps(value: Any) -> str:
    """Compact JSON for a text column."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
