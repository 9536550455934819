"""How far this database has read the partitions of Kafka. These positions count, and not those that Kafka keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gatewright.agents.errors import ConflictError
from gatewright.runtime.bus.rowsets import rows, rowset
from gatewright.runtime.kafka import Partition
from gatewright.runtime.store import schema
from gatewright.runtime.store.database import Dialect
from gatewright.runtime.store.writer import Transaction

_INBOX = schema.Inbox.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_READ = sa.select(_INBOX.c.next).where(_INBOX.c.topic == sa.bindparam("of"), _INBOX.c.partition == sa.bindparam("part"))
_BEGIN = sa.text('INSERT INTO inbox (topic, "partition", next) VALUES (:topic, :part, :next) ON CONFLICT DO NOTHING')
_DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql")
_MOVE = {
    dialect: sa.text(
        "UPDATE inbox SET next = given.next FROM "
        f"{rowset(dialect, topic='text', partition='bigint', before='bigint', next='bigint')} "
        'WHERE inbox.topic = given.topic AND inbox."partition" = given."partition" AND inbox.next = given.before'
    )
    for dialect in _DIALECTS
}


class OvertakenError(ConflictError):
    """Another process has read on from this position; what this one has read is dropped."""


def read(transaction: Transaction, partition: Partition) -> int | None:
    """The offset of the next record to be read; None where nothing has been read."""
    found = transaction.one(_READ, of=partition.topic, part=partition.number)
    return None if found is None else int(found[0])


class Move(NamedTuple):
    """A position that moves on; `before` is None where nothing has been read of the partition."""

    partition: Partition
    before: int | None
    following: int


def move(transaction: Transaction, moves: Sequence[Move]) -> None:
    """Move positions, in the transaction that puts the records up to them into the log.

    Raises:
        OvertakenError: one is not what it was before any more.
    """
    first = [move for move in moves if move.before is None]
    moved = sum(transaction.run(_BEGIN, topic=of.topic, part=of.number, next=to) for of, _, to in first)
    if len(first) < len(moves):
        given = rows((of.topic, of.number, before, to) for of, before, to in moves if before is not None)
        moved += transaction.run(_MOVE[transaction.dialect], given=given)
    if moved != len(moves):
        found = ", ".join(f"{of.number} of {of.topic!r} at {before}" for of, before, _ in moves)
        raise OvertakenError(f"another process has read on from one of the positions in partitions {found}")
