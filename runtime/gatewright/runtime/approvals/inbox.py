"""Requests to people as they are shown: all of them, or those that somebody may decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import NotFoundError
from gatewright.runtime import requests
from gatewright.runtime.clock import moment
from gatewright.runtime.interop import questions
from gatewright.runtime.store import schema
from gatewright.runtime.views import ApprovalView, VoteView
from gatewright.safety.approvals.ballots import Vote, Voter

_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_SUMMONS = schema.Summons.__table__  # type: ignore[attr-defined]
_BARRED = schema.Barred.__table__  # type: ignore[attr-defined]

_NEXT_CALL = sa.select(sa.func.min(_SUMMONS.c.called)).where(_SUMMONS.c.called > sa.bindparam("last"))
_NUMBER = sa.select(_APPROVAL.c.number).where(_APPROVAL.c.id == sa.bindparam("find"))


def listed(
    connection: Connection,
    *,
    where: Mapping[str, str | None],
    role: str | None = None,
    voter: Voter | None = None,
    after: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[ApprovalView]:
    """Requests, oldest first: see `Operations.approvals`.

    Args:
        where: columns that must have these values; None for any.

    Raises:
        NotFoundError: there is no request `after`.
    """
    conditions = [_APPROVAL.c[column] == value for column, value in where.items() if value is not None]
    if after is not None:
        found = connection.execute(_NUMBER, {"find": after}).scalar()
        if found is None:
            raise NotFoundError(f"there is no approval {after!r} to go on after")
        conditions.append(_APPROVAL.c.number > found)
    query = sa.select(_APPROVAL).order_by(_APPROVAL.c.number)
    if role is None and voter is None:
        return [_view(row) for row in connection.execute(query.where(*conditions).limit(limit).offset(offset))]
    numbers: set[int] = set()
    for call in _calls(connection):
        if _answers(call, role, voter):
            numbers.update(connection.execute(called(call, voter, conditions).limit(offset + limit)).scalars())
    wanted = sorted(numbers)[offset : offset + limit]
    return [_view(row) for row in connection.execute(query.where(_APPROVAL.c.number.in_(wanted)))]


def called(call: str, voter: Voter | None, conditions: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """The numbers of the requests that wait for a call, oldest first: in the order of the index, so that a page ends
    the search."""
    joined = _SUMMONS.join(_APPROVAL, _APPROVAL.c.number == _SUMMONS.c.number)
    query = sa.select(_SUMMONS.c.number).select_from(joined).where(_SUMMONS.c.called == call, *conditions)
    if voter is not None:
        query = query.where(~sa.exists().where(_BARRED.c.number == _SUMMONS.c.number, _BARRED.c.name == voter.name))
    return query.order_by(_SUMMONS.c.number)


def one(connection: Connection, approval_id: str) -> ApprovalView:
    """A request.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = connection.execute(sa.select(_APPROVAL).where(_APPROVAL.c.id == approval_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no approval {approval_id!r}")
    return _view(row)


def _calls(connection: Connection) -> list[str]:
    """Who is called by any open request: few different ones, each found by one look into the index."""
    found: list[str] = []
    while (call := connection.execute(_NEXT_CALL, {"last": found[-1] if found else ""}).scalar()) is not None:
        found.append(call)
    return found


def _answers(call: str, role: str | None, voter: Voter | None) -> bool:
    """Whether a call is for somebody with this role, or for this person."""
    if call.startswith("name:"):
        return voter is not None and call == f"name:{voter.name}"
    roles: list[str] = orjson.loads(call)
    return (role is None or role in roles) and (voter is None or voter.roles.issuperset(roles))


def _view(row: Any) -> ApprovalView:
    request = requests.load(row.request)
    vote = request.vote
    action: dict[str, Any] = {"kind": request.action.kind, "name": request.action.name}
    if request.kind == "question":
        action["payload"] = request.action.args["payload"]
    else:
        action["args"] = dict(request.action.args)
    decided = row.state != "open"
    return ApprovalView(
        id=row.id,
        kind=request.kind,
        state=row.state,
        run_id=row.run_id,
        thread_id=row.thread_id,
        case_id=row.case_id,
        deployment=row.deployment,
        agent=row.agent,
        action=action,
        digest=request.digest,
        reason=request.prompt,
        rules=sorted(request.rules),
        form=dict(request.schema) if request.schema is not None else {},
        created_at=moment(row.created_at),
        decided_at=None if row.decided_at is None else moment(row.decided_at),
        decided_by=vote.by if vote is not None and decided else None,
        decision=vote.verdict if vote is not None and decided else None,
        decision_reason=vote.reason if vote is not None and decided else "",
        answers=[] if decided else list(questions.answers(request)),
        needed=request.terms.quorum,
        given=sum(vote.verdict == "approve" for vote in request.votes),
        roles=sorted(request.asked.roles),
        called=sorted(request.called),
        excluded=dict(request.excluded),
        votes=[_vote(vote) for vote in request.votes],
        requester=request.requester,
        expires_at=request.due,
        on_expiry=None if request.terms.expires is None else request.terms.on_expiry,
        overdue=request.overdue,
        always_ask=request.terms.always_ask,
        about=request.about,
    )


def _vote(vote: Vote) -> VoteView:
    return VoteView(
        by=vote.by,
        verdict=vote.verdict,
        reason=vote.reason,
        roles=sorted(vote.roles),
        time=vote.time,
        authenticated=vote.authenticated,
        via=vote.via,
        on_behalf_of=vote.on_behalf_of,
        break_glass=vote.break_glass,
    )
