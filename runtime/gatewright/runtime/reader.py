"""Reading the database: threads, runs, approvals and records as they are shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, exc

from gatewright.agents.errors import NotFoundError, UsageError

from . import ledger
from .clock import moment
from .search import Found, Search, search
from .store import schema
from .store.database import Database
from .views import Failure, RecordView, RunView, ThreadView

T = TypeVar("T")

READERS = 4  # threads that read the database
PATIENCE, LOOK = 1.0, 0.01  # seconds to wait for records to get their places, and between looks whether they have

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_THREAD = schema.Thread.__table__  # type: ignore[attr-defined]
_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]
_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_INPUT = _SEALED.alias("sealed_input")
_OUTPUT = _SEALED.alias("sealed_output")

_RUNS = sa.select(_RUN, _INPUT.c.value.label("sealed_input"), _OUTPUT.c.value.label("output")).select_from(
    _RUN.outerjoin(_INPUT, sa.and_(_INPUT.c.leaf == _RUN.c.leaf, _INPUT.c.field == "input")).outerjoin(
        _OUTPUT, sa.and_(_OUTPUT.c.leaf == _RUN.c.leaf, _OUTPUT.c.field == "output")
    )
)


class Counts(NamedTuple):
    """How many runs there are of each status, how many requests wait, and since when the oldest does."""

    runs: dict[str, int]
    waiting: int
    oldest: int | None


class Reader:
    """What can be asked of a database without changing it. Reads in threads of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = ThreadPoolExecutor(READERS, "gatewright-reader")  # agents may use up the loop's own threads
        self._read: Engine

    def _begin_reading(self) -> None:
        self._read = self._database.connect(readonly=True)

    def _end_reading(self) -> None:
        self._readers.shutdown()
        self._read.dispose()

    async def thread(self, thread_id: str) -> ThreadView:
        """A thread.

        Raises:
            NotFoundError: there is none of that id.
        """
        found = await self._threads(_THREAD.c.id == thread_id, limit=1, offset=0)
        if not found:
            raise NotFoundError(f"there is no thread {thread_id!r}")
        return found[0]

    async def threads(self, *, deployment: str | None = None, limit: int = 50, offset: int = 0) -> list[ThreadView]:
        """Threads, newest first."""
        where = sa.true() if deployment is None else _THREAD.c.deployment == deployment
        return await self._threads(where, limit=limit, offset=offset)

    async def _threads(self, where: Any, *, limit: int, offset: int) -> list[ThreadView]:
        active = (
            sa.select(sa.func.max(sa.case((_RUN.c.status == "running", "running"), else_=_RUN.c.status)))
            .where(_RUN.c.thread_id == _THREAD.c.id, _RUN.c.status.in_(["queued", "running", "waiting"]))
            .scalar_subquery()
        )
        query = sa.select(_THREAD, active.label("active")).where(where).order_by(_THREAD.c.created_at.desc())

        def read(connection: Connection) -> list[ThreadView]:
            return [
                ThreadView(
                    id=row.id,
                    deployment=row.deployment,
                    agent=row.agent,
                    case_id=row.case_id,
                    status=_status(row.active, row.closed_at),
                    metadata=orjson.loads(row.metadata),
                    created_at=moment(row.created_at),
                )
                for row in connection.execute(query.limit(limit).offset(offset))
            ]

        return await self._query(read)

    async def run(self, run_id: str) -> RunView:
        """A run.

        Raises:
            NotFoundError: there is none of that id.
        """
        rows = await self._query(lambda connection: _views(connection, _RUNS.where(_RUN.c.id == run_id)))
        if not rows:
            raise NotFoundError(f"there is no run {run_id!r}")
        return rows[0]

    async def runs(
        self,
        *,
        status: str | None = None,
        deployment: str | None = None,
        thread_id: str | None = None,
        case_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[RunView]:
        """Runs, newest first."""
        query = _RUNS
        for column, value in (
            (_RUN.c.status, status),
            (_RUN.c.deployment, deployment),
            (_RUN.c.thread_id, thread_id),
            (_RUN.c.case_id, case_id),
        ):
            if value is not None:
                query = query.where(column == value)
        query = query.order_by(_RUN.c.number.desc()).limit(limit).offset(offset)
        return await self._query(lambda connection: _views(connection, query))

    async def records(
        self,
        *,
        run_id: str | None = None,
        case_id: str | None = None,
        kind: str | None = None,
        after: int = -1,
        limit: int = 100,
    ) -> list[RecordView]:
        """Decision records in the order of the log, from index `after` on.

        Those of what has happened before are among them, unless nobody gives them their places.
        """
        await self._placed()
        query = ledger.select(run_id=run_id, case_id=case_id, kind=kind, after=after, limit=limit)
        return await self._query(lambda connection: ledger.views(connection, connection.execute(query)))

    async def record(self, index: int) -> RecordView:
        """The decision record at an index.

        Raises:
            NotFoundError: the log is shorter.
        """
        found = await self.records(after=index - 1, limit=1)
        if not found or found[0].index != index:
            raise NotFoundError(
                f"the log has no record {index}; it has {await self._query(ledger.size)}, numbered from 0"
            )
        return found[0]

    async def inclusion_proof(self, index: int, *, at: int | None = None, opened: bool = False) -> dict[str, Any]:
        """Proof that a record is in the log: its bytes and the path to the root, in hex.

        Args:
            at: the size of the log that the path leads to; the present one without.
            opened: with salts and bytes of the sealed values that are not erased.

        Raises:
            NotFoundError: the log is shorter.
        """
        return await self._query(lambda connection: ledger.proof(connection, index, at=at, opened=opened))

    async def search(self, wanted: Search, *, before: int | None = None, limit: int = 50) -> Found:
        """Decision records that are looked for, newest first, those with an index below `before`.

        Raises:
            UsageError: a condition on a feature has not the form of one.
        """
        await self._placed()
        return await self._query(lambda connection: search(connection, wanted, before=before, limit=limit))

    async def _placed(self) -> None:
        """Wait until the records that are there have their places in the log, where another process gives them."""
        newest = await self._query(ledger.newest_waiting) if self._database.shared else 0
        patience = time.monotonic() + PATIENCE
        while newest and time.monotonic() < patience:
            await asyncio.sleep(LOOK)
            if not await self._query(lambda connection: ledger.waits(connection, newest)):
                return

    async def _counts(self) -> Counts:
        def read(connection: Connection) -> Counts:
            counts = connection.execute(sa.select(_RUN.c.status, sa.func.count()).group_by(_RUN.c.status)).all()
            waiting = connection.execute(
                sa.select(sa.func.count(), sa.func.min(_APPROVAL.c.created_at)).where(_APPROVAL.c.state == "open")
            ).one()
            return Counts({row[0]: row[1] for row in counts}, waiting[0], waiting[1])

        return await self._query(read)

    async def _query(self, read: Callable[[Connection], T]) -> T:
        return await asyncio.wrap_future(self._look(read))

    def _look(self, read: Callable[[Connection], T]) -> Future[T]:
        return self._readers.submit(self._looked, read)

    def _looked(self, read: Callable[[Connection], T]) -> T:
        def query() -> T:
            with self._read.connect() as connection:
                return read(connection)

        try:
            try:
                return query()
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return query()  # the server was restarted since the last one
        except exc.DataError as error:
            raise UsageError(f"the database cannot look for that: {error.orig}") from error
        except (exc.DatabaseError, exc.TimeoutError) as error:
            raise self._database.unavailable(error) from error


def _views(connection: Connection, query: Any) -> list[RunView]:
    return [
        RunView(
            id=row.id,
            thread_id=row.thread_id,
            case_id=row.case_id,
            deployment=row.deployment,
            agent=row.agent,
            status=row.status,
            attempt=row.attempt,
            input=_loaded(row.sealed_input if row.input is None else row.input),
            output=_loaded(row.output),
            error=None if row.error is None else Failure(**orjson.loads(row.error)),
            waiting_for=orjson.loads(row.waiting_for),
            parent_run_id=row.parent_run_id,
            created_at=moment(row.created_at),
            started_at=None if row.started_at is None else moment(row.started_at),
            finished_at=None if row.finished_at is None else moment(row.finished_at),
        )
        for row in connection.execute(query)
    ]


def _status(active: str | None, closed_at: int | None) -> Literal["idle", "busy", "waiting", "closed"]:
    if active is not None:
        return "waiting" if active == "waiting" else "busy"
    return "idle" if closed_at is None else "closed"


def _loaded(value: bytes | None) -> Any:
    return None if value is None else orjson.loads(value)
