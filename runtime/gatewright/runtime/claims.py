"""Workers hold runs: they claim those that can start, and others recover what a lost worker held.

Claiming looks at the runs whose `available_at` has come, however many wait behind them on their threads. Workers that
claim at the same moment take different runs.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from . import runs
from .clock import MICROSECONDS
from .store import schema
from .store.database import Dialect
from .store.writer import Transaction

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]
_CHILD = _RUN.alias("child")

MAX_CRASHES = 20  # processes that may die under a run, one after the other, without its getting any further
SUSPICIOUS = 3  # such deaths, after which a run is put off, so that others get on without it
LONGEST_QUARANTINE = 30.0  # seconds

_log = logging.getLogger(__name__)


class Claimed(NamedTuple):
    """A run that this process holds, with what is needed to execute it. `opens`: nobody has executed any of its thread
    yet."""

    id: str
    thread_id: str
    case_id: str
    deployment: str
    agent: str
    epoch: int
    attempt: int
    input: bytes
    created_at: int
    started_at: int
    parent_run_id: str | None
    settings: str
    salt: bytes
    admitted: str | None
    cause: str | None
    deadline: int | None
    opens: bool

    @property
    def first(self) -> bool:
        """Whether nobody has executed any of it yet."""
        return self.epoch == 1


# Who was found lost holds nothing, and nobody looks for what it would claim afterwards: so a claim begins with the
# worker's own row, and keeps it from being found lost before the transaction ends.
_MEMBER = "SELECT id FROM worker WHERE id = :worker AND state IN ('alive', 'draining')"
_CLAIMABLE = """
    run.status = 'queued' AND run.available_at <= :now
    AND NOT EXISTS (SELECT 1 FROM pause WHERE pause.deployment = run.deployment)
"""
_FIELDS = """
    run.available_at, run.number, run.id, run.thread_id, run.case_id, run.deployment, run.agent, {epoch},
    run.attempt, run.input, run.created_at, {started_at}, run.parent_run_id,
    (SELECT thread.settings FROM thread WHERE thread.id = run.thread_id),
    (SELECT thread.salt FROM thread WHERE thread.id = run.thread_id), run.admitted, run.cause, run.deadline,
    {epoch} = 1 AND NOT EXISTS (
        SELECT 1 FROM run earlier WHERE earlier.thread_id = run.thread_id AND earlier.number < run.number
    )
"""
# One round trip. PostgreSQL carries out a common table expression that locks once. As an array its rows are looked up
# one by one, whatever PostgreSQL believes of their number; for a list it may choose to read the whole table.
_POSTGRESQL = f"""
WITH member AS ({_MEMBER} FOR SHARE),
found AS (SELECT number FROM run WHERE {_CLAIMABLE} AND EXISTS (SELECT 1 FROM member) {{which}})
UPDATE run SET status = 'running', epoch = run.epoch + 1, holder = :worker, started_at = coalesce(run.started_at, :now)
WHERE run.number = ANY (ARRAY(SELECT number FROM found))
RETURNING {_FIELDS.format(epoch="run.epoch", started_at="run.started_at")}
"""
# SQLite makes a table of its own for what an UPDATE returns, and another for the rows that a list names: two plain
# statements cost half as much, and nothing comes in between them.
_SQLITE = f"""
SELECT {_FIELDS.format(epoch="run.epoch + 1", started_at="coalesce(run.started_at, :now)")}
FROM run WHERE {_CLAIMABLE} AND EXISTS ({_MEMBER}) {{which}}
"""
_TAKE = sa.text(
    "UPDATE run SET status = 'running', epoch = epoch + 1, holder = :worker, started_at = coalesce(started_at, :now)"
    " WHERE number = :number"
)


def _claiming(which: str, lock: str, **values: str) -> dict[Dialect, Any]:
    """What gives the runs that `which` selects; on PostgreSQL it takes them as well."""
    texts: dict[Dialect, str] = {
        "sqlite": _SQLITE.format(which=which),
        "postgresql": _POSTGRESQL.format(which=f"{which} {lock}"),
    }
    return {dialect: sa.text(text).bindparams(**values) for dialect, text in texts.items()}


def _take(transaction: Transaction, claiming: dict[Dialect, Any], **values: Any) -> list[Claimed]:
    rows = transaction.all(claiming[transaction.dialect], **values)
    if transaction.dialect == "sqlite":
        for row in rows:
            transaction.run(_TAKE, number=row[1], worker=values["worker"], now=values["now"])
    return [Claimed(*row[2:])._replace(opens=bool(row[-1])) for row in sorted(rows, key=lambda row: row[:2])]


_THIS = _claiming("AND run.id = :run_id", "FOR NO KEY UPDATE OF run")
_PROGRESS = (  # whether the last holder of the run recorded anything
    sa.exists()
    .where(_EFFECT.c.run_id == _RUN.c.id, _EFFECT.c.epoch == _RUN.c.epoch, _EFFECT.c.leaf.is_not(None))
    .label("progress")
)
_ORPHANS = (
    sa.select(_RUN.c.id, _RUN.c.crashes, _PROGRESS)
    .where(_RUN.c.status == "running", _RUN.c.holder == sa.bindparam("lost"))
    .order_by(_RUN.c.id)
    .with_for_update(of=_RUN)
)
_RECOVER = (
    sa.update(_RUN)
    .where(_RUN.c.id == sa.bindparam("run_id"))
    .values(
        status="queued",
        available_at=sa.bindparam("now"),
        crashes=sa.bindparam("deaths"),
        holder=sa.null(),
    )
)
# Intentions that are not waited for are written as they stand by then, so a process may have died after writing a
# part of what it had gone on to: an outcome without its record, a message without the run that it starts.
_UNRECORDED = (
    sa.update(_EFFECT)
    .where(_EFFECT.c.run_id == sa.bindparam("of_run"), _EFFECT.c.status == "done", _EFFECT.c.leaf.is_(None))
    .values(status="intended", outcome=sa.null())
)
_UNDELIVERED = (
    sa.update(_EFFECT)
    .where(
        _EFFECT.c.run_id == sa.bindparam("of_run"),
        _EFFECT.c.child_run_id.is_not(None),
        ~sa.exists().where(_CHILD.c.id == _EFFECT.c.child_run_id),
    )
    .values(status="intended", child_run_id=sa.null())
)
_HURRY = (
    sa.update(_RUN)
    .where(_RUN.c.status == "queued", _RUN.c.available_at > sa.bindparam("latest"))
    .values(available_at=sa.bindparam("latest"))
)


class Queue:
    """The runs that a worker may take."""

    def __init__(self, worker: str, deployments: Collection[str] = ()) -> None:
        """`deployments`: those that it executes; all where none is named."""
        self.worker = worker
        names = {f"deployment_{number}": name for number, name in enumerate(sorted(deployments))}
        theirs = f"AND deployment IN ({', '.join(f':{parameter}' for parameter in names)})" if names else ""
        oldest = f"{theirs} ORDER BY available_at, number LIMIT :most"
        self._oldest = _claiming(oldest, "FOR NO KEY UPDATE OF run SKIP LOCKED", **names)

    def claim(self, transaction: Transaction, *, most: int, now: int) -> list[Claimed]:
        """Take up to `most` runs that can start, oldest first; none where the worker was found lost."""
        return _take(transaction, self._oldest, worker=self.worker, most=most, now=now)

    def claim_this(self, transaction: Transaction, run_id: str, *, now: int) -> Claimed | None:
        """Take this run if it can start; saves a just accepted run its way through the queue."""
        return next(iter(_take(transaction, _THIS, run_id=run_id, worker=self.worker, now=now)), None)


def recover(transaction: Transaction, lost: Sequence[str], *, now: int, latest: int) -> int:
    """Queue again what lost workers held; gives how many runs.

    Args:
        lost: their ids; nothing is theirs any more.
        latest: no retry is put off further than this, even if the clock was ahead when it was scheduled.
    """
    recovered = sum(_recover(transaction, worker, now=now) for worker in lost)
    transaction.run(_HURRY, latest=latest)
    return recovered


def _recover(transaction: Transaction, worker: str, *, now: int) -> int:
    orphans = transaction.all(_ORPHANS, lost=worker)
    for run_id, crashes, progress in orphans:
        transaction.run(_UNRECORDED, of_run=run_id)
        transaction.run(_UNDELIVERED, of_run=run_id)
        deaths = 1 if progress else crashes + 1
        if deaths >= SUSPICIOUS:
            _log.warning("%d processes died one after the other while executing run %s", deaths, run_id)
        if deaths >= MAX_CRASHES:
            message = (
                f"{deaths} processes died one after the other while executing this run; mend its agent, then resume"
            )
            runs.end(transaction, run_id, "failed", failure={"type": "ProcessDied", "message": message}, now=now)
        else:
            transaction.run(_RECOVER, run_id=run_id, deaths=deaths, now=now + _quarantine(deaths))
    return len(orphans)


def _quarantine(deaths: int) -> int:
    """Microseconds to put a run off under which processes have died; at random, so that suspects come one by one."""
    if deaths < SUSPICIOUS:
        return 0
    seconds = min(0.1 * 2.0 ** (deaths - SUSPICIOUS), LONGEST_QUARANTINE) * random.uniform(0.5, 1.0)
    return int(seconds * MICROSECONDS)
