"""The processes that work on a database: each has a lease, and whoever finds one over takes what it held.

Times are the database's, so the clocks of the machines need not agree. A process that was found lost may still be
there (stopped, or cut off): all it writes for its runs and duties is refused, since they are no longer its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from gatewright.runtime import identifiers
from gatewright.runtime.clock import MICROSECONDS, moment
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction

from . import liveness
from .views import WorkerView

Kind = Literal["serve", "worker", "command"]

FORGET = 24 * 3600 * MICROSECONDS  # after that, a process that has left or was lost is not shown any more

_WORKER = schema.Worker.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_RUN = schema.Run.__table__  # type: ignore[attr-defined]
_DUTY = schema.Duty.__table__  # type: ignore[attr-defined]


class _Now(GenericFunction[int]):
    """The database's time, in microseconds since the epoch."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(_Now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **_: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"


@compiles(_Now, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


NOW: Any = _Now()

_JOIN = sa.insert(_WORKER).values(
    {
        "id": sa.bindparam("id"),
        "kind": sa.bindparam("kind"),
        "host": sa.bindparam("host"),
        "pid": sa.bindparam("pid"),
        "process": sa.bindparam("process"),
        "deployments": sa.bindparam("deployments"),
        "concurrency": sa.bindparam("concurrency"),
        "state": "alive",
        "started_at": NOW,
        "seen_at": NOW,
        "lease_until": NOW + sa.bindparam("lease", type_=sa.BigInteger),
    }
)
_PRESENT = sa.or_(_WORKER.c.state == "alive", _WORKER.c.state == "draining")
_RENEW = (
    sa.update(_WORKER)
    .where(_WORKER.c.id == sa.bindparam("of"), _PRESENT)
    .values(
        seen_at=NOW,
        lease_until=NOW + sa.bindparam("lease", type_=sa.BigInteger),
        state=sa.bindparam("becomes"),
    )
)
_OTHERS = (
    sa.select(_WORKER.c.id, _WORKER.c.process, _WORKER.c.lease_until < NOW)
    .where(_PRESENT, _WORKER.c.id != sa.bindparam("me"))
    .order_by(_WORKER.c.id)
)
_LOSE = sa.update(_WORKER).where(_WORKER.c.id == sa.bindparam("of"), _PRESENT).values(state="lost")
_LEAVE = (
    sa.update(_WORKER)
    .where(_WORKER.c.id == sa.bindparam("of"), _PRESENT)
    .values(state="left", seen_at=NOW, lease_until=NOW)
)
_QUIT = sa.delete(_DUTY).where(_DUTY.c.holder == sa.bindparam("of"))
_FORGET = sa.delete(_WORKER).where(
    sa.or_(_WORKER.c.state == "left", _WORKER.c.state == "lost"), _WORKER.c.seen_at < NOW - FORGET
)


class Identity(NamedTuple):
    """A process that works on the database, as it presents itself. `deployments`: those it serves, () for all."""

    id: str
    kind: Kind
    deployments: tuple[str, ...]
    concurrency: int

    @classmethod
    def new(cls, kind: Kind, deployments: Sequence[str], concurrency: int) -> Identity:
        """An identity of this process that nobody has had before."""
        return cls(identifiers.new("worker"), kind, tuple(deployments), concurrency)


def join(transaction: Transaction, who: Identity, *, lease: float) -> None:
    """Begin to work. `lease`: seconds for which the process need not be heard of again."""
    transaction.run(_FORGET)
    transaction.run(
        _JOIN,
        id=who.id,
        kind=who.kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        process=liveness.this_process(),
        deployments=orjson.dumps(who.deployments).decode(),
        concurrency=who.concurrency,
        lease=int(lease * MICROSECONDS),
    )


def renew(transaction: Transaction, worker: str, *, lease: float, draining: bool = False) -> bool:
    """Say that the process is there; false where it has been found lost, and nothing is its own any more."""
    becomes = "draining" if draining else "alive"
    return bool(transaction.run(_RENEW, of=worker, lease=int(lease * MICROSECONDS), becomes=becomes))


def leave(transaction: Transaction, worker: str) -> None:
    """End the work of a process that has given back its runs."""
    transaction.run(_LEAVE, of=worker)
    transaction.run(_QUIT, of=worker)


def lose(transaction: Transaction, *, me: str, alone: bool, steady: bool) -> list[str]:
    """Find the processes that are there no more: from now on they hold nothing.

    Args:
        alone: whether the caller knows that no other process is on the database.
        steady: whether the caller has been heard of all the time for as long as a lease takes. Where the database was
            away, it was so for everybody: then a lease that is over says nothing yet.
    """
    found = [
        worker
        for worker, process, overdue in transaction.all(_OTHERS, me=me)
        if alone or (overdue and steady) or liveness.dead(process)
    ]
    lost = [worker for worker in found if transaction.run(_LOSE, of=worker)]
    for worker in lost:
        transaction.run(_QUIT, of=worker)
    return lost


_HELD = sa.select(sa.func.count()).where(_RUN.c.holder == _WORKER.c.id, _RUN.c.status == "running").scalar_subquery()


def listed(connection: Connection, *, every: bool = False) -> list[WorkerView]:
    """The processes that are there, the oldest first; with `every`, also those that were there today."""
    duties: dict[str, list[str]] = {}
    for name, holder in connection.execute(sa.select(_DUTY.c.name, _DUTY.c.holder).order_by(_DUTY.c.name)):
        duties.setdefault(holder, []).append(name)
    query = sa.select(_WORKER, _HELD.label("runs"), NOW.label("now")).order_by(_WORKER.c.started_at, _WORKER.c.id)
    if not every:
        query = query.where(_PRESENT)
    return [
        WorkerView(
            id=row.id,
            kind=row.kind,
            host=row.host,
            pid=row.pid,
            deployments=orjson.loads(row.deployments),
            state=row.state,
            runs=row.runs,
            concurrency=row.concurrency,
            duties=duties.get(row.id, []),
            started_at=_time(row.started_at),
            seen_at=_time(row.seen_at),
            lease_left=max((row.lease_until - row.now) / MICROSECONDS, 0.0)
            if row.state in ("alive", "draining")
            else 0.0,
        )
        for row in connection.execute(query)
    ]


def _time(microseconds: int) -> datetime:
    return moment(microseconds)
