"""Runs are accepted: threads are created, and a run takes its place in the queue of its thread."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from gatewright.agents.errors import ConflictError

from .causes import Cause
from .store import schema
from .store.database import dumps
from .store.writer import Transaction

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_THREAD = schema.Thread.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class NewThread:
    """A thread to be created."""

    id: str
    deployment: str
    agent: str
    case_id: str
    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]


class KnownThread(NamedTuple):
    """A thread that exists. `closed_at`: microseconds since the epoch, None while runs may be started on it."""

    deployment: str
    agent: str
    case_id: str
    closed_at: int | None


# spelled out: an IN list is only expanded when a statement is executed
UNFINISHED = sa.or_(*(_RUN.c.status == status for status in ("queued", "running", "waiting")))
_INSERT_THREAD = sa.text(
    "INSERT INTO thread (id, deployment, agent, case_id, settings, metadata, salt, created_at) VALUES (:id,"
    " :deployment, :agent, :case_id, :settings, :metadata, :salt, :created_at) ON CONFLICT (id) DO NOTHING"
)
_FIND_THREAD = sa.select(
    _THREAD.c.deployment, _THREAD.c.agent, _THREAD.c.case_id, _THREAD.c.closed_at, _THREAD.c.settings
).where(_THREAD.c.id == sa.bindparam("id"))
_INSERT_RUN = sa.text(  # an agent that was asked acts for whoever the asking one acts for
    "INSERT INTO run (id, thread_id, case_id, deployment, agent, status, epoch, attempt, crashes, available_at, input,"
    " waiting_for, parent_run_id, requester, cause, deadline, created_at) VALUES (:id, :thread_id, :case_id,"
    " :deployment, :agent, 'queued', 0, 1, 0, :available_at, :input, '[]', :parent_run_id,"
    " coalesce(:requester, (SELECT s.requester FROM run s WHERE s.id = :sender)), :cause, :deadline, :created_at)"
    " ON CONFLICT (id) DO NOTHING"
)
_BUSY = sa.select(_RUN.c.id, _RUN.c.status).where(_RUN.c.thread_id == sa.bindparam("thread_id"), UNFINISHED)
_QUEUE_UP = sa.select(_THREAD.c.id).where(_THREAD.c.id == sa.bindparam("thread_id")).with_for_update(key_share=True)
_EXISTS = sa.select(_RUN.c.id).where(_RUN.c.id == sa.bindparam("run_id"))


def create_thread(transaction: Transaction, thread: NewThread, *, now: int) -> None:
    """Create a thread.

    Raises:
        ConflictError: there is one of that id.
    """
    if not create_missing(transaction, thread, now=now):
        raise ConflictError(f"thread {thread.id!r} exists; start a run on it, or choose another id")


def create_missing(transaction: Transaction, thread: NewThread, *, now: int) -> bool:
    """Create a thread; false where there is one of that id."""
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
    return bool(created)


def thread(transaction: Transaction, thread_id: str) -> KnownThread | None:
    """The thread of that id, None where there is none."""
    row = transaction.one(_FIND_THREAD, id=thread_id)
    return None if row is None else KnownThread(*row[:4])


def unfinished(transaction: Transaction, thread_id: str) -> list[str]:
    """The ids of the thread's runs that have not ended."""
    return [row[0] for row in transaction.all(_BUSY, thread_id=thread_id)]


def lock(transaction: Transaction, thread_id: str) -> None:
    """Keep others from changing the queue of a thread before this transaction ends; in a SQLite file nobody can."""
    if transaction.dialect != "sqlite":
        transaction.one(_QUEUE_UP, thread_id=thread_id)


def exists(transaction: Transaction, run_id: str) -> bool:
    """Whether a run of that id has been accepted."""
    return transaction.one(_EXISTS, run_id=run_id) is not None


def accept(
    transaction: Transaction,
    run_id: str,
    thread_id: str,
    input: bytes,
    *,
    parent_run_id: str | None = None,
    requester: str | None = None,
    sender: str | None = None,
    cause: Cause | None = None,
    deadline: int | None = None,
    now: int,
) -> bool:
    """Put a run in the queue of its thread; false where a run of that id has been accepted before.

    Args:
        requester: who starts it, where that is proven.
        sender: the run that sends it, whose requester is this one's.
        cause: the message that starts it.
        deadline: from when on (microseconds since the epoch) nobody needs its result.
    """
    if exists(transaction, run_id):
        return False
    lock(transaction, thread_id)
    found = thread(transaction, thread_id)
    assert found is not None, "the caller has created or found the thread"
    place = (found.deployment, found.agent, found.case_id)
    available = None if unfinished(transaction, thread_id) else now
    return _insert(
        transaction,
        run_id,
        thread_id,
        place,
        input,
        available=available,
        parent_run_id=parent_run_id,
        requester=requester,
        sender=sender,
        cause=cause,
        deadline=deadline,
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
) -> bool:
    """Create a thread and put its first run in the queue; false where a run of that id has been accepted before.

    Raises:
        ConflictError: there is a thread of that id.
    """
    create_thread(transaction, thread, now=now)
    place = (thread.deployment, thread.agent, thread.case_id)
    return _insert(
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
    cause: Cause | None = None,
    deadline: int | None = None,
    now: int,
) -> bool:
    deployment, agent, case_id = place
    transaction.queued |= available is not None
    return bool(
        transaction.run(
            _INSERT_RUN,
            id=run_id,
            thread_id=thread_id,
            case_id=case_id,
            deployment=deployment,
            agent=agent,
            available_at=available,
            input=input,
            parent_run_id=parent_run_id,
            requester=requester,
            sender=sender,
            cause=None if cause is None else cause.dump(),
            deadline=deadline,
            created_at=now,
        )
    )


def deliver(
    transaction: Transaction,
    parent: Any,
    agent: str,
    run_id: str,
    payload: Mapping[str, Any],
    *,
    cause: Cause,
    reply: bool,
    deadline: int | None = None,
    now: int,
) -> None:
    """Put a message down for another agent of the case: a run on that agent's thread below the sender's.

    Args:
        cause: the message.
        deadline: from when on (microseconds since the epoch) nobody needs the reply.
    """
    thread_id = f"{parent.thread_id}/{agent}"
    if transaction.one(_FIND_THREAD, id=thread_id) is None:
        row = transaction.one(_FIND_THREAD, id=parent.thread_id)
        assert row is not None, "the sender's thread exists"
        settings = json.loads(row[4])
        create_missing(
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
        cause=cause,
        deadline=deadline,
        now=now,
    )
