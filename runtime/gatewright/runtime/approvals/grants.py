"""Grants in the database: given with an approval, asked before anybody is, and ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime import identifiers, requests
from gatewright.runtime.approvals.rows import Row
from gatewright.runtime.clock import MICROSECONDS, moment
from gatewright.runtime.requests import Place
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction
from gatewright.runtime.views import GrantView
from gatewright.safety.approvals import grants
from gatewright.safety.approvals.ballots import Request, Vote, Voter
from gatewright.safety.approvals.entitlement import NotEntitledError
from gatewright.safety.approvals.grants import Grant, Offer
from gatewright.safety.ledger import records

from . import entries

_TABLE = schema.Grant.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_JSON = TypeAdapter(Grant)
_COLUMNS = ("id", "deployment", "agent", "name", "place", "grant_", "until_at", "created_at")
_ADD = sa.insert(_TABLE).values({name: sa.bindparam(name) for name in _COLUMNS})
_NEAR = (
    sa.select(_TABLE.c.grant_)
    .where(
        _TABLE.c.deployment == sa.bindparam("at"),
        _TABLE.c.agent == sa.bindparam("of"),
        _TABLE.c.name == sa.bindparam("does"),
        sa.or_(*(_TABLE.c.place == sa.bindparam(place) for place in ("run", "thread", "anywhere"))),
        _TABLE.c.revoked_at.is_(None),
    )
    .order_by(_TABLE.c.number)
)
_FIND = sa.select(_TABLE.c.grant_).where(_TABLE.c.id == sa.bindparam("find"))
_HOLD = _FIND.with_for_update()
_OPEN = sa.select(_TABLE.c.grant_).where(
    _TABLE.c.revoked_at.is_(None), sa.or_(_TABLE.c.until_at.is_(None), _TABLE.c.until_at > sa.bindparam("now"))
)
_REVOKE = (
    sa.update(_TABLE)
    .where(_TABLE.c.id == sa.bindparam("of"), _TABLE.c.revoked_at.is_(None))
    .values(revoked_at=sa.bindparam("now"), grant_=sa.bindparam("body"))
)


def give(transaction: Transaction, row: Row, request: Request, vote: Vote, offer: Offer, *, now: int) -> Grant:
    """Store the grant that comes with an approval.

    Raises:
        UsageError: see `gatewright.safety.approvals.grants.granted`.
    """
    grant = grants.granted(
        identifiers.new("grant"),
        request,
        vote,
        offer,
        run_id=row.run_id,
        thread_id=row.thread_id,
        now=moment(now),
    )
    transaction.run(
        _ADD,
        id=grant.id,
        deployment=grant.deployment,
        agent=grant.agent,
        name=grant.name,
        place=grant.place,
        grant_=_JSON.dump_json(grant).decode(),
        until_at=None if grant.until is None else int(grant.until.timestamp() * MICROSECONDS),
        created_at=now,
    )
    entries.granted(transaction, row, grant, "grant", vote.by, now=now)
    return grant


def covering(
    transaction: Transaction, run_id: str, place: Place, request: Request, *, now: int
) -> records.ApprovalPart | None:
    """What a grant answers in place of people, for the record of the effect; None where people must be asked."""
    action = request.action
    rows = transaction.all(
        _NEAR, at=action.deployment, of=action.agent, does=action.name, run=run_id, thread=place.thread_id, anywhere=""
    )
    if not rows:
        return None
    request = requests.addressed(transaction, run_id, request)
    for (body,) in rows:
        grant = _JSON.validate_json(body)
        if grant.covers(request, run_id=run_id, thread_id=place.thread_id, now=moment(now)):
            return records.ApprovalPart(id=grant.id, verdict="grant", by=grant.vote.by, reason=grant.vote.reason)
    return None


def in_force(transaction: Transaction, *, now: int) -> list[Grant]:
    """All that are not over."""
    return [_JSON.validate_json(row[0]) for row in transaction.all(_OPEN, now=now)]


def revoke(transaction: Transaction, grant_id: str, voter: Voter, *, operates: bool, now: int) -> None:
    """End a grant.

    Raises:
        NotFoundError: there is none of that id.
        NotEntitledError: the person has not given it, and does not operate the service.
        ConflictError: it was revoked before.
    """
    row = transaction.one(_HOLD, find=grant_id)
    if row is None:
        raise NotFoundError(f"there is no grant {grant_id!r}")
    found = _JSON.validate_json(row[0])
    if not operates and voter.name != found.vote.by:
        raise NotEntitledError(f"grant {grant_id!r} was given by {found.vote.by!r}; ask them, or an operator")
    end(transaction, found, by=voter.name, now=now)


def end(transaction: Transaction, grant: Grant, *, by: str, now: int) -> None:
    """Put a grant out of force.

    Raises:
        ConflictError: it was revoked before.
    """
    body = _JSON.dump_json(dataclasses.replace(grant, revoked=moment(now))).decode()
    if not transaction.run(_REVOKE, of=grant.id, now=now, body=body):
        raise ConflictError(f"grant {grant.id!r} was revoked before")
    _request, row = requests.find(transaction, grant.request_id)
    entries.granted(transaction, row, grant, "grant revoked", by, now=now)


def views(connection: Connection, *, deployment: str | None, by: str | None, every: bool, now: int) -> list[GrantView]:
    """Grants as they are shown, newest first."""
    query = sa.select(_TABLE.c.grant_).order_by(_TABLE.c.number.desc())
    if deployment is not None:
        query = query.where(_TABLE.c.deployment == deployment)
    if not every:
        query = query.where(_TABLE.c.revoked_at.is_(None), sa.or_(_TABLE.c.until_at.is_(None), _TABLE.c.until_at > now))
    found = (_JSON.validate_json(row[0]) for row in connection.execute(query))
    return [view for view in _views(found, now) if by in (None, view.by)]


def view(connection: Connection, grant_id: str, *, now: int) -> GrantView:
    """A grant as it is shown.

    Raises:
        NotFoundError: there is none of that id.
    """
    body = connection.execute(_FIND, {"find": grant_id}).scalar()
    if body is None:
        raise NotFoundError(f"there is no grant {grant_id!r}")
    return next(iter(_views([_JSON.validate_json(body)], now)))


def _views(found: Iterable[Grant], now: int) -> Iterable[GrantView]:
    for grant in found:
        yield GrantView(
            id=grant.id,
            reach=grant.reach,
            place=grant.place,
            deployment=grant.deployment,
            agent=grant.agent,
            name=grant.name,
            rules=sorted(grant.rules),
            args=dict(grant.args),
            by=grant.vote.by,
            approval_id=grant.request_id,
            created_at=grant.since,
            until=grant.until,
            revoked_at=grant.revoked,
            active=grant.holds(moment(now)),
        )
