"""How far this database has read the partitions of Kafka. These positions count, and not those that Kafka keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gatewright.agents.errors import ConflictError
from gatewright.runtime.kafka import Partition
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction

_INBOX = schema.Inbox.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_READ = sa.select(_INBOX.c.next).where(_INBOX.c.topic == sa.bindparam("of"), _INBOX.c.partition == sa.bindparam("part"))
_BEGIN = sa.text('INSERT INTO inbox (topic, "partition", next) VALUES (:topic, :part, :next) ON CONFLICT DO NOTHING')
_MOVE = sa.text('UPDATE inbox SET next = :next WHERE topic = :topic AND "partition" = :part AND next = :before')


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
    rows = [(to, of.topic, of.number, before) for of, before, to in moves if before is not None]
    if rows:
        moved += transaction.each(_MOVE, rows)
    if moved != len(moves):
        found = ", ".join(f"{of.number} of {of.topic!r} at {before}" for of, before, _ in moves)
        raise OvertakenError(f"another process has read on from one of the positions in partitions {found}")
