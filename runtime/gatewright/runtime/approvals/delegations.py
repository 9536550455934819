"""Delegations in the database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime.clock import MICROSECONDS, moment
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction
from gatewright.runtime.views import DelegationView
from gatewright.safety.approvals.ballots import Voter
from gatewright.safety.approvals.delegations import Delegation
from gatewright.safety.approvals.entitlement import NotEntitledError

from . import entries

_TABLE = schema.Delegation.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_JSON = TypeAdapter(Delegation)
_COLUMNS = ("id", "giver", "receiver", "delegation", "until_at", "created_at")
_ADD = sa.insert(_TABLE).values({name: sa.bindparam(name) for name in _COLUMNS})
_BETWEEN = (
    sa.select(_TABLE.c.delegation)
    .where(_TABLE.c.giver == sa.bindparam("by"), _TABLE.c.receiver == sa.bindparam("to"), _TABLE.c.revoked_at.is_(None))
    .order_by(_TABLE.c.number)
)
_FIND = sa.select(_TABLE.c.delegation).where(_TABLE.c.id == sa.bindparam("find"))
_HOLD = _FIND.with_for_update()
_OPEN = sa.select(_TABLE.c.delegation).where(_TABLE.c.revoked_at.is_(None), _TABLE.c.until_at > sa.bindparam("now"))
_REVOKE = (
    sa.update(_TABLE)
    .where(_TABLE.c.id == sa.bindparam("of"), _TABLE.c.revoked_at.is_(None))
    .values(revoked_at=sa.bindparam("now"), delegation=sa.bindparam("body"))
)


def add(transaction: Transaction, delegation: Delegation, *, now: int) -> None:
    """Put a delegation in force."""
    transaction.run(
        _ADD,
        id=delegation.id,
        giver=delegation.by,
        receiver=delegation.to,
        delegation=_JSON.dump_json(delegation).decode(),
        until_at=int(delegation.until.timestamp() * MICROSECONDS),
        created_at=now,
    )
    entries.delegated(transaction, delegation, "delegation", delegation.by, now=now)


def between(transaction: Transaction, by: str, to: str) -> list[Delegation]:
    """What one person has delegated to another and not revoked, oldest first; some of it may be over."""
    return [_JSON.validate_json(row[0]) for row in transaction.all(_BETWEEN, by=by, to=to)]


def in_force(transaction: Transaction, *, now: int) -> list[Delegation]:
    """All that are not over."""
    return [_JSON.validate_json(row[0]) for row in transaction.all(_OPEN, now=now)]


def revoke(transaction: Transaction, delegation_id: str, voter: Voter, *, operates: bool, now: int) -> None:
    """End a delegation.

    Raises:
        NotFoundError: there is none of that id.
        NotEntitledError: the person has not given it, and does not operate the service.
        ConflictError: it was revoked before.
    """
    row = transaction.one(_HOLD, find=delegation_id)
    if row is None:
        raise NotFoundError(f"there is no delegation {delegation_id!r}")
    found = _JSON.validate_json(row[0])
    if not operates and voter.name != found.by:
        raise NotEntitledError(f"delegation {delegation_id!r} was given by {found.by!r}; ask them, or an operator")
    end(transaction, found, by=voter.name, now=now)


def end(transaction: Transaction, delegation: Delegation, *, by: str, now: int) -> None:
    """Put a delegation out of force.

    Raises:
        ConflictError: it was revoked before.
    """
    body = _JSON.dump_json(dataclasses.replace(delegation, revoked=moment(now))).decode()
    if not transaction.run(_REVOKE, of=delegation.id, now=now, body=body):
        raise ConflictError(f"delegation {delegation.id!r} was revoked before")
    entries.delegated(transaction, delegation, "delegation revoked", by, now=now)


def views(connection: Connection, *, person: str | None, every: bool, now: int) -> list[DelegationView]:
    """Delegations as they are shown, newest first."""
    query = sa.select(_TABLE.c.delegation).order_by(_TABLE.c.number.desc())
    if person is not None:
        query = query.where(sa.or_(_TABLE.c.giver == person, _TABLE.c.receiver == person))
    if not every:
        query = query.where(_TABLE.c.revoked_at.is_(None), _TABLE.c.until_at > now)
    return list(_views((_JSON.validate_json(row[0]) for row in connection.execute(query)), now))


def view(connection: Connection, delegation_id: str, *, now: int) -> DelegationView:
    """A delegation as it is shown.

    Raises:
        NotFoundError: there is none of that id.
    """
    body = connection.execute(_FIND, {"find": delegation_id}).scalar()
    if body is None:
        raise NotFoundError(f"there is no delegation {delegation_id!r}")
    return next(iter(_views([_JSON.validate_json(body)], now)))


def _views(delegations: Iterable[Delegation], now: int) -> Iterable[DelegationView]:
    for found in delegations:
        yield DelegationView(
            id=found.id,
            by=found.by,
            to=found.to,
            roles=sorted(found.roles),
            deployment=found.scope.deployment,
            agent=found.scope.agent,
            name=found.scope.name,
            reason=found.reason,
            created_at=found.since,
            until=found.until,
            revoked_at=found.revoked,
            active=found.holds(moment(now)),
        )
