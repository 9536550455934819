"""The life of a run in the database: accepted, claimed, parked, finished, each as one operation of the writer.

A run is *queued* with `available_at` set when it may be claimed; the runs behind it on its thread are queued without,
until it has ended. So claiming looks at the runs that can start, however many wait behind them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from gatewright.agents.errors import ConflictError, GatewrightError, NotFoundError
from gatewright.safety import records

from . import leaves
from .clock import MICROSECONDS, moment
from .store import schema
from .store.database import dumps
from .store.writer import Seal, Transaction

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_THREAD = schema.Thread.__table__  # type: ignore[attr-defined]
_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]
_SUMMONS = schema.Summons.__table__  # type: ignore[attr-defined]
_BARRED = schema.Barred.__table__  # type: ignore[attr-defined]
_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]
_OTHER = _RUN.alias("other")
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_PAUSE = schema.Pause.__table__  # type: ignore[attr-defined]

MAX_CRASHES = 20  # processes that may die under a run, one after the other, without its getting any further
SUSPICIOUS = 3  # such deaths, after which a run is put off, so that others get on without it
LONGEST_QUARANTINE = 30.0  # seconds
PAUSE = "pause:"  # and a deployment: what runs wait for that are stopped with it


class SupersededError(GatewrightError):
    """Somebody else holds this run by now (its lease ran out, or it was cancelled); what this process does for it
    is refused."""


@dataclass(frozen=True, kw_only=True)
class NewThread:
    """A thread to be created."""

    id: str
    deployment: str
    agent: str
    case_id: str
    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]


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


# spelled out: an IN list is only expanded when a statement is executed
_UNFINISHED = sa.or_(*(_RUN.c.status == status for status in ("queued", "running", "waiting")))
_INSERT_THREAD = sa.text(
    "INSERT INTO thread (id, deployment, agent, case_id, settings, metadata, salt, created_at) VALUES (:id,"
    " :deployment, :agent, :case_id, :settings, :metadata, :salt, :created_at) ON CONFLICT (id) DO NOTHING"
)
_FIND_THREAD = sa.select(
    _THREAD.c.deployment, _THREAD.c.agent, _THREAD.c.case_id, _THREAD.c.closed_at, _THREAD.c.settings
).where(_THREAD.c.id == sa.bindparam("id"))
_INSERT_RUN = sa.insert(_RUN).values(
    {
        name: sa.bindparam(name)
        for name in (
            "id",
            "thread_id",
            "case_id",
            "deployment",
            "agent",
            "status",
            "epoch",
            "attempt",
            "crashes",
            "available_at",
            "input",
            "waiting_for",
            "parent_run_id",
            "requester",
            "created_at",
        )
    }
)
_BUSY = sa.select(_RUN.c.id, _RUN.c.status).where(_RUN.c.thread_id == sa.bindparam("thread_id"), _UNFINISHED)
_SENDER = _RUN.alias("sender")
_INSERT_SENT = _INSERT_RUN.values(  # an agent that was asked acts for whoever the asking one acts for
    requester=sa.select(_SENDER.c.requester).where(_SENDER.c.id == sa.bindparam("sender")).scalar_subquery()
)
_GOING = ~sa.exists().where(_PAUSE.c.deployment == _RUN.c.deployment)  # nobody has stopped the deployment
_READY = (
    sa.select(_RUN.c.id)
    .where(_RUN.c.status == "queued", _RUN.c.available_at <= sa.bindparam("now"), _GOING)
    .order_by(_RUN.c.available_at, _RUN.c.number)
    .limit(sa.bindparam("most"))
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
        lease_owner=sa.bindparam("owner"),
        lease_until=sa.bindparam("until"),
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
_HELD = sa.select(_RUN.c.id).where(
    _RUN.c.id == sa.bindparam("run_id"), _RUN.c.epoch == sa.bindparam("epoch"), _RUN.c.status == "running"
)
_ADMIT = sa.update(_RUN).where(_RUN.c.id == sa.bindparam("run_id")).values(admitted=sa.bindparam("said"))
_RENEW = (
    sa.update(_RUN)
    .where(_RUN.c.lease_owner == sa.bindparam("owner"), _RUN.c.status == "running")
    .values(lease_until=sa.bindparam("until"))
)
_STATE = sa.select(
    _RUN.c.status,
    _RUN.c.epoch,
    _RUN.c.thread_id,
    _RUN.c.case_id,
    _RUN.c.deployment,
    _RUN.c.agent,
    _RUN.c.attempt,
    _RUN.c.input,
    _RUN.c.parent_run_id,
    _RUN.c.waiting_for,
).where(_RUN.c.id == sa.bindparam("run_id"))
_SET_STATE = (
    sa.update(_RUN)
    .where(_RUN.c.id == sa.bindparam("run_id"))
    .values(
        status=sa.bindparam("to"),
        attempt=sa.bindparam("tries"),
        available_at=sa.bindparam("available"),
        waiting_for=sa.bindparam("waiting"),
        error=sa.bindparam("failure"),
        crashes=0,
        lease_owner=sa.null(),
        lease_until=sa.null(),
    )
)
_END = (
    sa.update(_RUN)
    .where(_RUN.c.id == sa.bindparam("run_id"))
    .values(
        status=sa.bindparam("to"),
        error=sa.bindparam("failure"),
        leaf=sa.bindparam("position"),
        finished_at=sa.bindparam("now"),
        input=sa.null(),
        admitted=sa.null(),
        available_at=sa.null(),
        waiting_for="[]",
        lease_owner=sa.null(),
        lease_until=sa.null(),
    )
)
_PROMOTE = (
    sa.update(_RUN)
    .where(
        _RUN.c.number
        == sa.select(sa.func.min(_RUN.c.number))
        .where(_RUN.c.thread_id == sa.bindparam("thread"), _RUN.c.status == "queued")
        .scalar_subquery(),
        _RUN.c.available_at.is_(None),
        ~sa.exists().where(
            _OTHER.c.thread_id == sa.bindparam("thread"),
            sa.or_(_OTHER.c.status == "running", _OTHER.c.status == "waiting"),
        ),
    )
    .values(available_at=sa.bindparam("now"))
)
_OPEN_REQUESTS = sa.select(_APPROVAL.c.id, _APPROVAL.c.state).where(_APPROVAL.c.run_id == sa.bindparam("run_id"))
_PAUSED = sa.select(_PAUSE.c.since).where(_PAUSE.c.deployment == sa.bindparam("deployment"))
_REQUEST_STATE = sa.select(_APPROVAL.c.state).where(_APPROVAL.c.id == sa.bindparam("id"))
_CANCEL_REQUESTS = (  # a review looks at what was done, and stays
    sa.update(_APPROVAL)
    .where(_APPROVAL.c.run_id == sa.bindparam("of_run"), _APPROVAL.c.state == "open", _APPROVAL.c.kind != "review")
    .values(state="cancelled", decided_at=sa.bindparam("now"))
)
_CANCELLED = sa.select(_APPROVAL.c.number).where(
    _APPROVAL.c.run_id == sa.bindparam("of_run"), _APPROVAL.c.state == "cancelled"
)
_DISMISS, _UNBAR = (sa.delete(table).where(table.c.number.in_(_CANCELLED)) for table in (_SUMMONS, _BARRED))
_CHILDREN = sa.select(_RUN.c.id).where(_RUN.c.parent_run_id == sa.bindparam("run_id"), _UNFINISHED)
_PROGRESS = (  # whether the last holder of the run recorded anything
    sa.exists()
    .where(_EFFECT.c.run_id == _RUN.c.id, _EFFECT.c.epoch == _RUN.c.epoch, _EFFECT.c.leaf.is_not(None))
    .label("progress")
)
_ORPHANS = sa.select(_RUN.c.id, _RUN.c.crashes, _PROGRESS).where(_RUN.c.status == "running")
_RECOVER = (
    sa.update(_RUN)
    .where(_RUN.c.id == sa.bindparam("run_id"))
    .values(
        status="queued",
        available_at=sa.bindparam("now"),
        crashes=sa.bindparam("deaths"),
        lease_owner=sa.null(),
        lease_until=sa.null(),
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
        ~sa.exists().where(_OTHER.c.id == _EFFECT.c.child_run_id),
    )
    .values(status="intended", child_run_id=sa.null())
)
_HURRY = (
    sa.update(_RUN)
    .where(_RUN.c.status == "queued", _RUN.c.available_at > sa.bindparam("latest"))
    .values(available_at=sa.bindparam("latest"))
)


def create_thread(transaction: Transaction, thread: NewThread, *, now: int) -> None:
    """Create a thread.

    Raises:
        ConflictError: there is one of that id.
    """
    created = transaction.run(
        _INSERT_THREAD,
        id=thread.id,
        deployment=thread.deployment,
        agent=thread.agent,
        case_id=thread.case_id,
        settings=dumps(dict(thread.settings)),
        metadata=dumps(dict(thread.metadata)),
        salt=os.urandom(16),
        created_at=now,
    )
    if not created:
        raise ConflictError(f"thread {thread.id!r} exists; start a run on it, or choose another id")


class KnownThread(NamedTuple):
    """A thread that exists. `closed_at`: microseconds since the epoch, None while runs may be started on it."""

    deployment: str
    agent: str
    case_id: str
    closed_at: int | None


def thread(transaction: Transaction, thread_id: str) -> KnownThread | None:
    """The thread of that id, None where there is none."""
    row = transaction.one(_FIND_THREAD, id=thread_id)
    return None if row is None else KnownThread(*row[:4])


def unfinished(transaction: Transaction, thread_id: str) -> list[str]:
    """The ids of the thread's runs that have not ended."""
    return [row[0] for row in transaction.all(_BUSY, thread_id=thread_id)]


def exists(transaction: Transaction, run_id: str) -> bool:
    """Whether a run of that id has been accepted."""
    return transaction.one(_STATE, run_id=run_id) is not None


def accept(
    transaction: Transaction,
    run_id: str,
    thread_id: str,
    input: bytes,
    *,
    parent_run_id: str | None = None,
    requester: str | None = None,
    sender: str | None = None,
    now: int,
) -> None:
    """Put a run in the queue of its thread. Accepting the same id twice is one acceptance.

    Args:
        requester: who starts it, where that is proven.
        sender: the run that sends it, whose requester is this one's.
    """
    if exists(transaction, run_id):
        return
    found = thread(transaction, thread_id)
    assert found is not None, "the caller has created or found the thread"
    place = (found.deployment, found.agent, found.case_id)
    available = None if unfinished(transaction, thread_id) else now
    _insert(
        transaction,
        run_id,
        thread_id,
        place,
        input,
        available=available,
        parent_run_id=parent_run_id,
        requester=requester,
        sender=sender,
        now=now,
    )


def accept_first(
    transaction: Transaction,
    run_id: str,
    thread: NewThread,
    input: bytes,
    *,
    requester: str | None = None,
    now: int,
) -> None:
    """Create a thread and put its first run in the queue.

    Raises:
        ConflictError: there is a thread of that id.
    """
    create_thread(transaction, thread, now=now)
    place = (thread.deployment, thread.agent, thread.case_id)
    _insert(
        transaction,
        run_id,
        thread.id,
        place,
        input,
        available=now,
        parent_run_id=None,
        requester=requester,
        now=now,
    )


def _insert(
    transaction: Transaction,
    run_id: str,
    thread_id: str,
    place: tuple[str, str, str],
    input: bytes,
    *,
    available: int | None,
    parent_run_id: str | None,
    requester: str | None,
    sender: str | None = None,
    now: int,
) -> None:
    deployment, agent, case_id = place
    transaction.run(
        _INSERT_RUN if sender is None else _INSERT_SENT,
        id=run_id,
        thread_id=thread_id,
        case_id=case_id,
        deployment=deployment,
        agent=agent,
        status="queued",
        epoch=0,
        attempt=1,
        crashes=0,
        available_at=available,
        input=input,
        waiting_for="[]",
        parent_run_id=parent_run_id,
        created_at=now,
        **({"requester": requester} if sender is None else {"sender": sender}),
    )


def deliver(
    transaction: Transaction,
    parent: Any,
    agent: str,
    run_id: str,
    payload: Mapping[str, Any],
    *,
    reply: bool,
    now: int,
) -> None:
    """Put a message down for another agent of the case: a run on that agent's thread below the sender's."""
    thread_id = f"{parent.thread_id}/{agent}"
    if transaction.one(_FIND_THREAD, id=thread_id) is None:
        row = transaction.one(_FIND_THREAD, id=parent.thread_id)
        assert row is not None, "the sender's thread exists"
        settings = json.loads(row[4])
        create_thread(
            transaction,
            NewThread(
                id=thread_id,
                deployment=parent.deployment,
                agent=agent,
                case_id=parent.case_id,
                settings=settings,
                metadata={},
            ),
            now=now,
        )
    accept(
        transaction,
        run_id,
        thread_id,
        orjson.dumps(payload),
        parent_run_id=parent.run_id if reply else None,
        sender=parent.run_id,
        now=now,
    )


def claim(transaction: Transaction, *, owner: str, until: int, most: int, now: int) -> list[Claimed]:
    """Take up to `most` runs that can start, oldest first."""
    ready = [row[0] for row in transaction.all(_READY, now=now, most=most)]
    taken = (_take(transaction, run_id, owner=owner, until=until, now=now) for run_id in ready)
    return [claimed for claimed in taken if claimed is not None]


def claim_this(transaction: Transaction, run_id: str, *, owner: str, until: int, now: int) -> Claimed | None:
    """Take this run if it can start; saves a just accepted run its way through the queue."""
    return _take(transaction, run_id, owner=owner, until=until, now=now)


def _take(transaction: Transaction, run_id: str, *, owner: str, until: int, now: int) -> Claimed | None:
    if not transaction.run(_TAKE, run_id=run_id, owner=owner, until=until, now=now):
        return None
    row = transaction.one(_CLAIMED, run_id=run_id)
    assert row is not None, "a run has a thread"
    return Claimed(*row)


def hold(transaction: Transaction, run_id: str, epoch: int) -> None:
    """Check that this process still holds the run.

    Raises:
        SupersededError: it does not.
    """
    if transaction.one(_HELD, run_id=run_id, epoch=epoch) is None:
        raise SupersededError(f"run {run_id!r} is no longer held by this process (epoch {epoch})")


def admit(transaction: Transaction, run_id: str, epoch: int, admitted: str) -> None:
    """Keep what rules said of the input, so that they are not asked again when the run goes on.

    Raises:
        SupersededError: this process does not hold the run.
    """
    hold(transaction, run_id, epoch)
    transaction.run(_ADMIT, run_id=run_id, said=admitted)


def renew(transaction: Transaction, *, owner: str, until: int) -> None:
    """Extend the leases of this process."""
    transaction.run(_RENEW, owner=owner, until=until)


def recover(transaction: Transaction, *, now: int, latest: int) -> int:
    """Queue again what a process held that has died; gives how many. The caller is alone on the database.

    Args:
        latest: no retry is put off further than this, even if the clock was ahead when it was scheduled.
    """
    orphans = transaction.all(_ORPHANS)
    for run_id, crashes, progress in orphans:
        transaction.run(_UNRECORDED, of_run=run_id)
        transaction.run(_UNDELIVERED, of_run=run_id)
        deaths = 1 if progress else crashes + 1
        if deaths >= MAX_CRASHES:
            message = (
                f"{deaths} processes died one after the other while executing this run; mend its agent, then resume"
            )
            end(transaction, run_id, "failed", failure={"type": "ProcessDied", "message": message}, now=now)
        else:
            transaction.run(_RECOVER, run_id=run_id, deaths=deaths, now=now + _quarantine(deaths))
    transaction.run(_HURRY, latest=latest)
    return len(orphans)


def _quarantine(deaths: int) -> int:
    """Microseconds to put a run off under which processes have died; at random, so that suspects come one by one."""
    if deaths < SUSPICIOUS:
        return 0
    seconds = min(0.1 * 2.0 ** (deaths - SUSPICIOUS), LONGEST_QUARANTINE) * random.uniform(0.5, 1.0)
    return int(seconds * MICROSECONDS)


def requeue(
    transaction: Transaction, run_id: str, *, attempt: int, available: int, failure: Mapping[str, str] | None = None
) -> None:
    """Give a run back, to be executed again at `available` (after a failure, or because this process drains)."""
    transaction.run(
        _SET_STATE,
        run_id=run_id,
        to="queued",
        tries=attempt,
        available=available,
        waiting="[]",
        failure=None if failure is None else dumps(failure),
    )


def park(
    transaction: Transaction, run_id: str, epoch: int, waiting_for: Sequence[str], *, attempt: int, now: int
) -> bool:
    """Let a run wait for approvals, agents it asked or its paused deployment; false where nothing is outstanding."""
    hold(transaction, run_id, epoch)
    outstanding = [item for item in waiting_for if _outstanding(transaction, item)]
    transaction.run(
        _SET_STATE,
        run_id=run_id,
        to="waiting" if outstanding else "queued",
        tries=attempt,
        available=None if outstanding else now,
        waiting=dumps(outstanding),
        failure=None,
    )
    return bool(outstanding)


def _outstanding(transaction: Transaction, item: str) -> bool:
    if item.startswith("run:"):
        row = transaction.one(_STATE, run_id=item.removeprefix("run:"))
        return row is not None and row[0] not in ("succeeded", "failed", "cancelled")
    if item.startswith(PAUSE):
        return transaction.one(_PAUSED, deployment=item.removeprefix(PAUSE)) is not None
    row = transaction.one(_REQUEST_STATE, id=item)
    return row is not None and row[0] == "open"


def arrived(transaction: Transaction, run_id: str, item: str, *, now: int) -> bool:
    """Note that something a run waits for is there; it is queued when nothing else is outstanding."""
    row = transaction.one(_STATE, run_id=run_id)
    if row is None or row[0] != "waiting":
        return False
    outstanding = [other for other in json.loads(row[9]) if other != item]
    transaction.run(
        _SET_STATE,
        run_id=run_id,
        to="waiting" if outstanding else "queued",
        tries=row[6],
        available=None if outstanding else now,
        waiting=dumps(outstanding),
        failure=None,
    )
    return not outstanding


def end(
    transaction: Transaction,
    run_id: str,
    status: str,
    *,
    now: int,
    output: bytes | None = None,
    failure: Mapping[str, str] | None = None,
    guard: records.GuardPart | None = None,
    detail: Mapping[str, Any] | None = None,
    epoch: int | None = None,
) -> list[str]:
    """End a run: record it, tell who asked for it, and let the next one of its thread start.

    Gives the ids of the runs that ended: this one, and those of agents it was still asking.

    Args:
        epoch: under which the caller holds the run; without, it need not be held.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it has ended already.
        SupersededError: the caller does not hold it any more.
    """
    row = transaction.one(_STATE, run_id=run_id)
    if epoch is not None and (row is None or (row[0], row[1]) != ("running", epoch)):
        raise SupersededError(f"run {run_id!r} is no longer held by this process (epoch {epoch})")
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}")
    if row[0] in ("succeeded", "failed", "cancelled"):
        raise ConflictError(f"run {run_id!r} has already {row[0]}")
    _status, _epoch, thread_id, case_id, deployment, agent, attempt, input, parent_run_id, _waiting = row
    values = {"input": input, **({"output": output} if output is not None else {})}
    salted = {field: records.seal(value) for field, value in values.items()}
    record = records.Record(
        kind="run",
        time=records.timestamp(moment(now)),
        deployment=deployment,
        agent=agent,
        run_id=run_id,
        thread_id=thread_id,
        case_id=case_id,
        guard=guard,
        outcome="ok" if status == "succeeded" else "error" if status == "failed" else None,
        error=failure["type"] if failure is not None else None,
        sealed={field: sealed.commitment for field, sealed in salted.items()},
        detail={"status": status, "attempt": attempt, **(detail or {})},
    )
    position = transaction.append(
        *leaves.written(record, [Seal(field, "json", values[field], salted[field].salt) for field in values])
    )
    transaction.run(
        _END, run_id=run_id, to=status, failure=None if failure is None else dumps(failure), position=position, now=now
    )
    if transaction.run(_CANCEL_REQUESTS, of_run=run_id, now=now):
        transaction.run(_DISMISS, of_run=run_id)
        transaction.run(_UNBAR, of_run=run_id)
    ended = [run_id]
    for (child,) in transaction.all(_CHILDREN, run_id=run_id):
        ended += end(transaction, child, "cancelled", now=now, detail={"reason": f"run {run_id} {status}"})
    transaction.run(_PROMOTE, thread=thread_id, now=now)
    if parent_run_id is not None:
        arrived(transaction, parent_run_id, f"run:{run_id}", now=now)
    return ended


def state(transaction: Transaction, run_id: str) -> str:
    """The status of a run.

    Raises:
        NotFoundError: there is no such run.
    """
    row = transaction.one(_STATE, run_id=run_id)
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}")
    return str(row[0])


def resume(transaction: Transaction, run_id: str, *, now: int) -> None:
    """Queue a failed run again; it goes on where it failed.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it has not failed, or its thread has gone on without it.
    """
    row = transaction.one(_STATE, run_id=run_id)
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}")
    if row[0] != "failed":
        raise ConflictError(f"run {run_id!r} is {row[0]}; only a failed run can be resumed")
    later = transaction.one(_LATER, run_id=run_id, of_thread=row[2])
    if later is not None:
        raise ConflictError(
            f"thread {row[2]!r} has gone on with run {later[0]!r} since run {run_id!r} failed; start a new run instead"
        )
    busy = unfinished(transaction, row[2])
    sealed = transaction.one(_SEALED_INPUT, run_id=run_id)
    assert sealed is not None, "a run that ended has its input sealed"
    transaction.run(_REOPEN, of_run=run_id, again=sealed[0], available=None if busy else now)


_LATER = sa.select(_RUN.c.id).where(
    _RUN.c.thread_id == sa.bindparam("of_thread"),
    _RUN.c.epoch > 0,
    _RUN.c.number > sa.select(_RUN.c.number).where(_RUN.c.id == sa.bindparam("run_id")).scalar_subquery(),
)
_SEALED_INPUT = (
    sa.select(_SEALED.c.value)
    .select_from(_SEALED.join(_RUN, _RUN.c.leaf == _SEALED.c.position))
    .where(_RUN.c.id == sa.bindparam("run_id"), _SEALED.c.field == "input")
)
_REOPEN = (
    sa.update(_RUN)
    .where(_RUN.c.id == sa.bindparam("of_run"))
    .values(
        status="queued",
        attempt=1,
        available_at=sa.bindparam("available"),
        input=sa.bindparam("again"),
        finished_at=sa.null(),
        error=sa.null(),
    )
)


class Reply(NamedTuple):
    """How the run of an agent that was asked stands."""

    status: str
    output: Any
    error: str


_REPLIES = (
    sa.select(_RUN.c.id, _RUN.c.status, _RUN.c.error, _SEALED.c.value)
    .select_from(_RUN.outerjoin(_SEALED, sa.and_(_SEALED.c.position == _RUN.c.leaf, _SEALED.c.field == "output")))
    .where(_RUN.c.parent_run_id == sa.bindparam("run_id"))
)


def replies(transaction: Transaction, run_id: str) -> dict[str, Reply]:
    """The runs of agents that this run asked, by id."""
    found: dict[str, Reply] = {}
    for child, status, error, output in transaction.all(_REPLIES, run_id=run_id):
        message = json.loads(error)["message"] if error else ""
        found[child] = Reply(status, None if output is None else orjson.loads(output), message)
    return found
