"""The one way into the ledger, from a decision record to what the writer appends, and the records in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.safety.ledger import publication, records

from .store import schema
from .store.appending import Leaf, Seal

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_PENDING = schema.Pending.__table__  # type: ignore[attr-defined]
_PLACED = _LEAF.join(_PLACE, _PLACE.c.leaf == _LEAF.c.id)
_WAITING = _LEAF.join(_PENDING, _PENDING.c.leaf == _LEAF.c.id)


class Written(NamedTuple):
    """The arguments of `Transaction.append`."""

    leaf: Leaf
    seals: Sequence[Seal]


def written(record: records.Record, seals: Sequence[Seal] = ()) -> Written:
    """The leaf of a record, without the personal data that its words may hold; their full text joins the `seals`."""
    published, said = publication.publish(record)
    if said is not None:
        seals = [*seals, Seal(publication.SAID, "json", said.value, said.salt)]
    return Written(Leaf(record.kind, record.run_id or None, record.case_id or None, published.encode()), seals)


class Stored(NamedTuple):
    """A record as it is stored. `position`: its index in the log, None where it has no place yet."""

    id: int
    position: int | None
    kind: str
    body: bytes

    @property
    def name(self) -> str:
        """What messages call it."""
        return "a record that has no place yet" if self.position is None else f"record {self.position}"


def of_kinds(connection: Connection, kinds: Sequence[str]) -> Iterator[Stored]:
    """Records of these kinds in the order of the log, read as they are asked for.

    Those that have no place yet come last, in the order in which they will get one.
    """
    columns = (_LEAF.c.kind, _LEAF.c.body)
    placed = sa.select(_LEAF.c.id, _PLACE.c.position, *columns).select_from(_PLACED).order_by(_PLACE.c.position)
    waiting = sa.select(_LEAF.c.id, sa.null(), *columns).select_from(_WAITING).order_by(_PENDING.c.number)
    for query in (placed, waiting):
        found = connection.execute(query.where(_LEAF.c.kind.in_(kinds)), execution_options={"yield_per": 1000})
        yield from (Stored(row[0], row[1], row[2], as_bytes(row[3])) for row in found)


def as_bytes(value: Any) -> bytes:
    """A column of bytes, whatever somebody has put there: SQLite keeps any type in any column."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
