"""Whether the ledger holds, and whether what the service shows is what the ledger holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, exc

from gatewright.agents.errors import GatewrightError, UnavailableError
from gatewright.runtime import leaves
from gatewright.runtime.approvals import evidence as decided
from gatewright.runtime.controls import evidence
from gatewright.runtime.store import database, schema
from gatewright.safety.ledger import records, verification
from gatewright.safety.ledger.checkpoints import VerifierKey

from . import reading
from .signing import PUBLIC

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_PENDING = schema.Pending.__table__  # type: ignore[attr-defined]
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_CHECKPOINT = schema.Checkpoint.__table__  # type: ignore[attr-defined]

_NO_HURRY = sa.text(  # for this transaction
    "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)

PATIENCE = timedelta(minutes=1)  # in which a record gets its place in the log


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What verifying a ledger found. `bad` names, by index, what does not hold; `signed` is how many records a
    checkpoint vouches for, `erased` how many sealed values have been erased, `waiting` how many records were just
    written and have no place in the log yet."""

    size: int
    signed: int
    root: str
    bad: tuple[tuple[int | None, str], ...]
    erased: int
    waiting: int

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
    url: str = "",
    keys: Iterable[str] = (),
    held: Iterable[str] = (),
    witnesses: Iterable[str] = (),
) -> Verified:
    """Verify the ledger of a database, and that what the service shows is what the ledger holds.

    Reads a snapshot, so running services are no hindrance.

    Args:
        folder: the data directory of a service.
        url: of its database; without one, that is a SQLite file in the data directory.
        keys: verifier keys of the log; without any, the one in the data directory is believed, else the database's.
        held: signed checkpoints that were kept elsewhere.
        witnesses: verifier keys of witnesses that must have cosigned.

    Raises:
        UnavailableError: there is no ledger, or it cannot be read.
    """
    store = database.of(url, folder)
    if not store.exists():
        raise UnavailableError(
            f"there is no ledger in {store.place}; name the data directory or the database of a service"
        )
    engine = store.connect(readonly=True)
    try:
        with engine.connect() as connection:
            if store.shared:
                connection.execute(_NO_HURRY)
            stored = reading.verifier(connection)
            known = list(keys) or _believed(folder, stored)
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
            waiting, late = _waiting(connection, shared=store.shared)
            problems += late
            if stored not in known:
                problems.append((None, f"the database says that {stored!r} signs the log, and that is no key given"))
    except exc.DatabaseError as error:
        raise store.unavailable(error) from error
    finally:
        engine.dispose()
    return Verified(
        size=report.size,
        signed=report.signed,
        root=report.root.hex(),
        bad=tuple(problems),
        erased=erased,
        waiting=waiting,
    )


def _believed(folder: Path, stored: str) -> list[str]:
    """The verifier keys where none were given: who can write the database cannot change the one beside a service."""
    if (folder / PUBLIC).exists():
        return [(folder / PUBLIC).read_text("utf-8").strip()]
    if not stored:
        raise UnavailableError(f"there is no {PUBLIC!r} in {str(folder)!r}; give the log's verifier key")
    return [stored]


def _waiting(connection: Connection, *, shared: bool) -> tuple[int, list[tuple[None, str]]]:
    """How many records wait for their place, and what is wrong with that."""
    count: int = connection.execute(sa.select(sa.func.count()).select_from(_PENDING)).scalar_one()
    first = sa.select(_LEAF.c.body).join(_PENDING, _PENDING.c.leaf == _LEAF.c.id).order_by(_PENDING.c.number).limit(1)
    body = connection.execute(first).scalar()
    if body is None:
        return count, []
    try:
        since = datetime.fromisoformat(records.decode(leaves.as_bytes(body)).time)
    except GatewrightError:
        return count, []  # what cannot be read is found by whoever looks at each record
    if shared and datetime.now(UTC) - since < PATIENCE:
        return count, []
    return count, [(None, f"{count} records have no place in the log, the first since {since}: is no service running?")]


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
