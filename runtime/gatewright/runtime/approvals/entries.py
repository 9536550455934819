"""What the ledger says about approvals: a record for each request, vote, grant, delegation, reminder, escalation and
expiry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter

from gatewright.runtime import codec, leaves
from gatewright.runtime.clock import moment
from gatewright.runtime.store.appending import Seal
from gatewright.runtime.store.writer import Transaction
from gatewright.safety import canonical
from gatewright.safety.approvals.ballots import Request, Vote
from gatewright.safety.approvals.deadlines import Happening
from gatewright.safety.approvals.delegations import Delegation
from gatewright.safety.approvals.grants import Grant
from gatewright.safety.ledger import records

from .rows import Row

_REQUEST = TypeAdapter(Request)
_CONDITIONS = {"kind", "terms", "opened", "requester", "owner", "editors", "rules", "irreversible", "about"}


def conditions(request: Request) -> str:
    """The digest of what says who may decide a request, and when: all of it that stays as it was when it was opened.

    Defaults are left out, so that a version with further conditions gives the same.
    """
    value = _REQUEST.dump_python(request, include=_CONDITIONS, exclude_defaults=True)
    return canonical.digest(canonical.json_value(value))


def opened(transaction: Transaction, row: Row, request: Request, *, now: int) -> None:
    """A request that is put before people."""
    part = records.ApprovalPart(id=request.id, verdict=request.state, by="")
    _write(transaction, row, part, {"event": "opened", **_about(row, request), "state": request.state}, now=now)


def voted(transaction: Transaction, row: Row, request: Request, decided: Request, vote: Vote, *, now: int) -> None:
    """A vote, with what the person was shown, and what became of the request."""
    shown = {
        "action": canonical.json_value(dict(request.action.args)),
        "prompt": request.prompt,
        "value": codec.plain(vote.value),
    }
    part = records.ApprovalPart(id=request.id, verdict=vote.verdict, by=vote.by, reason=vote.reason)
    detail = {
        **_about(row, request),
        "decided": decided.digest,
        "state": decided.state,
        "roles": sorted(vote.roles),
        "authenticated": vote.authenticated,
        "via": vote.via,
        "shown": vote.shown,
        "on_behalf_of": vote.on_behalf_of,
        "break_glass": vote.break_glass,
        "vote": vote.id,
    }
    _write(transaction, row, part, {"event": "vote", **detail}, shown=shown, now=now)


def happened(transaction: Transaction, row: Row, happening: Happening, *, now: int) -> None:
    """A reminder, a step of the escalation, or the end of the time."""
    request = happening.request
    part = records.ApprovalPart(id=request.id, verdict=happening.what, by="")
    detail = {
        **_about(row, request),
        "due": records.timestamp(happening.at),
        "to": list(happening.to),
        "state": request.state,
        "level": request.level,
        "overdue": request.overdue,
    }
    _write(transaction, row, part, {"event": happening.what, **detail}, now=now)


def granted(transaction: Transaction, row: Row, grant: Grant, event: str, by: str, *, now: int) -> None:
    """A grant that was given (`grant`) or ended (`grant revoked`)."""
    part = records.ApprovalPart(id=grant.id, verdict=event, by=by, reason=grant.vote.reason)
    detail = {
        "event": event,
        "request": grant.request_id,
        "reach": grant.reach,
        "place": grant.place,
        "name": grant.name,
        "pack": grant.pack,
        "rules": sorted(grant.rules),
        "arguments": sorted(grant.args),
        "until": None if grant.until is None else records.timestamp(grant.until),
    }
    _write(transaction, row, part, detail, shown={"args": canonical.json_value(dict(grant.args))}, now=now)


def delegated(transaction: Transaction, delegation: Delegation, event: str, by: str, *, now: int) -> None:
    """A delegation that was given (`delegation`) or ended (`delegation revoked`)."""
    scope = delegation.scope
    row = Row(0, "", "", "", scope.deployment, scope.agent, "")
    part = records.ApprovalPart(id=delegation.id, verdict=event, by=by, reason=delegation.reason)
    detail = {
        "event": event,
        "from": delegation.by,
        "to": delegation.to,
        "roles": sorted(delegation.roles),
        "name": scope.name,
        "until": records.timestamp(delegation.until),
    }
    _write(transaction, row, part, detail, now=now)


def _about(row: Row, request: Request) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "effect": request.action.kind,
        "name": request.action.name,
        "key": row.key,
        "asked": request.action.digest,
        "conditions": conditions(request),
    }


def _write(
    transaction: Transaction,
    row: Row,
    part: records.ApprovalPart,
    detail: Mapping[str, Any],
    *,
    shown: Mapping[str, Any] | None = None,
    now: int,
) -> None:
    seals: list[Seal] = []
    commitments: dict[str, str] = {}
    if shown is not None:
        value = orjson.dumps(shown)
        sealed = records.seal(value)
        seals, commitments = [Seal("shown", "json", value, sealed.salt)], {"shown": sealed.commitment}
    record = records.Record(
        kind="approval",
        time=records.timestamp(moment(now)),
        deployment=row.deployment,
        agent=row.agent,
        run_id=row.run_id,
        thread_id=row.thread_id,
        case_id=row.case_id,
        approval=part,
        sealed=commitments,
        detail=detail,
    )
    transaction.append(*leaves.written(record, seals))
