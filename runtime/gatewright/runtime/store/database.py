"""Where a service keeps everything durable: a SQLite file in its data directory, or PostgreSQL by URL."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine

from gatewright.agents.errors import UnavailableError

Dialect = Literal["sqlite", "postgresql"]


def make_folder(folder: Path) -> None:
    """Make a data directory, which nobody else of the machine reads, unless it is there.

    Raises:
        UnavailableError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnavailableError(
            f"the data directory {str(folder)!r} cannot be made: {error.strerror}; choose another data_dir"
        ) from error


class InUseError(UnavailableError):
    """Another process has the database to itself; use that one, or wait until it ends."""


class Database(ABC):
    """One database, however many connections are open on it. Making the object connects to nothing.

    `shared` says whether other processes may write at the same time; where not, whoever writes must `hold` it. `place`
    names it in messages and never holds a password.
    """

    dialect: Dialect
    shared: bool
    place: str

    @abstractmethod
    def hold(self) -> None:
        """Take the right to write, until `release`; costs nothing where the database is shared.

        Raises:
            InUseError: another process has it.
            UnavailableError: there is no place for a database.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the right to write back."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether somebody has created it already.

        Raises:
            UnavailableError: that cannot be found out.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Create it, or bring it to this version's schema. The caller holds it.

        Raises:
            UnavailableError: it cannot be used, or a newer version has written it.
        """

    @abstractmethod
    def connect(self, *, readonly: bool = False) -> Engine:
        """A pool of connections of its own; the caller disposes of it.

        Args:
            readonly: whatever would write fails, and a transaction sees one state from its first query to its last.
        """

    @abstractmethod
    def unavailable(self, error: Exception) -> UnavailableError:
        """What to tell an operator of an error that the database gave."""


def of(url: str, folder: Path) -> Database:
    """The database at `url`; for an empty one, the SQLite file in `folder`.

    Raises:
        UsageError: the URL is none of PostgreSQL.
        UnavailableError: what PostgreSQL needs is not installed.
    """
    if not url:
        from .sqlite import SQLite

        return SQLite(folder)
    from .postgresql import PostgreSQL

    return PostgreSQL(url)


def dumps(value: Any) -> str:
    """Compact JSON for a text column."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
