"""A PostgreSQL database that any number of processes share, reached by psycopg 3.

A process takes at most `CONNECTIONS` connections: the writer's, those that read, and one that listens. So the server's
`max_connections` must be above `CONNECTIONS` times the number of `serve` and `worker` processes.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, exc

from gatewright.agents.errors import MissingExtraError, UnavailableError, UsageError

from . import migration
from .database import Database

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

READERS = 3  # connections of a process that read for its API
CHECKPOINT_READERS = 1
CONNECTIONS = READERS + CHECKPOINT_READERS + 2
POOL_TIMEOUT = 10.0  # seconds to wait for a connection

CONNECT_TIMEOUT = 5  # seconds
SILENCE = 10  # seconds without an answer to what was sent, after which the network counts as cut
STATEMENT_TIMEOUT = 60  # seconds
LOCK_TIMEOUT = 10  # seconds
IDLE_WRITING = 5  # seconds that a transaction may hold locks and do nothing: its process hangs or is stopped
IDLE_READING = 600  # seconds; it holds no locks, but keeps the server from clearing away old rows

MIGRATION = 0x67617465_77726974  # the number of the advisory lock: "gatewrit" in ASCII
MIGRATION_TIMEOUT = 300.0  # seconds to wait until another process has migrated
_POLL = 0.1  # seconds


class PostgreSQL(Database):
    """The database at a URL `postgresql+psycopg://user:password@host:port/database?option=value`.

    Options are those of libpq (`sslmode`, `passfile`, `target_session_attrs`, several hosts, …), which also reads
    `PGPASSWORD` and the like from the environment.
    """

    dialect = "postgresql"
    shared = True

    def __init__(self, url: str) -> None:
        self._url = parse(url)
        self.place = _place(self._url)
        for needed in ("psycopg", "langgraph.checkpoint.postgres"):
            try:
                import_module(needed)
            except ImportError as error:  # psycopg without a libpq says so in the message
                raise MissingExtraError("a PostgreSQL database", "postgres", error) from error
        self._name = f"gatewright/{socket.gethostname()}:{os.getpid()}"[:63]  # PostgreSQL cuts it there

    def hold(self) -> None:
        """Nothing to do: the server keeps writers apart."""

    def release(self) -> None:
        """Nothing to do."""

    def exists(self) -> bool:
        with self._once(readonly=True) as connection:
            return migration.current(connection) is not None

    def prepare(self) -> None:
        with self._once() as connection:
            if migration.current(connection) == migration.head() and _checkpoints_ready(connection):
                return
            _lock(connection)
            try:
                connection.rollback()
                with connection.begin():
                    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                    migration.upgrade(connection)
                _prepare_checkpoints(connection)
            finally:
                connection.rollback()
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (MIGRATION,))

    def connect(self, *, readonly: bool = False) -> Engine:
        return sa.create_engine(
            self._url,
            paramstyle="format",  # the writer gives parameters by position
            pool_size=READERS if readonly else 1,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT,
            connect_args=self._settings(readonly=readonly),
        )

    def pool(self) -> AsyncConnectionPool[AsyncConnection[Any]]:
        """The connection that LangGraph's checkpointer reads by; the caller opens and closes it. It is made when it is
        needed, and made anew when the server has been away."""
        from psycopg import AsyncConnection
        from psycopg_pool import AsyncConnectionPool

        return AsyncConnectionPool(
            kwargs=self._arguments(),
            connection_class=AsyncConnection,
            min_size=0,
            max_size=CHECKPOINT_READERS,
            open=False,
            check=AsyncConnectionPool.check_connection,
            timeout=POOL_TIMEOUT,
            num_workers=1,
            name=self._name,
        )

    async def listener(self) -> AsyncConnection[Any]:
        """A connection on which notifications arrive; the caller closes it. Every statement commits by itself.

        Raises:
            psycopg.Error: the server cannot be reached.
        """
        from psycopg import AsyncConnection

        return await AsyncConnection.connect(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        """What a connection of psycopg's own is made with."""
        _none, arguments = sa.create_engine(self._url).dialect.create_connect_args(self._url)
        return {**arguments, **self._settings(readonly=False), "autocommit": True}

    def _settings(self, *, readonly: bool) -> dict[str, Any]:
        """What a connection is made with, beside the URL."""
        limits = {
            "statement_timeout": STATEMENT_TIMEOUT,
            "lock_timeout": LOCK_TIMEOUT,
            "idle_in_transaction_session_timeout": IDLE_READING if readonly else IDLE_WRITING,
        }
        settings = {name: f"{seconds}s" for name, seconds in limits.items()}
        # who writes looks again behind each lock it has waited for; who reads sees one state, whatever it asks
        settings["default_transaction_isolation"] = r"repeatable\ read" if readonly else r"read\ committed"
        if readonly:
            settings["default_transaction_read_only"] = "on"
        return {
            "application_name": self._name,
            "connect_timeout": CONNECT_TIMEOUT,
            "keepalives": 1,
            "keepalives_idle": SILENCE // 2,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE * 1000,
            "options": " ".join(
                [*(f"-c {name}={value}" for name, value in settings.items()), *_given_options(self._url)]
            ),
        }

    def unavailable(self, error: Exception) -> UnavailableError:
        import psycopg

        cause = getattr(error, "orig", None) or error
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        remedy = "check that the server runs and can be reached; a service that runs goes on by itself"
        if isinstance(cause, psycopg.errors.InvalidPassword | psycopg.errors.InvalidAuthorizationSpecification):
            remedy = "check the user and the password of `database`"
        elif "password" in reason or "no pg_hba.conf" in reason:
            remedy = "check the user and the password of `database`, and what the server lets in"
        elif "does not exist" in reason:
            remedy = "create it, or correct `database`"
        elif isinstance(cause, psycopg.errors.InsufficientPrivilege):
            remedy = "grant the user of `database` what it needs"
        elif isinstance(cause, psycopg.errors.DiskFull):
            remedy = "free disk space on the server; a service that runs goes on by itself"
        elif re.search(r"invalid (connection option|\w+ value:)|unrecognized configuration parameter", reason):
            remedy = "correct the options of `database`"
        elif "SSL was required" in reason or "certificate" in reason:
            remedy = "correct `sslmode` and the certificates that `database` names, or those of the server"
        elif "too many" in reason or "connection slots" in reason:
            remedy = f"raise max_connections: each process takes up to {CONNECTIONS}"
        elif isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
            remedy = "name the primary server, or several hosts with target_session_attrs=read-write"
        return UnavailableError(f"{self.place} cannot be used: {reason}; {remedy}")

    @contextmanager
    def _once(self, *, readonly: bool = False) -> Generator[Connection]:
        """A connection for something rare."""
        engine = self.connect(readonly=readonly)
        try:
            with engine.connect() as connection:
                yield connection
        except exc.DatabaseError as error:
            raise self.unavailable(error) from error
        finally:
            engine.dispose()


def parse(url: str) -> URL:
    """The parts of a URL of a PostgreSQL database.

    Raises:
        UsageError: it is none; the message does not show it, since it may hold a password.
    """
    wanted = "write postgresql+psycopg://user:password@host:port/database, or leave it empty for SQLite in data_dir"
    try:
        found = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        raise UsageError(f"`database` is not a URL; {wanted}") from None
    if found.drivername not in ("postgresql", "postgresql+psycopg"):
        raise UsageError(f"`database` begins with {found.drivername!r}; {wanted}")
    if not found.database:
        raise UsageError(f"`database` names no database; {wanted}")
    return found.set(drivername="postgresql+psycopg")


def _place(url: URL) -> str:
    """How messages call it: without the password, and without options, which may hold one."""
    where = url.query.get("host") or url.host or "the default host"
    where = where if isinstance(where, str) else ",".join(where)
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL database {url.database!r} at {where}{port}"


def _given_options(url: URL) -> list[str]:
    given = url.query.get("options", ())
    return [given] if isinstance(given, str) else list(given)


def _lock(connection: Connection) -> None:
    """Take the advisory lock of migrations, for the session.

    It is asked for again and again: who waits for it inside the server holds a snapshot, and `CREATE INDEX
    CONCURRENTLY` of LangGraph's migrations waits for that.

    Raises:
        UnavailableError: another process has been migrating for too long.
    """
    patience = time.monotonic() + MIGRATION_TIMEOUT
    while True:
        taken = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (MIGRATION,)).scalar_one()
        connection.rollback()
        if taken:
            return
        if time.monotonic() > patience:
            raise UnavailableError(
                f"another process has been migrating the database for {MIGRATION_TIMEOUT:.0f} s; look for it with "
                "`SELECT pid FROM pg_locks WHERE locktype = 'advisory'` and end it"
            )
        time.sleep(_POLL)


def _checkpoints_ready(connection: Connection) -> bool:
    """Whether the tables of LangGraph's checkpointer are those of the version that is installed."""
    from langgraph.checkpoint.postgres import PostgresSaver

    if connection.exec_driver_sql("SELECT to_regclass('checkpoint_migrations')").scalar_one() is None:
        return False
    newest = connection.exec_driver_sql("SELECT max(v) FROM checkpoint_migrations").scalar_one()
    return newest is not None and newest >= len(PostgresSaver.MIGRATIONS) - 1


def _prepare_checkpoints(connection: Connection) -> None:
    """Let LangGraph's checkpointer make its tables; it needs a connection that commits every statement by itself."""
    from langgraph.checkpoint.postgres import PostgresSaver

    driver = connection.connection.driver_connection
    assert driver is not None
    driver.autocommit = True
    try:
        driver.execute("SET statement_timeout = 0")
        saver = PostgresSaver(driver)
        saver.setup()
    finally:
        driver.autocommit = False
