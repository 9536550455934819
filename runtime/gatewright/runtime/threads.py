"""Threads begin and end: what the rules say to it, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import sqlalchemy as sa

from gatewright.agents.errors import ConflictError, DeniedError
from gatewright.safety.ledger import records

from . import acceptance, leaves
from .clock import moment
from .courses import adrive
from .deployments import LoadedDeployment
from .judging import Judge, Ruling
from .recording import Execution, Office
from .store import schema
from .store.writer import Transaction, arrival

_THREAD = schema.Thread.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_RUN = schema.Run.__table__  # type: ignore[attr-defined]
_CLOSE = sa.update(_THREAD).where(_THREAD.c.id == sa.bindparam("of")).values(closed_at=sa.bindparam("now"))
_UNFINISHED = sa.select(_RUN.c.id).where(
    _RUN.c.case_id == sa.bindparam("case"),
    sa.or_(_RUN.c.status == "queued", _RUN.c.status == "running", _RUN.c.status == "waiting"),
)


async def admit(office: Office, deployment: LoadedDeployment, thread: acceptance.NewThread) -> None:
    """Ask the rules whether a thread that does not exist yet may begin.

    Raises:
        DeniedError: it may not; that is recorded.
    """
    judge = Judge(_execution(thread.id, deployment, thread.agent), office, deployment)
    if not judge.wants("thread.start", thread.agent):
        return
    if await arrival(office.writer.submit(lambda tx: acceptance.thread(tx, thread.id))) is not None:
        return
    args = {"settings": dict(thread.settings), "metadata": dict(thread.metadata)}
    await _judged(office, deployment, judge, "thread.start", thread.id, thread.agent, args, by="")


async def close(office: Office, deployment: LoadedDeployment, thread_id: str, agent: str, *, by: str) -> None:
    """End a thread: no run can be started on it any more.

    Raises:
        ConflictError: it is closed already, or a run of its case has not ended.
        DeniedError: rules refuse it; that is recorded.
    """
    judge = Judge(_execution(thread_id, deployment, agent), office, deployment)
    if judge.wants("thread.end", agent):
        await _judged(office, deployment, judge, "thread.end", thread_id, agent, {}, by=by)
    now = office.clock.now()

    def write(transaction: Transaction) -> None:
        acceptance.lock(transaction, thread_id)
        _check_open(thread_id, acceptance.thread(transaction, thread_id))
        if unfinished := transaction.one(_UNFINISHED, case=thread_id):
            raise ConflictError(f"thread {thread_id!r} has run {unfinished[0]!r} under way; wait for it, or cancel it")
        transaction.run(_CLOSE, of=thread_id, now=now)
        _record(transaction, deployment, thread_id, agent, "thread.end", None, by=by, now=now)

    await arrival(office.writer.submit(write))


def join(transaction: Transaction, thread: acceptance.NewThread, *, now: int) -> None:
    """Create a thread, or check that this one goes on.

    Raises:
        ConflictError: it belongs to another deployment, or is closed.
    """
    if acceptance.create_missing(transaction, thread, now=now):
        return
    acceptance.lock(transaction, thread.id)
    known = acceptance.thread(transaction, thread.id)
    assert known is not None, "it could not be created because it exists"
    if known.deployment != thread.deployment:
        raise ConflictError(
            f"thread {thread.id!r} belongs to deployment {known.deployment!r}, not {thread.deployment!r}"
        )
    _check_open(thread.id, known)


def _check_open(thread_id: str, known: acceptance.KnownThread | None) -> None:
    if known is not None and known.closed_at is not None:
        at = moment(known.closed_at).isoformat(timespec="seconds")
        raise ConflictError(f"thread {thread_id!r} was closed at {at}; begin another")


async def _judged(
    office: Office,
    deployment: LoadedDeployment,
    judge: Judge,
    hook: Literal["thread.start", "thread.end"],
    thread_id: str,
    agent: str,
    args: Mapping[str, Any],
    *,
    by: str,
) -> None:
    ruling = cast("Ruling", await adrive(judge.judge(hook, agent, args=args)))
    if ruling.decision.verdict == "allow" and hook == "thread.end":
        return  # its end is recorded when it has come
    now = office.clock.now()
    await arrival(
        office.writer.submit(lambda tx: _record(tx, deployment, thread_id, agent, hook, ruling, by=by, now=now))
    )
    if ruling.decision.verdict != "allow":
        raise DeniedError(f"{hook} refused: {ruling.decision.reason}")


def _record(
    transaction: Transaction,
    deployment: LoadedDeployment,
    thread_id: str,
    agent: str,
    hook: str,
    ruling: Ruling | None,
    *,
    by: str,
    now: int,
) -> None:
    record = records.Record(
        kind="thread",
        time=records.timestamp(moment(now)),
        deployment=deployment.name,
        agent=agent,
        thread_id=thread_id,
        case_id=thread_id,
        guard=None if ruling is None else records.GuardPart(before=ruling.judgement),
        outcome="ok" if ruling is None or ruling.decision.verdict == "allow" else "denied",
        detail={"event": hook, "by": by},
    )
    transaction.append(*leaves.written(record))


def _execution(thread_id: str, deployment: LoadedDeployment, agent: str) -> Execution:
    return Execution(
        run_id="",
        thread_id=thread_id,
        case_id=thread_id,
        deployment=deployment.name,
        agent=agent,
        epoch=0,
        salt=b"",
    )
