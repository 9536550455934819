"""Workers hold runs: they claim those that can start, and others recover what a lost worker held.

Claiming looks at the runs whose `available_at` has come, however many wait behind them on their threads. Workers that
claim at the same moment take different runs.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from . import runs
from .clock import MICROSECONDS
from .store import schema
from .store.writer import Transaction

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_THREAD = schema.Thread.__table__  # type: ignore[attr-defined]
_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]
_PAUSE = schema.Pause.__table__  # type: ignore[attr-defined]
_CHILD = _RUN.alias("child")

MAX_CRASHES = 20  # processes that may die under a run, one after the other, without its getting any further
SUSPICIOUS = 3  # such deaths, after which a run is put off, so that others get on without it
LONGEST_QUARANTINE = 30.0  # seconds


class Claimed(NamedTuple):
    """A run that this process holds, with what is needed to execute it."""

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

    @property
    def first(self) -> bool:
        """Whether nobody has executed any of it yet."""
        return self.epoch == 1


_GOING = ~sa.exists().where(_PAUSE.c.deployment == _RUN.c.deployment)  # nobody has stopped the deployment
_READY = (
    sa.select(_RUN.c.id)
    .where(_RUN.c.status == "queued", _RUN.c.available_at <= sa.bindparam("now"), _GOING)
    .order_by(_RUN.c.available_at, _RUN.c.number)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True, of=_RUN)
)
_TAKE = (
    sa.update(_RUN)
    .where(
        _RUN.c.id == sa.bindparam("run_id"),
        _RUN.c.status == "queued",
        _RUN.c.available_at <= sa.bindparam("now"),
        _GOING,
    )
    .values(
        status="running",
        epoch=_RUN.c.epoch + 1,
        holder=sa.bindparam("worker"),
        started_at=sa.func.coalesce(_RUN.c.started_at, sa.bindparam("now")),
    )
)
_CLAIMED = (
    sa.select(
        _RUN.c.id,
        _RUN.c.thread_id,
        _RUN.c.case_id,
        _RUN.c.deployment,
        _RUN.c.agent,
        _RUN.c.epoch,
        _RUN.c.attempt,
        _RUN.c.input,
        _RUN.c.created_at,
        _RUN.c.started_at,
        _RUN.c.parent_run_id,
        _THREAD.c.settings,
        _THREAD.c.salt,
        _RUN.c.admitted,
    )
    .select_from(_RUN.join(_THREAD, _THREAD.c.id == _RUN.c.thread_id))
    .where(_RUN.c.id == sa.bindparam("run_id"))
)
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
        self._ready: Any = _READY
        if deployments:
            self._ready = _READY.where(sa.or_(*(_RUN.c.deployment == name for name in sorted(deployments))))

    def claim(self, transaction: Transaction, *, most: int, now: int) -> list[Claimed]:
        """Take up to `most` runs that can start, oldest first."""
        ready = [row[0] for row in transaction.all(self._ready, now=now, most=most)]
        taken = (self.claim_this(transaction, run_id, now=now) for run_id in ready)
        return [claimed for claimed in taken if claimed is not None]

    def claim_this(self, transaction: Transaction, run_id: str, *, now: int) -> Claimed | None:
        """Take this run if it can start; saves a just accepted run its way through the queue."""
        if not transaction.run(_TAKE, run_id=run_id, worker=self.worker, now=now):
            return None
        row = transaction.one(_CLAIMED, run_id=run_id)
        assert row is not None, "a run has a thread"
        return Claimed(*row)


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
