"""Parked messages: those that wait for another attempt, and those of the same key behind them.

A parked message is settled as far as its partition's position is concerned, so the partition goes on without it. Of
each key the first one has a time at which it is due. Its attempt is counted before it starts: whatever becomes of the
process, it is not tried for ever. A process that lives, and could not write what came of an attempt, gives it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction

from .cursors import Group

_PARKED = schema.Parked.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_MESSAGE = schema.Message.__table__  # type: ignore[attr-defined]

_PARK = sa.insert(_PARKED)
_PLACE = (
    _PARKED.c.topic == sa.bindparam("of"),
    _PARKED.c.group == sa.bindparam("by"),
    _PARKED.c.partition == sa.bindparam("part"),
)
_ONE = (*_PLACE, _PARKED.c.offset == sa.bindparam("at"))
_START = sa.update(_PARKED).where(*_ONE).values(attempts=_PARKED.c.attempts + 1).returning(_PARKED.c.attempts)
_GIVE_BACK = (
    sa.update(_PARKED).where(*_ONE, _PARKED.c.attempts > sa.literal_column("0")).values(attempts=_PARKED.c.attempts - 1)
)
_BODY = (
    sa.select(_PARKED.c.body, _MESSAGE.c.body)
    .select_from(
        _PARKED.outerjoin(
            _MESSAGE,
            sa.and_(
                _MESSAGE.c.number == _PARKED.c.number,
            ),
        )
    )
    .where(*_ONE)
)
_DUE = sa.update(_PARKED).where(*_ONE).values(due_at=sa.bindparam("due", type_=sa.BigInteger))
_DROP = sa.delete(_PARKED).where(*_ONE)
_NEXT = (
    sa.select(_PARKED.c.offset, _PARKED.c.number)
    .where(*_PLACE, _PARKED.c.key == sa.bindparam("of_key"))
    .order_by(_PARKED.c.offset)
    .limit(sa.literal_column("1"))
)
_HEADS = sa.select(_PARKED.c.offset, _PARKED.c.key, _PARKED.c.attempts, _PARKED.c.due_at, _PARKED.c.number).where(
    *_PLACE, _PARKED.c.due_at.is_not(None)
)
_BEHIND = sa.select(_PARKED.c.key, sa.func.count()).where(*_PLACE, _PARKED.c.due_at.is_(None)).group_by(_PARKED.c.key)

_HEADLESS = (
    sa.select(_PARKED.c.key)
    .where(*_PLACE, _PARKED.c.key.is_not(None))
    .group_by(_PARKED.c.key)
    .having(sa.func.count(_PARKED.c.due_at) == sa.literal_column("0"))
)


class Parked(NamedTuple):
    """A message that waits: `due` is when its next attempt is (microseconds), None behind another of its key."""

    partition: int
    offset: int
    key: str | None
    attempts: int
    due: int | None
    number: int | None
    body: bytes | None = None


class Started(NamedTuple):
    """A parked message whose attempt number `attempts` has been counted."""

    parked: Parked
    attempts: int
    body: bytes


def park(transaction: Transaction, group: Group, parked: Iterable[Parked]) -> None:
    """Let messages wait."""
    transaction.many(
        _PARK,
        [
            (
                group.topic,
                group.name,
                entry.partition,
                entry.offset,
                entry.key,
                entry.attempts,
                entry.due,
                entry.number,
                entry.body,
            )
            for entry in parked
        ],
    )


def start(transaction: Transaction, group: Group, parked: Parked) -> Started | None:
    """Count an attempt, before it is made; None where there is no such message any more."""
    place = _place(group, parked.partition, parked.offset)
    counted = transaction.one(_START, **place)
    if counted is None:
        return None
    body, message = transaction.one(_BODY, **place) or (None, None)
    return Started(parked, counted[0], bytes(body or message or b""))


def give_back(transaction: Transaction, group: Group, places: Iterable[tuple[int, int]]) -> None:
    """Count an attempt less of these messages (partition, offset): the process is alive, and nothing came of it.

    Whoever has the partitions by now has counted attempts of its own, so this needs no fence.
    """
    for part, offset in sorted(places):
        transaction.run(_GIVE_BACK, **_place(group, part, offset))


def postpone(transaction: Transaction, group: Group, part: int, offset: int, due: int) -> None:
    """Set when the next attempt is."""
    transaction.run(_DUE, **_place(group, part, offset), due=due)


def drop(transaction: Transaction, group: Group, part: int, offset: int) -> None:
    """Let a message wait no more: it is settled."""
    transaction.run(_DROP, **_place(group, part, offset))


def advance(transaction: Transaction, group: Group, part: int, key: str, now: int) -> Parked | None:
    """Make the next message of a key due now; None where no more waits."""
    found = transaction.one(_NEXT, of=group.topic, by=group.name, part=part, of_key=key)
    if found is None:
        return None
    offset, number = found
    postpone(transaction, group, part, offset, now)
    return Parked(part, offset, key, 0, now, number)


def load(transaction: Transaction, group: Group, part: int, now: int) -> tuple[list[Parked], dict[str, int]]:
    """What waits in a partition: the first of each key, and how many are behind it.

    Where a holder died between settling the first one and making the next one due, the next one is due `now`.
    """
    place = {"of": group.topic, "by": group.name, "part": part}
    for (key,) in transaction.all(_HEADLESS, **place):
        advance(transaction, group, part, key, now)
    heads = [Parked(part, *row) for row in transaction.all(_HEADS, **place)]
    return heads, {key: count for key, count in transaction.all(_BEHIND, **place) if key is not None}


def _place(group: Group, part: int, offset: int) -> dict[str, object]:
    return {"of": group.topic, "by": group.name, "part": part, "at": offset}
