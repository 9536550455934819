"""Pauses and waivers in the database: each change is an operation of the writer, and leaves a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime import leaves, runs
from gatewright.runtime.clock import MICROSECONDS, moment
from gatewright.runtime.notices import telling
from gatewright.runtime.store import locks, schema
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.ledger import records
from gatewright.safety.rules.waivers import Scope, Waiver

from .board import Controls, Pause
from .views import ScopeView, WaiverState, WaiverView

_PAUSE = schema.Pause.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_WAIVER = schema.Waiver.__table__  # type: ignore[attr-defined]
_RUN = schema.Run.__table__  # type: ignore[attr-defined]

_PAUSED = sa.select(_PAUSE.c.by).where(_PAUSE.c.deployment == sa.bindparam("of"))
_STOP = sa.text(
    'INSERT INTO pause (deployment, "by", reason, since) VALUES (:deployment, :by, :reason, :since)'
    " ON CONFLICT (deployment) DO NOTHING"
)
_GO = sa.delete(_PAUSE).where(_PAUSE.c.deployment == sa.bindparam("of"))
_WAITING = sa.select(_RUN.c.id).where(_RUN.c.status == "waiting", _RUN.c.deployment == sa.bindparam("of"))
_COLUMNS = ("id", "rule_id", "scope", "by", "reason", "until_at", "created_at")
_WAIVE = sa.insert(_WAIVER).values({name: sa.bindparam(name) for name in _COLUMNS})
_FIND = (
    sa.select(_WAIVER.c.rule_id, _WAIVER.c.scope, _WAIVER.c.until_at, _WAIVER.c.revoked_at)
    .where(_WAIVER.c.id == sa.bindparam("find"))
    .with_for_update()
)
_REVOKE = (
    sa.update(_WAIVER)
    .where(_WAIVER.c.id == sa.bindparam("find"))
    .values(revoked_at=sa.bindparam("now"), revoked_by=sa.bindparam("who"))
)


def load(connection: Connection, *, now: int) -> Controls:
    """What holds, as it is stored."""
    pauses = [
        Pause(row.deployment, row.by, row.reason, moment(row.since)) for row in connection.execute(_PAUSE.select())
    ]
    return Controls(pauses, holding(connection, now=now))


def holding(connection: Connection, *, now: int) -> list[Waiver]:
    """The waivers that hold."""
    query = sa.select(_WAIVER).where(_WAIVER.c.revoked_at.is_(None), _WAIVER.c.until_at > now)
    return [
        Waiver(
            id=row.id,
            rule_id=row.rule_id,
            scope=Scope(**orjson.loads(row.scope)),
            by=row.by,
            reason=row.reason,
            until=moment(row.until_at),
        )
        for row in connection.execute(query.order_by(_WAIVER.c.number))
    ]


def listed(connection: Connection, *, every: bool, now: int) -> list[WaiverView]:
    """Waivers as they are shown, newest first; with `every`, also those that are over."""
    query = sa.select(_WAIVER).order_by(_WAIVER.c.number.desc())
    if not every:
        query = query.where(_WAIVER.c.revoked_at.is_(None), _WAIVER.c.until_at > now)
    return [_shown(row, now) for row in connection.execute(query)]


def _shown(row: Any, now: int) -> WaiverView:
    state: WaiverState = "revoked" if row.revoked_at is not None else "active" if row.until_at > now else "expired"
    return WaiverView(
        id=row.id,
        rule_id=row.rule_id,
        scope=ScopeView(**orjson.loads(row.scope)),
        by=row.by,
        reason=row.reason,
        state=state,
        until=moment(row.until_at),
        created_at=moment(row.created_at),
        revoked_at=None if row.revoked_at is None else moment(row.revoked_at),
        revoked_by=row.revoked_by,
    )


def pause(transaction: Transaction, stopped: Pause, *, now: int) -> None:
    """Stop a deployment.

    Raises:
        ConflictError: it is paused.
    """
    locks.lock(transaction, "pause", [stopped.deployment])  # after all that is being intended
    if not transaction.run(_STOP, deployment=stopped.deployment, by=stopped.by, reason=stopped.reason, since=now):
        found = transaction.one(_PAUSED, of=stopped.deployment)
        by = "somebody" if found is None else repr(found[0])
        raise ConflictError(f"deployment {stopped.deployment!r} has been paused by {by} already")
    said = {"action": "pause", "by": stopped.by, "reason": stopped.reason}
    _record(transaction, stopped.deployment, said, now=now)
    telling.paused(transaction, stopped.deployment, stopped.reason, now=now)


def resume(transaction: Transaction, deployment: str, *, by: str, now: int) -> list[str]:
    """Let a deployment go on; gives the runs that waited for it.

    Raises:
        ConflictError: it is not paused.
    """
    locks.lock(transaction, "pause", [deployment])  # after all that is being parked for it
    if not transaction.run(_GO, of=deployment):
        raise ConflictError(f"deployment {deployment!r} is not paused")
    _record(transaction, deployment, {"action": "resume", "by": by}, now=now)
    waiting = [row[0] for row in transaction.all(_WAITING, of=deployment)]
    return [run_id for run_id in waiting if runs.arrived(transaction, run_id, f"{runs.PAUSE}{deployment}", now=now)]


def waive(transaction: Transaction, waiver: Waiver, *, now: int) -> None:
    """Keep a waiver."""
    scope = {name: value for name, value in asdict(waiver.scope).items() if value is not None}
    transaction.run(
        _WAIVE,
        id=waiver.id,
        rule_id=waiver.rule_id,
        scope=orjson.dumps(scope).decode(),
        by=waiver.by,
        reason=waiver.reason,
        until_at=_microseconds(waiver.until),
        created_at=now,
    )
    said = {
        "action": "waive",
        "waiver": waiver.id,
        "rule": waiver.rule_id,
        "scope": scope,
        "by": waiver.by,
        "reason": waiver.reason,
        "until": records.timestamp(waiver.until),
    }
    _record(transaction, scope.get("deployment", ""), said, now=now)


def revoke(transaction: Transaction, waiver_id: str, *, by: str, now: int) -> None:
    """End a waiver.

    Raises:
        NotFoundError: there is none of that id.
        ConflictError: it does not hold any more.
    """
    row = transaction.one(_FIND, find=waiver_id)
    if row is None:
        raise NotFoundError(f"there is no waiver {waiver_id!r}")
    rule_id, scope, until, revoked = row
    if revoked is not None or until <= now:
        raise ConflictError(f"waiver {waiver_id!r} is over {'by itself' if revoked is None else 'already'}")
    transaction.run(_REVOKE, find=waiver_id, now=now, who=by)
    said = {"action": "revoke", "waiver": waiver_id, "rule": rule_id, "by": by}
    _record(transaction, orjson.loads(scope).get("deployment", ""), said, now=now)


def _record(transaction: Transaction, deployment: str, detail: Mapping[str, Any], *, now: int) -> None:
    record = records.Record(kind="control", time=records.timestamp(moment(now)), deployment=deployment, detail=detail)
    transaction.append(*leaves.written(record))


def _microseconds(time: datetime) -> int:
    return int(time.timestamp()) * MICROSECONDS + time.microsecond
