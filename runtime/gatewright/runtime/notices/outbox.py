"""The outbox: what is to be told, written in the same transaction as what it tells of.

A row is there as soon as, and only if, the change it tells of is durable; it leaves the state `waiting` when its
receiver has taken it (`sent`) or when it is given up (`dead`). A process that dies in between sends it again, under the
same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime import identifiers
from gatewright.runtime.clock import MICROSECONDS, moment
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.approvals.terms import ROLE

from . import facts as saying
from .facts import Facts
from .receivers import EventName, Receiver
from .views import NoticeView, State

KEEP = 30 * 24 * 3600  # seconds that what has been sent stays to be looked at; what is dead stays

_NOTICE = schema.Notice.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_RECEIVER = schema.Receiver.__table__  # type: ignore[attr-defined]

_RECEIVERS = sa.select(_RECEIVER.c.name, _RECEIVER.c.wants).order_by(_RECEIVER.c.name)
_ADD_RECEIVER = sa.insert(_RECEIVER).values({name: sa.bindparam(name) for name in ("name", "wants")})
_DROP_RECEIVER = sa.delete(_RECEIVER).where(_RECEIVER.c.name == sa.bindparam("dropped"))
_COLUMNS = ("id", "receiver", "event", "subject_id", "facts", "state", "attempts", "due_at", "created_at")
_ADD = sa.insert(_NOTICE).values({name: sa.bindparam(name) for name in _COLUMNS})
_SETTLE = (
    sa.update(_NOTICE)
    .where(_NOTICE.c.number == sa.bindparam("of"), _NOTICE.c.state == "waiting")
    .values(
        state=sa.bindparam("becomes"),
        attempts=_NOTICE.c.attempts + 1,
        due_at=sa.bindparam("due"),
        error=sa.bindparam("why"),
    )
)
_ORPHAN = (
    sa.update(_NOTICE)
    .where(_NOTICE.c.receiver == sa.bindparam("dropped"), _NOTICE.c.state == "waiting")
    .values(state=sa.literal_column("'dead'"), error=sa.bindparam("why"))
)
_AGAIN = (
    sa.update(_NOTICE)
    .where(_NOTICE.c.id == sa.bindparam("of"), _NOTICE.c.state == sa.literal_column("'dead'"))
    .values(
        state=sa.literal_column("'waiting'"),
        attempts=sa.literal_column("0"),
        error=sa.literal_column("NULL"),
        due_at=sa.bindparam("now"),
    )
)
_FIND = sa.select(_NOTICE.c.state, _NOTICE.c.receiver).where(_NOTICE.c.id == sa.bindparam("find"))
_TOLD = (
    sa.select(_NOTICE.c.number)
    .where(
        _NOTICE.c.subject_id == sa.bindparam("about"),
        _NOTICE.c.event == sa.bindparam("what"),
        _NOTICE.c.created_at > sa.bindparam("since"),
    )
    .limit(sa.literal_column("1"))
)
_PURGE = sa.delete(_NOTICE).where(
    _NOTICE.c.state == sa.literal_column("'sent'"), _NOTICE.c.due_at < sa.bindparam("before")
)


class Notice(NamedTuple):
    """A message on its way. `id` is the same however often it is sent; `attempts` counts those that failed."""

    number: int
    id: str
    event: str
    subject_id: str
    facts: Facts
    attempts: int
    created: datetime


class Settled(NamedTuple):
    """What became of one attempt: `due` is when the next one is, for `waiting`."""

    number: int
    state: State
    due: int
    error: str | None


def declare(transaction: Transaction, receivers: Sequence[Receiver]) -> None:
    """Make these the receivers that `enqueue` writes for.

    What waits for one that is not among them any more is given up.
    """
    known = dict(transaction.all(_RECEIVERS))
    wanted = {receiver.name: _wants(receiver) for receiver in receivers}
    for name in known:
        if known[name] == wanted.get(name):
            del wanted[name]
            continue
        transaction.run(_DROP_RECEIVER, dropped=name)
        if name not in wanted:
            transaction.run(_ORPHAN, dropped=name, why=f"receiver {name!r} is not configured any more")
    for name, wants in wanted.items():
        transaction.run(_ADD_RECEIVER, name=name, wants=wants)


def _wants(receiver: Receiver) -> str:
    return orjson.dumps(
        {"events": receiver.events, "roles": receiver.roles, "deployments": receiver.deployments}
    ).decode()


def enqueue(transaction: Transaction, event: EventName, subject_id: str, facts: Facts, *, now: int) -> None:
    """Tell the receivers that asked for it, once the transaction is durable. Writes nothing where there are none.

    Args:
        subject_id: of the approval or budget, or the name of the deployment.
        now: microseconds since the epoch.
    """
    for name, wants in transaction.all(_RECEIVERS):
        if _wanted(orjson.loads(wants), event, facts):
            transaction.run(
                _ADD,
                id=identifiers.new("notice"),
                receiver=name,
                event=event,
                subject_id=subject_id,
                facts=saying.dump(facts),
                state="waiting",
                attempts=0,
                due_at=now,
                created_at=now,
            )


def told(transaction: Transaction, event: EventName, subject_id: str, *, since: int) -> bool:
    """Whether anybody was told this of a subject after a time (microseconds since the epoch)."""
    return transaction.one(_TOLD, about=subject_id, what=event, since=since) is not None


def _wanted(wants: dict[str, list[str]], event: str, facts: Facts) -> bool:
    if event not in wants["events"]:
        return False
    if wants["deployments"] and facts.deployment not in wants["deployments"]:
        return False
    return not wants["roles"] or not facts.to or any(f"{ROLE}{role}" in facts.to for role in wants["roles"])


def due(connection: Connection, receiver: str, *, now: int, most: int) -> list[Notice]:
    """What is to be sent to a receiver, longest due first."""
    query = (
        sa.select(_NOTICE)
        .where(_NOTICE.c.receiver == receiver, _NOTICE.c.state == "waiting", _NOTICE.c.due_at <= now)
        .order_by(_NOTICE.c.due_at, _NOTICE.c.number)
        .limit(most)
    )
    return [
        Notice(
            number=row.number,
            id=row.id,
            event=row.event,
            subject_id=row.subject_id,
            facts=saying.load(row.facts),
            attempts=row.attempts,
            created=moment(row.created_at),
        )
        for row in connection.execute(query)
    ]


def settle(transaction: Transaction, settled: Iterable[Settled]) -> None:
    """Store what became of attempts."""
    for number, state, due_at, error in settled:
        transaction.run(_SETTLE, of=number, becomes=state, due=due_at, why=error)


def again(transaction: Transaction, notice_id: str, *, now: int) -> None:
    """Send a dead message anew, under its id.

    Raises:
        NotFoundError: there is none of that id.
        ConflictError: it is not dead, or its receiver is not configured any more.
    """
    found = transaction.one(_FIND, find=notice_id)
    if found is None:
        raise NotFoundError(f"there is no notice {notice_id!r}; `gatewright notices list --state any` shows them")
    state, receiver = found
    if state != "dead":
        raise ConflictError(f"notice {notice_id!r} is {state}; only what is dead is sent anew")
    if receiver not in dict(transaction.all(_RECEIVERS)):
        raise ConflictError(f"notice {notice_id!r} is for {receiver!r}, which is not configured; configure it first")
    transaction.run(_AGAIN, of=notice_id, now=now)


def purge(transaction: Transaction, *, now: int) -> None:
    """Forget what was sent long ago."""
    transaction.run(_PURGE, before=now - KEEP * MICROSECONDS)


def views(connection: Connection, *, state: State | None, limit: int, offset: int) -> list[NoticeView]:
    """Messages, newest first."""
    query = sa.select(_NOTICE).order_by(_NOTICE.c.number.desc()).limit(limit).offset(offset)
    if state is not None:
        query = query.where(_NOTICE.c.state == state)
    return [_view(row) for row in connection.execute(query)]


def _view(row: Any) -> NoticeView:
    return NoticeView(
        id=row.id,
        receiver=row.receiver,
        event=row.event,
        subject_id=row.subject_id,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
        created_at=moment(row.created_at),
        due_at=moment(row.due_at),
    )
