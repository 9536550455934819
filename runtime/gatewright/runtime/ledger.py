"""The ledger in the database: its keys, its signed checkpoints, its records as they are read and verified."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, exc

from gatewright.agents.errors import NotFoundError, UnavailableError
from gatewright.safety.ledger import merkle, records, verification
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, VerifierKey, sign

from . import codec
from .approvals import evidence as decided
from .controls import evidence
from .store import schema
from .store.sqlite import SQLite
from .store.writer import Transaction
from .views import RecordView

KEY = "ledger.key"  # the signing key, readable by its owner only
PUBLIC = "ledger.pub"  # the verifier key, for auditors

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
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
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(_LEAF.c.position) + 1, 0))).scalar_one())


def node_reader(connection: Connection) -> merkle.NodeReader:
    """Reads stored nodes of the tree."""

    def read(level: int, position: int) -> bytes:
        query = (
            sa.select(_LEAF.c.hash).where(_LEAF.c.position == position)
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
    opened: dict[int, dict[str, Any]] = {row.position: {} for row in rows}
    if rows:
        query = sa.select(_SEALED).where(_SEALED.c.position.in_(opened))
        for sealed in connection.execute(query):
            value = codec.decode(codec.Encoded(sealed.type, bytes(sealed.value)))
            opened[sealed.position][sealed.field] = codec.plain(value)
    return [_view(row, opened[row.position]) for row in rows]


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
    query = sa.select(_LEAF).where(_LEAF.c.position > after)
    if run_id is not None:
        query = query.where(_LEAF.c.run_id == run_id)
    if case_id is not None:
        query = query.where(_LEAF.c.case_id == case_id)
    if kind is not None:
        query = query.where(_LEAF.c.kind == kind)
    return query.order_by(_LEAF.c.position).limit(limit)


def proof(connection: Connection, index: int) -> dict[str, Any]:
    """What an auditor needs to check one record without the log: its bytes, its place, the path to the root."""
    total = size(connection)
    reader = node_reader(connection)
    row = connection.execute(sa.select(_LEAF.c.body).where(_LEAF.c.position == index)).one_or_none()
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


def _bytes(value: Any) -> bytes:
    """A column of bytes, whatever somebody has put there: SQLite keeps any type in any column."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _leaves(connection: Connection) -> Iterator[verification.StoredLeaf]:
    query = sa.select(_LEAF.c.position, _LEAF.c.body, _LEAF.c.hash).order_by(_LEAF.c.position)
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield verification.StoredLeaf(row[0], _bytes(row[1]), _bytes(row[2]))


CHUNK = 1000  # records looked at together


def _contents(connection: Connection) -> Iterator[tuple[int, str]]:
    """What does not agree with the records: columns beside them, sealed values, the journal's outcomes."""
    effect = schema.Effect.__table__  # type: ignore[attr-defined]
    run = schema.Run.__table__  # type: ignore[attr-defined]
    columns = (effect.c.kind, effect.c.name, effect.c.outcome, effect.c.digest, effect.c.run_id, effect.c.key)
    for start in range(0, size(connection), CHUNK):
        stop = start + CHUNK

        def chunk(column: Any, *shown: Any, start: int = start, stop: int = stop) -> Iterator[Any]:
            query = sa.select(column, *shown).where(column >= start, column < stop).order_by(column)
            return iter(connection.execute(query))

        sealed: dict[int, dict[str, verification.Opened]] = {}
        for position, field, salt, value in chunk(_SEALED.c.position, _SEALED.c.field, _SEALED.c.salt, _SEALED.c.value):
            sealed.setdefault(position, {})[field] = verification.Opened(_bytes(salt), _bytes(value))
        effects = {row[0]: row for row in chunk(effect.c.leaf, *columns)}
        ended = {row[0]: row for row in chunk(run.c.leaf, run.c.id, run.c.status)}
        for leaf in chunk(_LEAF.c.position, _LEAF.c.kind, _LEAF.c.run_id, _LEAF.c.case_id, _LEAF.c.body):
            yield from _differences(leaf, sealed.get(leaf.position, {}), effects, ended)


def _differences(
    leaf: Any, opened: dict[str, verification.Opened], effects: dict[int, Any], ended: dict[int, Any]
) -> Iterator[tuple[int, str]]:
    index = leaf.position
    try:
        record = records.decode(_bytes(leaf.body))
    except Exception as error:
        yield index, f"record {index} cannot be read: {error}"
        return
    if (leaf.kind, leaf.run_id or "", leaf.case_id or "") != (record.kind, record.run_id, record.case_id):
        yield index, f"record {index} is filed under {leaf.kind}, run {leaf.run_id}; it says otherwise"
    for field, state in verification.verify_seals(record.sealed, opened).items():
        if state == "erased":
            yield index, "erased"
        elif state != "matches":
            yield index, f"record {index}: the value of {field!r} is {state}"
    journalled = effects.get(index)
    if record.effect is not None and journalled is not None:
        expected = (
            record.effect.kind,
            record.effect.name,
            record.outcome,
            record.effect.digest,
            record.run_id,
            record.effect.key,
        )
        if tuple(journalled[1:]) != expected:
            yield index, f"record {index}: the journal says {tuple(journalled[1:4])}, the record {expected[:3]}"
    finished = ended.get(index)
    if finished is not None and (finished[1], finished[2]) != (record.run_id, record.detail.get("status")):
        yield index, f"record {index}: run {finished[1]} is shown as {finished[2]}, the record says otherwise"


_UNRECORDED = sa.text("""
    SELECT 'effect ' || e.key || ' of run ' || e.run_id || ' is shown as performed, and no record says so'
    FROM effect e JOIN run r ON r.id = e.run_id AND r.status <> 'running'
    LEFT JOIN leaf l ON l.position = e.leaf AND l.kind = 'effect' AND l.run_id = e.run_id
    WHERE e.status = 'done' AND l.position IS NULL
    UNION ALL
    SELECT 'run ' || r.id || ' is shown as ' || r.status || ', and no record says so'
    FROM run r LEFT JOIN leaf l ON l.position = r.leaf AND l.kind = 'run' AND l.run_id = r.id
    WHERE r.status IN ('succeeded', 'failed', 'cancelled') AND l.position IS NULL
    UNION ALL
    SELECT 'run ' || l.run_id || ' has a record, and is not shown any more'
    FROM leaf l LEFT JOIN run r ON r.id = l.run_id WHERE l.kind = 'run' AND r.id IS NULL
""")


def _unrecorded(connection: Connection) -> list[tuple[None, str]]:
    """What the service shows without a record of it, and what it does not show any more."""
    return [(None, row[0]) for row in connection.execute(_UNRECORDED)]
