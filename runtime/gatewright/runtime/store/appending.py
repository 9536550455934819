"""How the records of a group of operations become rows of the ledger.

Where one process writes (SQLite), they get their place in the Merkle tree at once, and their ids are their places.
Where several do (PostgreSQL), they are left as `pending`, with ids that are mere names, for the one process that gives
places to all: writers that extended the tree themselves would have to wait for each other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from gatewright.safety.ledger import merkle

from . import schema

if TYPE_CHECKING:
    from .writer import Transaction

BLOCK = 64  # ids that are taken from the sequence at once
FRESH = 0.1  # seconds that an id may lie unused, so that ids are in the order of time as closely as that

_INSERT_LEAF = sa.insert(schema.Leaf.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_INSERT_PLACE = sa.insert(schema.Place.__table__)  # type: ignore[attr-defined]
_INSERT_NODE = sa.insert(schema.Node.__table__)  # type: ignore[attr-defined]
_INSERT_SEALED = sa.insert(schema.Sealed.__table__)  # type: ignore[attr-defined]
_LEAVE = sa.text(  # in one round trip; `number` of `pending` is given row by row, in this order
    "WITH leaves AS (INSERT INTO leaf (id, kind, run_id, case_id, body) SELECT * FROM"
    " unnest(CAST(:ids AS bigint[]), CAST(:kinds AS text[]), CAST(:runs AS text[]), CAST(:cases AS text[]),"
    " CAST(:bodies AS bytea[]))),"
    " seals AS (INSERT INTO sealed (leaf, field, type, value, salt) SELECT * FROM"
    " unnest(CAST(:of AS bigint[]), CAST(:fields AS text[]), CAST(:types AS text[]), CAST(:values AS bytea[]),"
    " CAST(:salts AS bytea[])))"
    " INSERT INTO pending (leaf, hash) SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS bytea[]))"
)
_IDS = f"SELECT nextval('leaf_id_seq') FROM generate_series(1, {BLOCK})"


class Leaf(NamedTuple):
    """A record on its way into the ledger."""

    kind: str
    run_id: str | None
    case_id: str | None
    body: bytes


class Seal(NamedTuple):
    """A value that a record only commits to."""

    field: str
    type: str
    value: bytes
    salt: bytes


class Appended(NamedTuple):
    """A record that an operation has appended."""

    id: int
    leaf: Leaf
    seals: Sequence[Seal]


class Ids:
    """Ids for the records of one writer, unused by all others. A transaction that is rolled back leaves a gap."""

    def __init__(self) -> None:
        self._left: deque[int] = deque()
        self._until = 0.0

    def take(self, cursor: Any) -> int:
        """The next id."""
        now = time.monotonic()
        if not self._left or now > self._until:
            self._left = deque(row[0] for row in cursor.execute(_IDS).fetchall())
            self._until = now + FRESH
        return self._left.popleft()


def integrate(transaction: Transaction, tail: merkle.Frontier) -> None:
    """Put the group's records into the tree: rows of leaves, places, the nodes they complete, and sealed values."""
    leaves: list[tuple[Any, ...]] = []
    places: list[tuple[Any, ...]] = []
    nodes: list[merkle.Node] = []
    for id, leaf, _seals in transaction.leaves:
        completed = tail.append(merkle.leaf_hash(leaf.body))
        leaves.append((id, *leaf))
        places.append((id, id, completed[0].hash))
        nodes.extend(completed[1:])
    transaction.many(_INSERT_LEAF, leaves)
    transaction.many(_INSERT_PLACE, places)
    transaction.many(_INSERT_NODE, nodes)
    transaction.many(_INSERT_SEALED, _sealed(transaction))


def leave(transaction: Transaction) -> None:
    """Leave the group's records for whoever gives them their places.

    They are numbered now, when the group has all the locks it takes: what another process writes for the same run
    waited for this transaction, or this one for it, so the numbers have the order in which it was written.
    """
    if not transaction.leaves:
        return
    leaves = [(id, *leaf, merkle.leaf_hash(leaf.body)) for id, leaf, _seals in transaction.leaves]
    transaction.run(
        _LEAVE,
        **_columns(("ids", "kinds", "runs", "cases", "bodies", "hashes"), leaves),
        **_columns(("of", "fields", "types", "values", "salts"), _sealed(transaction)),
    )


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[number] for row in rows] for number, name in enumerate(names)}


def _sealed(transaction: Transaction) -> list[tuple[Any, ...]]:
    return [(id, *seal) for id, _leaf, seals in transaction.leaves for seal in seals]
