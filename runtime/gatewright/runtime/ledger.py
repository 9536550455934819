"""The ledger in the database: its keys, its signed checkpoints, its records as they are read and verified."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, exc

from gatewright.agents.errors import NotFoundError, UnavailableError
from gatewright.safety.ledger import merkle, records, verification
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, VerifierKey, sign

from . import codec, leaves
from .approvals import evidence as decided
from .controls import evidence
from .store import schema
from .store.sqlite import SQLite
from .store.writer import Transaction
from .views import RecordView

KEY = "ledger.key"  # the signing key, readable by its owner only
PUBLIC = "ledger.pub"  # the verifier key, for auditors

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_NODE = schema.Node.__table__  # type: ignore[attr-defined]
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_CHECKPOINT = schema.Checkpoint.__table__  # type: ignore[attr-defined]

_INSERT_CHECKPOINT = sa.text(
    "INSERT INTO checkpoint (size, note, created_at) VALUES (:size, :note, :now) ON CONFLICT (size) DO NOTHING"
)


def key(folder: Path, origin: str) -> SigningKey:
    """The signing key of a data directory; made on first use.

    Raises:
        UnavailableError: the key cannot be read or written.
    """
    path = folder / KEY
    try:
        if not path.exists():
            made = SigningKey.generate(origin)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(made.dump() + "\n")
                file.flush()
                os.fsync(file.fileno())
        found = SigningKey.load(path.read_text("utf-8").strip())
        (folder / PUBLIC).write_text(f"{found.verifier}\n", "utf-8")
        return found
    except OSError as error:
        raise UnavailableError(f"the ledger's key {str(path)!r} cannot be used: {error.strerror}") from error


def checkpoint(transaction: Transaction, tail: merkle.Frontier, signer: SigningKey, *, now: int) -> str:
    """Sign the head of the log as it is on the disk, and keep the note."""
    note = sign(Checkpoint(origin=signer.verifier.name, size=tail.size, root=tail.root()), signer)
    transaction.run(_INSERT_CHECKPOINT, size=tail.size, note=note, now=now)
    return note


def newest_checkpoint(connection: Connection) -> str:
    """The newest signed checkpoint; empty where none has been signed."""
    found = connection.execute(sa.select(_CHECKPOINT.c.note).order_by(_CHECKPOINT.c.size.desc()).limit(1)).scalar()
    return found or ""


def size(connection: Connection) -> int:
    """The number of records."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(_PLACE.c.position) + 1, 0))).scalar_one())


def node_reader(connection: Connection) -> merkle.NodeReader:
    """Reads stored nodes of the tree."""

    def read(level: int, position: int) -> bytes:
        query = (
            sa.select(_PLACE.c.hash).where(_PLACE.c.position == position)
            if level == 0
            else sa.select(_NODE.c.hash).where(_NODE.c.level == level, _NODE.c.position == position)
        )
        found = connection.execute(query).scalar()
        if found is None:
            raise NotFoundError(f"the log has no node at level {level}, position {position}")
        return bytes(found)

    return read


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


def proof(connection: Connection, index: int) -> dict[str, Any]:
    """What an auditor needs to check one record without the log: its bytes, its place, the path to the root."""
    total = size(connection)
    reader = node_reader(connection)
    query = sa.select(_LEAF.c.body).join(_PLACE, _PLACE.c.leaf == _LEAF.c.id).where(_PLACE.c.position == index)
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
    }


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What verifying a data directory found. `bad` names, by index, what does not hold; `signed` is how many records a
    checkpoint vouches for, `erased` how many sealed values have been erased."""

    size: int
    signed: int
    root: str
    bad: tuple[tuple[int | None, str], ...]
    erased: int

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.bad

    @property
    def first_bad_index(self) -> int | None:
        """The first record known to be bad; None where there is none or it cannot be told."""
        return min((index for index, _problem in self.bad if index is not None), default=None)


def verify(
    folder: Path,
    *,
    keys: Iterable[str] = (),
    held: Iterable[str] = (),
    witnesses: Iterable[str] = (),
) -> Verified:
    """Verify the ledger of a data directory, and that what the service shows is what the ledger holds.

    Reads a snapshot, so a running service is no hindrance.

    Args:
        keys: verifier keys of the log; without any, the one beside the log is believed.
        held: signed checkpoints that were kept elsewhere.
        witnesses: verifier keys of witnesses that must have cosigned.

    Raises:
        UnavailableError: there is no ledger, or it cannot be read.
    """
    database = SQLite(folder)
    if not database.exists():
        raise UnavailableError(f"there is no ledger in {str(folder)!r}; name the data directory of a service")
    known = list(keys)
    if not known and not (folder / PUBLIC).exists():
        raise UnavailableError(f"there is no {PUBLIC!r} in {str(folder)!r}; give the log's verifier key")
    known = known or [(folder / PUBLIC).read_text("utf-8").strip()]
    engine = database.connect(readonly=True)
    try:
        with engine.connect() as connection:
            notes = connection.execute(sa.select(_CHECKPOINT.c.note).order_by(_CHECKPOINT.c.size)).scalars().all()
            problems: list[tuple[int | None, str]] = []
            report = verification.verify_log(
                _leaves(connection),
                notes,
                [VerifierKey.parse(text) for text in known],
                held=list(held),
                witnesses=[VerifierKey.parse(text) for text in witnesses],
            )
            problems += [(finding.first, finding.message) for finding in report.findings]
            erased = 0
            for index, problem in _contents(connection):
                if problem == "erased":
                    erased += 1
                else:
                    problems.append((index, problem))
            problems += _unrecorded(connection)
            problems += [(None, problem) for problem in evidence.contradictions(connection)]
            problems += decided.contradictions(connection)
    except exc.DatabaseError as error:
        raise database.unavailable(error) from error
    finally:
        engine.dispose()
    return Verified(size=report.size, signed=report.signed, root=report.root.hex(), bad=tuple(problems), erased=erased)


def _leaves(connection: Connection) -> Iterator[verification.StoredLeaf]:
    query = sa.select(_PLACE.c.position, _LEAF.c.body, _PLACE.c.hash).outerjoin(_LEAF, _LEAF.c.id == _PLACE.c.leaf)
    for row in connection.execute(query.order_by(_PLACE.c.position), execution_options={"yield_per": CHUNK}):
        if row[1] is not None:
            yield verification.StoredLeaf(row[0], leaves.as_bytes(row[1]), leaves.as_bytes(row[2]))


CHUNK = 1000  # records looked at together


class _Beside(NamedTuple):
    """What is stored beside a chunk of records, by their ids."""

    opened: dict[int, dict[str, verification.Opened]]
    effects: dict[int, Any]
    ended: dict[int, Any]


def _contents(connection: Connection) -> Iterator[tuple[int | None, str]]:
    """What does not agree with the records: columns beside them, sealed values, the journal's outcomes."""
    query = (
        sa.select(_LEAF.c.id, _PLACE.c.position, _LEAF.c.kind, _LEAF.c.body, _LEAF.c.run_id, _LEAF.c.case_id)
        .outerjoin(_PLACE, _PLACE.c.leaf == _LEAF.c.id)
        .order_by(_LEAF.c.id)
        .limit(CHUNK)
    )
    last = -1
    while rows := connection.execute(query.where(_LEAF.c.id > last)).all():
        beside = _beside(connection, last, rows[-1].id)
        for row in rows:
            stored = leaves.Stored(row.id, row.position, row.kind, leaves.as_bytes(row.body))
            for problem in _differences(stored, (row.run_id or "", row.case_id or ""), beside):
                yield stored.position, problem
        last = rows[-1].id


def _beside(connection: Connection, after: int, last: int) -> _Beside:
    effect = schema.Effect.__table__  # type: ignore[attr-defined]
    run = schema.Run.__table__  # type: ignore[attr-defined]

    def chunk(column: Any, *shown: Any) -> Iterator[Any]:
        return iter(connection.execute(sa.select(column, *shown).where(column > after, column <= last)))

    opened: dict[int, dict[str, verification.Opened]] = {}
    for leaf, field, salt, value in chunk(_SEALED.c.leaf, _SEALED.c.field, _SEALED.c.salt, _SEALED.c.value):
        opened.setdefault(leaf, {})[field] = verification.Opened(leaves.as_bytes(salt), leaves.as_bytes(value))
    columns = (effect.c.kind, effect.c.name, effect.c.outcome, effect.c.digest, effect.c.run_id, effect.c.key)
    return _Beside(
        opened,
        {row[0]: row for row in chunk(effect.c.leaf, *columns)},
        {row[0]: row for row in chunk(run.c.leaf, run.c.id, run.c.status)},
    )


def _differences(stored: leaves.Stored, filed: tuple[str, str], beside: _Beside) -> Iterator[str]:
    name = stored.name
    try:
        record = records.decode(stored.body)
    except Exception as error:
        yield f"{name} cannot be read: {error}"
        return
    if (stored.kind, *filed) != (record.kind, record.run_id, record.case_id):
        yield f"{name} is filed under {stored.kind}, run {filed[0] or None}; it says otherwise"
    for field, state in verification.verify_seals(record.sealed, beside.opened.get(stored.id, {})).items():
        if state == "erased":
            yield "erased"
        elif state != "matches":
            yield f"{name}: the value of {field!r} is {state}"
    journalled = beside.effects.get(stored.id)
    if record.effect is not None and journalled is not None:
        effect = record.effect
        expected = (effect.kind, effect.name, record.outcome, effect.digest, record.run_id, effect.key)
        if tuple(journalled[1:]) != expected:
            yield f"{name}: the journal says {tuple(journalled[1:4])}, the record {expected[:3]}"
    finished = beside.ended.get(stored.id)
    if finished is not None and (finished[1], finished[2]) != (record.run_id, record.detail.get("status")):
        yield f"{name}: run {finished[1]} is shown as {finished[2]}, the record says otherwise"


_UNRECORDED = sa.text("""
    SELECT 'effect ' || e.key || ' of run ' || e.run_id || ' is shown as performed, and no record says so'
    FROM effect e JOIN run r ON r.id = e.run_id AND r.status <> 'running'
    LEFT JOIN leaf l ON l.id = e.leaf AND l.kind = 'effect' AND l.run_id = e.run_id
    WHERE e.status = 'done' AND l.id IS NULL
    UNION ALL
    SELECT 'run ' || r.id || ' is shown as ' || r.status || ', and no record says so'
    FROM run r LEFT JOIN leaf l ON l.id = r.leaf AND l.kind = 'run' AND l.run_id = r.id
    WHERE r.status IN ('succeeded', 'failed', 'cancelled') AND l.id IS NULL
    UNION ALL
    SELECT 'run ' || l.run_id || ' has a record, and is not shown any more'
    FROM leaf l LEFT JOIN run r ON r.id = l.run_id WHERE l.kind = 'run' AND r.id IS NULL
    UNION ALL
    SELECT 'record ' || p.position || ' has a place in the log, and is not there any more'
    FROM place p LEFT JOIN leaf l ON l.id = p.leaf WHERE l.id IS NULL
    UNION ALL
    SELECT 'a record of ' || l.kind || ' (id ' || l.id || ') has no place in the log, and waits for none'
    FROM leaf l LEFT JOIN place p ON p.leaf = l.id LEFT JOIN pending w ON w.leaf = l.id
    WHERE p.leaf IS NULL AND w.leaf IS NULL
""")


def _unrecorded(connection: Connection) -> list[tuple[None, str]]:
    """What the service shows without a record of it, and what it does not show any more."""
    return [(None, row[0]) for row in connection.execute(_UNRECORDED)]
