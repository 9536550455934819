"""The life of a run in the database: held, parked, finished, each as one operation of the writer.

A run is *queued* with `available_at` set when it may be claimed; the runs behind it on its thread are queued without,
until it has ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from gatewright.agents.errors import ConflictError, ExpiredError, GatewrightError, NotFoundError
from gatewright.safety.ledger import records

from . import acceptance, leaves
from .causes import Cause
from .clock import moment
from .store import locks, schema
from .store.appending import Seal
from .store.database import dumps
from .store.writer import Transaction

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]
_SUMMONS = schema.Summons.__table__  # type: ignore[attr-defined]
_BARRED = schema.Barred.__table__  # type: ignore[attr-defined]
_OTHER = _RUN.alias("other")
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_PAUSE = schema.Pause.__table__  # type: ignore[attr-defined]

MOST_EXPIRED = 100  # runs that are cancelled in one transaction because their deadline is over
LATE = {"by": "", "reason": "its deadline was over"}
PAUSE = "pause:"  # and a deployment: what runs wait for that are stopped with it


class SupersededError(GatewrightError):
    """Somebody else holds this run by now (its lease ran out, or it was cancelled); what this process does for it
    is refused."""


class PausedError(GatewrightError):
    """The run's deployment is paused; what may change the world is not intended."""


class Reply(NamedTuple):
    """How the run of an agent that was asked stands. `expired`: its deadline was over before it had ended."""

    status: str
    output: Any
    error: str
    expired: bool = False


_HELD = (  # and kept from others until the transaction ends
    sa.select(_RUN.c.id)
    .where(_RUN.c.id == sa.bindparam("run_id"), _RUN.c.epoch == sa.bindparam("epoch"), _RUN.c.status == "running")
    .with_for_update(key_share=True)
)
_ADMIT = sa.update(_RUN).where(_RUN.c.id == sa.bindparam("run_id")).values(admitted=sa.bindparam("said"))
_STATUS = sa.select(_RUN.c.status).where(_RUN.c.id == sa.bindparam("run_id"))
_STATE = (
    sa.select(
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
        _RUN.c.cause,
        _RUN.c.deadline,
    )
    .where(_RUN.c.id == sa.bindparam("run_id"))
    .with_for_update(key_share=True)
)
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
        holder=sa.null(),
    )
)
_END = (
    sa.update(_RUN)
    .where(_RUN.c.id == sa.bindparam("run_id"))
    .values(
        status=sa.bindparam("to"),
        error=sa.bindparam("failure"),
        leaf=sa.bindparam("record"),
        finished_at=sa.bindparam("now"),
        input=sa.null(),
        admitted=sa.null(),
        available_at=sa.null(),
        waiting_for="[]",
        holder=sa.null(),
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
_PAUSED = sa.select(_PAUSE.c.since).where(_PAUSE.c.deployment == sa.bindparam("deployment"))
_REQUEST_STATE = sa.select(_APPROVAL.c.state).where(_APPROVAL.c.id == sa.bindparam("id"))
_REQUESTS = sa.select(_APPROVAL.c.number).where(_APPROVAL.c.run_id == sa.bindparam("of_run"))
_CANCEL_REQUESTS = (  # a review looks at what was done, and stays
    sa.update(_APPROVAL)
    .where(_APPROVAL.c.number.in_(_REQUESTS), _APPROVAL.c.state == "open", _APPROVAL.c.kind != "review")
    .values(state="cancelled", decided_at=sa.bindparam("now"))
)
_CANCELLED = sa.select(_APPROVAL.c.number).where(_APPROVAL.c.number.in_(_REQUESTS), _APPROVAL.c.state == "cancelled")
_DISMISS, _UNBAR = (sa.delete(table).where(table.c.number.in_(_CANCELLED)) for table in (_SUMMONS, _BARRED))
_AFFECTED = sa.select(  # whether it has requests, runs of agents that it asked, others behind it on its thread
    sa.exists().where(_APPROVAL.c.run_id == sa.bindparam("run_id")),
    sa.exists().where(_RUN.c.parent_run_id == sa.bindparam("run_id"), acceptance.UNFINISHED),
    sa.exists().where(_OTHER.c.thread_id == sa.bindparam("thread"), _OTHER.c.status == "queued"),
)
_CHILDREN = sa.select(_RUN.c.id).where(_RUN.c.parent_run_id == sa.bindparam("run_id"), acceptance.UNFINISHED)
_LATER = sa.select(_RUN.c.id).where(
    _RUN.c.thread_id == sa.bindparam("of_thread"),
    _RUN.c.epoch > 0,
    _RUN.c.number > sa.select(_RUN.c.number).where(_RUN.c.id == sa.bindparam("run_id")).scalar_subquery(),
)
_SEALED_INPUT = (
    sa.select(_SEALED.c.value)
    .select_from(_SEALED.join(_RUN, _RUN.c.leaf == _SEALED.c.leaf))
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
_REPLIES = (
    sa.select(_RUN.c.id, _RUN.c.status, _RUN.c.error, _SEALED.c.value)
    .select_from(_RUN.outerjoin(_SEALED, sa.and_(_SEALED.c.leaf == _RUN.c.leaf, _SEALED.c.field == "output")))
    .where(_RUN.c.parent_run_id == sa.bindparam("run_id"))
)


_EXPIRED = (
    sa.select(_RUN.c.id, _RUN.c.deadline)
    .where(_RUN.c.deadline.is_not(None), _RUN.c.finished_at.is_(None), _RUN.c.deadline <= sa.bindparam("now"))
    .order_by(_RUN.c.deadline)
    .limit(sa.bindparam("most"))
)


def hold(transaction: Transaction, run_id: str, epoch: int) -> None:
    """Check that this process still holds the run.

    Raises:
        SupersededError: it does not.
    """
    if transaction.one(_HELD, run_id=run_id, epoch=epoch) is None:
        raise SupersededError(f"run {run_id!r} is no longer held by this process (epoch {epoch})")


def check_going(transaction: Transaction, deployment: str) -> None:
    """Check that no process has paused a deployment, and let none do so before the transaction ends.

    In a SQLite file the one process knows its pauses by heart, and nothing is looked up.

    Raises:
        PausedError: it is paused.
    """
    if transaction.dialect == "sqlite" or deployment in transaction.going:
        return
    if _paused(transaction, deployment):
        raise PausedError(f"deployment {deployment!r} is paused")
    transaction.going.add(deployment)


def _paused(transaction: Transaction, deployment: str) -> bool:
    locks.share(transaction, "pause", deployment)  # who pauses or resumes comes before this, or after all of it
    return transaction.one(_PAUSED, deployment=deployment) is not None


def admit(transaction: Transaction, run_id: str, epoch: int, admitted: str) -> None:
    """Keep what rules said of the input, so that they are not asked again when the run goes on.

    Raises:
        SupersededError: this process does not hold the run.
    """
    hold(transaction, run_id, epoch)
    transaction.run(_ADMIT, run_id=run_id, said=admitted)


def requeue(
    transaction: Transaction, run_id: str, *, attempt: int, available: int, failure: Mapping[str, str] | None = None
) -> None:
    """Give a run back, to be executed again at `available` (after a failure, or because this process drains)."""
    transaction.queued = True
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
    hold(transaction, run_id, epoch)  # first: what arrives meanwhile waits for it, and finds the run waiting
    outstanding = [item for item in waiting_for if _outstanding(transaction, item)]
    transaction.queued |= not outstanding
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
        row = transaction.one(_STATUS, run_id=item.removeprefix("run:"))
        return row is not None and row[0] not in ("succeeded", "failed", "cancelled")
    if item.startswith(PAUSE):
        return _paused(transaction, item.removeprefix(PAUSE))
    row = transaction.one(_REQUEST_STATE, id=item)
    return row is not None and row[0] == "open"


def arrived(transaction: Transaction, run_id: str, item: str, *, now: int) -> bool:
    """Note that something a run waits for is there; it is queued when nothing else is outstanding."""
    row = transaction.one(_STATE, run_id=run_id)
    if row is None or row[0] != "waiting":
        return False
    outstanding = [other for other in json.loads(row[9]) if other != item]
    transaction.queued |= not outstanding
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
    _status, _epoch, thread_id, case_id, deployment, agent, attempt, input, parent_run_id, _waiting = row[:10]
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
        detail={"status": status, "attempt": attempt, **_about(*row[10:]), **(detail or {})},
    )
    record_id = transaction.append(
        *leaves.written(record, [Seal(field, "json", values[field], salted[field].salt) for field in values])
    )
    transaction.run(
        _END, run_id=run_id, to=status, failure=None if failure is None else dumps(failure), record=record_id, now=now
    )
    acceptance.lock(transaction, thread_id)
    affected = transaction.one(_AFFECTED, run_id=run_id, thread=thread_id)
    assert affected is not None, "one row, whatever there is"
    requests, children, behind = affected
    if requests and transaction.run(_CANCEL_REQUESTS, of_run=run_id, now=now):
        transaction.run(_DISMISS, of_run=run_id)
        transaction.run(_UNBAR, of_run=run_id)
    ended = [run_id]
    for (child,) in transaction.all(_CHILDREN, run_id=run_id) if children else ():
        ended += end(transaction, child, "cancelled", now=now, detail={"reason": f"run {run_id} {status}"})
    if behind:
        transaction.run(_PROMOTE, thread=thread_id, now=now)
        transaction.queued = True
    if parent_run_id is not None:
        arrived(transaction, parent_run_id, f"run:{run_id}", now=now)
    return ended


def _about(cause: str | None, deadline: int | None) -> dict[str, Any]:
    """What a record says of the message that started a run, and of its deadline."""
    found = Cause.load(cause)
    about: dict[str, Any] = {} if found is None else {"message": found.plain()}
    if deadline is not None:
        about["deadline"] = records.timestamp(moment(deadline))
    return about


def expire(transaction: Transaction, *, now: int) -> list[str]:
    """Cancel runs whose deadline is over; gives the ids of all that ended with them."""
    ended: list[str] = []
    for run_id, deadline in transaction.all(_EXPIRED, now=now, most=MOST_EXPIRED):
        with suppress(ConflictError):  # it ended meanwhile, by itself or with one before it
            ended += end(transaction, run_id, "cancelled", failure=expiry(deadline), detail=LATE, now=now)
    return ended


def late(connection: sa.Connection, *, now: int) -> bool:
    """Whether there is a run that has not ended by its deadline."""
    return connection.execute(_EXPIRED, {"now": now, "most": 1}).first() is not None


def expiry(deadline: int) -> dict[str, str]:
    """What is said of a run that had not ended by its deadline."""
    at = moment(deadline).isoformat(timespec="milliseconds")
    return {"type": ExpiredError.__name__, "message": f"its deadline was {at}"}


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
    acceptance.lock(transaction, row[2])
    later = transaction.one(_LATER, run_id=run_id, of_thread=row[2])
    if later is not None:
        raise ConflictError(
            f"thread {row[2]!r} has gone on with run {later[0]!r} since run {run_id!r} failed; start a new run instead"
        )
    busy = acceptance.unfinished(transaction, row[2])
    transaction.queued |= not busy
    sealed = transaction.one(_SEALED_INPUT, run_id=run_id)
    assert sealed is not None, "a run that ended has its input sealed"
    transaction.run(_REOPEN, of_run=run_id, again=sealed[0], available=None if busy else now)


def replies(transaction: Transaction, run_id: str) -> dict[str, Reply]:
    """The runs of agents that this run asked, by id."""
    found: dict[str, Reply] = {}
    for child, status, error, output in transaction.all(_REPLIES, run_id=run_id):
        failure = json.loads(error) if error else {"type": "", "message": ""}
        found[child] = Reply(
            status,
            None if output is None else orjson.loads(output),
            failure["message"],
            expired=status == "cancelled" and failure["type"] == ExpiredError.__name__,
        )
    return found
