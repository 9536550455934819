"""Dead letters: messages that a group could not handle, with the reason, and their way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime import identifiers
from gatewright.runtime.clock import moment
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction

from .cursors import Group
from .log import Row
from .parking import Parked
from .views import DeadLetterView, LetterState

Reason = Literal["rejected", "attempts", "crash", "expired", "invalid"]
"""Why: the handler refused it for good · its attempts are used up · so they are, and nothing came of the last one: the
process died or froze over it, or what came of it could not be written · its deadline was over before it was started ·
it is no message of a type that the topic takes."""

KEEP = 30 * 24 * 3600 * 1_000_000  # microseconds that what was redriven stays to be looked at; what is dead stays

_LETTER = schema.DeadLetter.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_COLUMNS = ("id topic group partition offset key message_id reason detail stack attempts body state created_at").split()
_ADD = sa.insert(_LETTER).values({name: sa.bindparam(f"a_{name}") for name in _COLUMNS})
_FIND = sa.select(_LETTER.c.state, _LETTER.c.topic, _LETTER.c.group).where(_LETTER.c.id == sa.bindparam("find"))
_REDRIVE = (
    sa.update(_LETTER)
    .where(_LETTER.c.id == sa.bindparam("find"), _LETTER.c.state == sa.literal_column("'dead'"))
    .values(state=sa.literal_column("'redriving'"), redriven_at=sa.bindparam("now", type_=sa.BigInteger))
)
_REDRIVING = (
    sa.select(_LETTER.c.number, _LETTER.c.partition, _LETTER.c.offset, _LETTER.c.key, _LETTER.c.body)
    .where(
        _LETTER.c.state == sa.literal_column("'redriving'"),
        _LETTER.c.topic == sa.bindparam("of"),
        _LETTER.c.group == sa.bindparam("by"),
    )
    .order_by(_LETTER.c.number)
    .limit(sa.literal_column("1000"))
)
_REDRIVEN = (
    sa.update(_LETTER)
    .where(_LETTER.c.number == sa.bindparam("number_"), _LETTER.c.state == sa.literal_column("'redriving'"))
    .values(state=sa.literal_column("'redriven'"))
)
_PURGE = sa.delete(_LETTER).where(
    _LETTER.c.state == sa.literal_column("'redriven'"), _LETTER.c.redriven_at < sa.bindparam("before")
)


class Letter(NamedTuple):
    """A message on its way to the dead letters."""

    partition: int
    offset: int
    key: str | None
    message_id: str
    reason: Reason
    detail: str
    stack: str | None
    attempts: int
    body: bytes

    @classmethod
    def of(cls, row: Row, reason: Reason, detail: str, stack: str | None, attempts: int) -> Letter:
        """The dead letter of a message. `detail` and `stack` may be any text; what is no Unicode in it is escaped."""
        if stack is not None:
            stack = _storable(stack)
        return cls(row.partition, row.offset, row.key, row.id, reason, _storable(detail), stack, attempts, row.body)


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", r"\x00")  # PostgreSQL takes no NUL


def add(transaction: Transaction, group: Group, letters: Sequence[Letter], *, now: int) -> None:
    """Store dead letters."""
    for letter in letters:
        transaction.run(
            _ADD,
            a_id=identifiers.new("dead"),
            a_topic=group.topic,
            a_group=group.name,
            a_partition=letter.partition,
            a_offset=letter.offset,
            a_key=letter.key,
            a_message_id=letter.message_id,
            a_reason=letter.reason,
            a_detail=letter.detail,
            a_stack=letter.stack,
            a_attempts=letter.attempts,
            a_body=letter.body,
            a_state="dead",
            a_created_at=now,
        )


def redrive(transaction: Transaction, letter_id: str, *, now: int) -> None:
    """Give a dead letter to its group again, with no attempts counted.

    Raises:
        NotFoundError: there is none of that id.
        ConflictError: it was redriven before.
    """
    if transaction.run(_REDRIVE, find=letter_id, now=now):
        return
    found = transaction.one(_FIND, find=letter_id)
    if found is None:
        raise _unknown(letter_id)
    raise ConflictError(f"dead letter {letter_id!r} is {found[0]}; group {found[2]!r} has it again")


def returning(transaction: Transaction, group: Group) -> list[tuple[int, Parked]]:
    """What is on its way back to a group, with the numbers of the letters."""
    return [
        (number, Parked(part, offset, key, 0, None, None, bytes(body)))
        for number, part, offset, key, body in transaction.all(_REDRIVING, of=group.topic, by=group.name)
    ]


def take(transaction: Transaction, number: int) -> bool:
    """Take a letter that is on its way back; false where somebody has. The caller parks it."""
    return transaction.run(_REDRIVEN, number_=number) == 1


def purge(transaction: Transaction, *, now: int) -> None:
    """Forget what was redriven long ago."""
    transaction.run(_PURGE, before=now - KEEP)


def views(
    connection: Connection,
    *,
    topic: str | None,
    group: str | None,
    state: LetterState | None,
    limit: int,
    offset: int,
) -> list[DeadLetterView]:
    """Dead letters, newest first."""
    query = sa.select(_LETTER).order_by(_LETTER.c.number.desc()).limit(limit).offset(offset)
    for column, value in ((_LETTER.c.topic, topic), (_LETTER.c.group, group), (_LETTER.c.state, state)):
        if value is not None:
            query = query.where(column == value)
    return [_view(row) for row in connection.execute(query)]


def view(connection: Connection, letter_id: str) -> DeadLetterView:
    """One dead letter.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = connection.execute(sa.select(_LETTER).where(_LETTER.c.id == letter_id)).first()
    if row is None:
        raise _unknown(letter_id)
    return _view(row)


def _unknown(letter_id: str) -> NotFoundError:
    return NotFoundError(f"there is no dead letter {letter_id!r}; `gatewright bus dead-letters` shows them")


def _view(row: Any) -> DeadLetterView:
    return DeadLetterView(
        id=row.id,
        topic=row.topic,
        group=row.group,
        partition=row.partition,
        offset=row.offset,
        key=row.key,
        message_id=row.message_id,
        reason=row.reason,
        detail=row.detail or "",
        stack=row.stack,
        attempts=row.attempts,
        state=row.state,
        message=bytes(row.body).decode("utf-8", "replace"),
        created_at=moment(row.created_at),
        redriven_at=None if row.redriven_at is None else moment(row.redriven_at),
    )
