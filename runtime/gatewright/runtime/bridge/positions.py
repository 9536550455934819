"""How far this database has read the partitions of Kafka. These positions count, and not those that Kafka keeps."""

from __future__ import annotations

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


def move(transaction: Transaction, partition: Partition, before: int | None, following: int) -> None:
    """Move a position, in the transaction that puts the records up to it into the log.

    Raises:
        OvertakenError: it is not `before` any more.
    """
    if before is None:
        moved = transaction.run(_BEGIN, topic=partition.topic, part=partition.number, next=following)
    else:
        moved = transaction.run(_MOVE, topic=partition.topic, part=partition.number, before=before, next=following)
    if not moved:
        raise OvertakenError(f"partition {partition.number} of {partition.topic!r} has been read on from {before}")
