"""The durable state of all cases: one SQLite file that survives the death of the process at any instant."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gatewright.agents.errors import UnavailableError

from .rows import Change

BUSY_TIMEOUT = 30.0  # seconds to wait for another process that is writing

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    case_id TEXT NOT NULL, tbl TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (case_id, tbl, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    case_id TEXT NOT NULL, key TEXT NOT NULL, result TEXT NOT NULL,
    PRIMARY KEY (case_id, key)
) WITHOUT ROWID;
"""


class Written(NamedTuple):
    """What a writing operation did: the text it answers with and the rows it changed."""

    result: str
    changes: list[Change]


class CaseStore:
    """Rows that cases changed, and the results of their writing calls by idempotency key.

    WAL with `synchronous=NORMAL`: what was committed survives a killed process; losing power may cost the last
    transactions but never tears one. Safe to use from any number of threads and processes.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            UnavailableError: the file cannot be opened or is not a database.
        """
        self.path = path
        self._lock = threading.RLock()
        with self._refusing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(SCHEMA)

    @contextmanager
    def _refusing(self) -> Generator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(
                f"the world's state {str(self.path)!r} cannot be used: {error}; "
                "check that the directory is writable and the disk is not full"
            ) from error

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._lock:
            with self._refusing():
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                with self._refusing():
                    self._connection.execute("COMMIT")
            except BaseException:
                with self._refusing():
                    if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                        self._connection.execute("ROLLBACK")
                raise

    def row(self, case_id: str, table: str, key: str) -> str | None:
        """The JSON text of a row that the case changed; None if it did not."""
        try:
            key.encode()
        except UnicodeEncodeError:  # half a surrogate pair from a model: no such row, and nothing SQLite could bind
            return None
        with self._lock, self._refusing():
            found = self._connection.execute(
                "SELECT value FROM rows WHERE case_id = ? AND tbl = ? AND key = ?", (case_id, table, key)
            ).fetchone()
        return None if found is None else str(found[0])

    def changes(self, case_id: str) -> list[Change]:
        """All rows that the case changed."""
        with self._lock, self._refusing():
            found = self._connection.execute(
                "SELECT tbl, key, value FROM rows WHERE case_id = ? ORDER BY tbl, key", (case_id,)
            ).fetchall()
        return [Change(*row) for row in found]

    def write(self, case_id: str, idempotency_key: str | None, operation: Callable[[], Written]) -> str:
        """Run `operation` in one transaction and give its result; with a key that was used before, only give it again.

        `operation` must only read this store. The write lock is taken before it reads, so that two calls on one
        case never work from the same rows.
        """
        with self._transaction():
            return self._written(case_id, idempotency_key, operation)

    def _written(self, case_id: str, idempotency_key: str | None, operation: Callable[[], Written]) -> str:
        if idempotency_key is not None:
            with self._refusing():
                found = self._connection.execute(
                    "SELECT result FROM calls WHERE case_id = ? AND key = ?", (case_id, idempotency_key)
                ).fetchone()
            if found is not None:
                return str(json.loads(found[0]))
        written = operation()
        with self._refusing():
            self._connection.executemany(
                "DELETE FROM rows WHERE case_id = ? AND tbl = ? AND key = ?",
                [(case_id, change.table, change.key) for change in written.changes if change.restored],
            )
            self._connection.executemany(
                "INSERT INTO rows (case_id, tbl, key, value) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (case_id, tbl, key) DO UPDATE SET value = excluded.value",
                [(case_id, *change[:3]) for change in written.changes if not change.restored],
            )
            if idempotency_key is not None:
                self._connection.execute(
                    "INSERT INTO calls (case_id, key, result) VALUES (?, ?, ?)",
                    (case_id, idempotency_key, json.dumps(written.result)),
                )
        return written.result

    def forget(self, case_id: str) -> None:
        """Make the case as if nothing had happened in it."""
        with self._transaction(), self._refusing():
            self._connection.execute("DELETE FROM rows WHERE case_id = ?", (case_id,))
            self._connection.execute("DELETE FROM calls WHERE case_id = ?", (case_id,))

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()


@dataclass(frozen=True)
class CaseOverlay:
    """The rows that one case changed; see `rows.Overlay`."""

    store: CaseStore
    case_id: str

    def fetch(self, table: str, key: str) -> str | None:
        """See `rows.Overlay.fetch`."""
        return self.store.row(self.case_id, table, key)
