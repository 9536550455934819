"""The ledger as it is read: its head, its records in their order, the proofs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import NotFoundError
from gatewright.runtime import codec
from gatewright.runtime.store import schema
from gatewright.runtime.views import RecordView
from gatewright.safety.ledger import merkle

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_NODE = schema.Node.__table__  # type: ignore[attr-defined]
_PENDING = schema.Pending.__table__  # type: ignore[attr-defined]
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_CHECKPOINT = schema.Checkpoint.__table__  # type: ignore[attr-defined]
_LOG = schema.Log.__table__  # type: ignore[attr-defined]

SIZE = sa.select(sa.func.coalesce(sa.func.max(_PLACE.c.position) + 1, 0))
PLACE_HASH = sa.select(_PLACE.c.hash).where(_PLACE.c.position == sa.bindparam("at"))
NODE_HASH = sa.select(_NODE.c.hash).where(_NODE.c.level == sa.bindparam("of"), _NODE.c.position == sa.bindparam("at"))
NEWEST = sa.select(_CHECKPOINT.c.note).order_by(_CHECKPOINT.c.size.desc()).limit(1)


def newest_checkpoint(connection: Connection) -> str:
    """The newest signed checkpoint; empty where none has been signed."""
    return connection.execute(NEWEST).scalar() or ""


def verifier(connection: Connection) -> str:
    """The verifier key of whoever signs the log; empty where nobody has a key yet."""
    return connection.execute(sa.select(_LOG.c.key)).scalar() or ""


def size(connection: Connection) -> int:
    """The number of records that have a place in the log."""
    return int(connection.execute(SIZE).scalar_one())


def newest_waiting(connection: Connection) -> int:
    """The number of the record that was written last and has no place in the log yet; 0 where all have one."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(_PENDING.c.number), 0))).scalar_one())


def waits(connection: Connection, number: int) -> bool:
    """Whether a record up to this number has no place in the log yet."""
    return bool(connection.execute(sa.select(sa.exists().where(_PENDING.c.number <= number))).scalar())


def node_reader(one: Callable[..., Any]) -> merkle.NodeReader:
    """Reads stored nodes of the tree, with `Transaction.one` or what does the same on a connection (`row_reader`)."""

    def read(level: int, position: int) -> bytes:
        found = one(PLACE_HASH, at=position) if level == 0 else one(NODE_HASH, of=level, at=position)
        if found is None:
            raise NotFoundError(f"the log has no node at level {level}, position {position}")
        return bytes(found[0])

    return read


def row_reader(connection: Connection) -> Callable[..., Any]:
    """What `Transaction.one` does, on a connection."""

    def one(clause: sa.Select[Any], /, **values: Any) -> Any:
        return connection.execute(clause, values).first()

    return one


def head(connection: Connection) -> merkle.Frontier:
    """The right edge of the log, which tells its size and root."""
    return merkle.Frontier.restore(size(connection), node_reader(row_reader(connection)))


def views(connection: Connection, rows: Iterable[Any]) -> list[RecordView]:
    """Records as they are shown, with the sealed values that have not been erased."""
    rows = list(rows)
    opened: dict[int, dict[str, Any]] = {row.id: {} for row in rows}
    if rows:
        query = sa.select(_SEALED).where(_SEALED.c.leaf.in_(opened))
        for sealed in connection.execute(query):
            value = codec.decode(codec.Encoded(sealed.type, bytes(sealed.value)))
            opened[sealed.leaf][sealed.field] = codec.plain(value)
    return [_view(row, opened[row.id]) for row in rows]


def _view(row: Any, opened: dict[str, Any]) -> RecordView:
    record = orjson.loads(row.body)
    return RecordView(
        index=row.position,
        time=record["time"],
        kind=row.kind,
        run_id=row.run_id,
        case_id=row.case_id,
        leaf_hash=bytes(row.hash).hex(),
        record=record,
        opened=opened,
    )


def select(
    *, run_id: str | None = None, case_id: str | None = None, kind: str | None = None, after: int = -1, limit: int = 100
) -> Any:
    """The query for records in log order."""
    query = sa.select(_LEAF, _PLACE.c.position, _PLACE.c.hash).join(_PLACE, _PLACE.c.leaf == _LEAF.c.id)
    query = query.where(_PLACE.c.position > after)
    if run_id is not None:
        query = query.where(_LEAF.c.run_id == run_id)
    if case_id is not None:
        query = query.where(_LEAF.c.case_id == case_id)
    if kind is not None:
        query = query.where(_LEAF.c.kind == kind)
    return query.order_by(_PLACE.c.position).limit(limit)


def proof(connection: Connection, index: int, *, at: int | None = None, opened: bool = False) -> dict[str, Any]:
    """What an auditor needs to check one record without the log: its bytes, its place, the path to the root.

    Args:
        at: the size of the log whose root the path leads to, that of a checkpoint; the present one without.
        opened: with the sealed values that are not erased, and their salts.
    """
    present = size(connection)
    total = present if at is None else at
    if total > present:
        raise NotFoundError(f"the log has {present} records, and never had {total}; name a size up to that")
    reader = node_reader(row_reader(connection))
    query = (
        sa.select(_LEAF.c.id, _LEAF.c.body)
        .join(_PLACE, _PLACE.c.leaf == _LEAF.c.id)
        .where(_PLACE.c.position == index, _PLACE.c.position < total)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"the log has no record {index}; it has {total}, numbered from 0")
    path = merkle.inclusion_proof(index, total, reader)
    tree = merkle.Frontier.restore(total, reader)
    return {
        "index": index,
        "size": total,
        "root": tree.root().hex(),
        "leaf": bytes(row.body).hex(),
        "proof": [part.hex() for part in path],
        **({"opened": _opened(connection, row.id)} if opened else {}),
    }


def _opened(connection: Connection, leaf: int) -> dict[str, dict[str, str]]:
    """What a record's commitments can be checked with, in hex, by field."""
    query = sa.select(_SEALED.c.field, _SEALED.c.salt, _SEALED.c.value).where(_SEALED.c.leaf == leaf)
    found = connection.execute(query.order_by(_SEALED.c.field))
    return {row.field: {"salt": bytes(row.salt).hex(), "value": bytes(row.value).hex()} for row in found}
