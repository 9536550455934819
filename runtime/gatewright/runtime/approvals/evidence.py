"""Whether votes, grants and delegations are as the ledger says: who can write to the database could otherwise decide,
grant or stand in for others, and have the service believe it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Connection

from gatewright.agents.errors import GatewrightError
from gatewright.runtime import leaves, requests
from gatewright.runtime.store import schema
from gatewright.safety import canonical
from gatewright.safety.approvals.delegations import Delegation
from gatewright.safety.approvals.grants import Grant
from gatewright.safety.ledger import publication, records

from . import entries

_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]
_GRANT = schema.Grant.__table__  # type: ignore[attr-defined]
_DELEGATION = schema.Delegation.__table__  # type: ignore[attr-defined]
_SEAL = sa.select(_SEALED.c.value).where(_SEALED.c.leaf == sa.bindparam("of"), _SEALED.c.field == sa.bindparam("named"))
_GIVEN = TypeAdapter(Grant)
_HANDED = TypeAdapter(Delegation)
_TELLING = (b'"approval":', b'"ask"')  # an effect without them concerned nobody
_NOT_DONE = ("denied", "terminated")
_FOLLOWING = {  # states that no record is written of, by the one before
    "open": ("cancelled", "void"),
    **dict.fromkeys(("approved", "edited", "answered"), ("consumed", "void", "cancelled")),
}

Problem = tuple[int | None, str]


class _Given(NamedTuple):
    """What the ledger holds of a grant or delegation. `leaf`: the id of the record that gave it."""

    leaf: int
    record: records.Record
    revoked: bool = False


class _Cast(NamedTuple):
    """What the ledger holds of a vote. `leaf`: the id of its record."""

    leaf: int
    record: records.Record


@dataclass
class _Said:
    """What the ledger says, read from its beginning. `conditions`, `votes` and `states` are by request."""

    conditions: dict[str, str] = field(default_factory=dict[str, str])
    votes: dict[str, list[_Cast]] = field(default_factory=dict[str, list[_Cast]])
    states: dict[str, str] = field(default_factory=dict[str, str])
    grants: dict[str, _Given] = field(default_factory=dict[str, _Given])
    delegations: dict[str, _Given] = field(default_factory=dict[str, _Given])

    def take(self, stored: leaves.Stored, record: records.Record) -> str:
        """Go on by a record of people; gives what is wrong with it, "" for nothing."""
        part, said = record.approval, record.detail
        if part is None:
            return f"{stored.name} is of an approval and names none"
        match said.get("event"):
            case "grant":
                self.grants[part.id] = _Given(stored.id, record)
            case "delegation":
                self.delegations[part.id] = _Given(stored.id, record)
            case "grant revoked" | "delegation revoked" as event:
                given = self.grants if event == "grant revoked" else self.delegations
                if part.id in given:
                    given[part.id] = given[part.id]._replace(revoked=True)
            case event:
                self.states[part.id] = str(said.get("state"))
                if event == "vote":
                    self.votes.setdefault(part.id, []).append(_Cast(stored.id, record))
                if self.conditions.setdefault(part.id, str(said.get("conditions"))) != said.get("conditions"):
                    return f"{stored.name}: when this was said, request {part.id!r} had other terms than when it opened"
                if (absent := said.get("on_behalf_of")) and not self._stands_in(part.by, absent):
                    return f"{stored.name}: {part.by!r} voted for {absent!r}, who never said so"
        return ""

    def _stands_in(self, by: str, absent: str) -> bool:
        details = (given.record.detail for given in self.delegations.values())
        return any((detail["from"], detail["to"]) == (absent, by) for detail in details)

    def permits(self, record: records.Record) -> bool:
        """Whether people let an effect pass as its record says."""
        part = record.approval
        if part is None:
            return not (record.guard and record.guard.before and record.guard.before.verdict == "ask")
        if part.verdict == "grant":
            given = self.grants.get(part.id)
            return given is not None and _reaches(given.record, record)
        agreed = [vote.record.approval for vote in self.votes.get(part.id, ())]
        by = ", ".join(one.by for one in agreed if one is not None and one.verdict == part.verdict)
        return by == part.by and self.states.get(part.id) in ("approved", "edited", "answered")


def contradictions(connection: Connection) -> Iterator[Problem]:
    """What was done that nobody decided, and what is stored that no record says; with the index where it has one."""
    said = _Said()
    for stored in leaves.of_kinds(connection, ("approval", "effect")):
        if stored.kind == "effect" and not any(word in stored.body for word in _TELLING):
            continue
        try:
            record = records.decode(stored.body)
        except GatewrightError:
            continue  # what cannot be read is found by whoever looks at each record
        if record.kind == "approval":
            if problem := said.take(stored, record):
                yield stored.position, problem
        elif record.effect is not None and record.outcome not in _NOT_DONE and not said.permits(record):
            wrong = f"{record.effect.name!r} was performed, and no record says that people agreed"
            yield stored.position, f"{stored.name}: {wrong}"
    for row in connection.execute(sa.select(_APPROVAL.c.id, _APPROVAL.c.state, _APPROVAL.c.request)):
        yield from _checked("request", row.id, partial(_request_holds, connection, said, row))
    for row in connection.execute(sa.select(_GRANT)):
        yield from _checked("grant", row.id, partial(_grant_holds, connection, said, row))
    for row in connection.execute(sa.select(_DELEGATION)):
        yield from _checked("delegation", row.id, partial(_delegation_holds, said, row))


def _checked(what: str, id: str, holds: Callable[[], bool]) -> Iterator[Problem]:
    try:
        found = holds()
    except ValueError:  # its JSON is not that of one
        found = False
    if not found:
        yield None, f"{what} {id!r} is not as the records say"


def _request_holds(connection: Connection, said: _Said, row: Any) -> bool:
    state, request = row.state, requests.load(row.request)
    if said.conditions.get(row.id) != entries.conditions(request):
        return False
    last = said.states.get(request.id, "open")
    if state != last and state not in _FOLLOWING.get(last, ()):
        return False
    recorded = said.votes.get(request.id, [])
    if len(recorded) != len(request.votes):
        return False
    for cast, vote in zip(recorded, request.votes, strict=True):
        part, detail = cast.record.approval, cast.record.detail
        stored = (vote.by, vote.verdict, sorted(vote.roles), vote.authenticated, vote.via)
        told = (detail.get("roles"), detail.get("authenticated"), detail.get("via"))
        if part is None or stored != (part.by, part.verdict, *told):
            return False
        if vote.reason != part.reason and not _unmasks(connection, cast.leaf, vote.reason, part.reason):
            return False
        if (vote.on_behalf_of, vote.break_glass) != (detail.get("on_behalf_of"), detail.get("break_glass")):
            return False
    digests = (request.action.digest, request.digest)
    return not recorded or digests == tuple(recorded[-1].record.detail.get(of) for of in ("asked", "decided"))


def _unmasks(connection: Connection, leaf: int, reason: str, masked: str) -> bool:
    """Whether a reason is what a record shows without its personal data; by the sealed text, unless it was erased."""
    sealed = connection.execute(_SEAL, {"of": leaf, "named": publication.SAID}).scalar()
    if sealed is None:
        return publication.public(reason) == masked
    return bool(orjson.loads(sealed).get(publication.REASON) == reason)


def _grant_holds(connection: Connection, said: _Said, row: Any) -> bool:
    grant, given = _GIVEN.validate_json(row.grant_), said.grants.get(row.id)
    if given is None or (part := given.record.approval) is None:
        return False
    record, detail = given.record, given.record.detail
    until = None if grant.until is None else records.timestamp(grant.until)
    stored = (grant.id, grant.vote.by, grant.deployment, grant.agent, grant.name, grant.reach, grant.place, until)
    told = (detail["name"], detail["reach"], detail["place"], detail["until"])
    if stored != (row.id, part.by, record.deployment, record.agent, *told):
        return False
    stored_more = (grant.request_id, grant.pack, sorted(grant.rules), sorted(grant.args))
    if stored_more != (detail["request"], detail["pack"], detail["rules"], detail["arguments"]):
        return False
    shown = connection.execute(_SEAL, {"of": given.leaf, "named": "shown"}).scalar()
    if shown is not None and orjson.loads(shown) != {"args": canonical.json_value(dict(grant.args))}:
        return False
    return given.revoked == (row.revoked_at is not None) == (grant.revoked is not None)


def _delegation_holds(said: _Said, row: Any) -> bool:
    stored, given = _HANDED.validate_json(row.delegation), said.delegations.get(row.id)
    if given is None:
        return False
    record, detail, scope = given.record, given.record.detail, stored.scope
    if (row.id, row.giver, row.receiver) != (stored.id, stored.by, stored.to):
        return False
    parties = (stored.by, stored.to, sorted(stored.roles), records.timestamp(stored.until))
    if parties != (detail["from"], detail["to"], detail["roles"], detail["until"]):
        return False
    if (scope.deployment, scope.agent, scope.name) != (record.deployment, record.agent, detail["name"]):
        return False
    return given.revoked == (row.revoked_at is not None) == (stored.revoked is not None)


def _reaches(grant: records.Record, effect: records.Record) -> bool:
    """Whether an effect is where the grant was for. Whether it had ended by then is not asked: an action that was let
    pass may be recorded after that."""
    if effect.approval is None or grant.approval is None or effect.effect is None:
        return False
    place = {"run": effect.run_id, "thread": effect.thread_id, "until": ""}[grant.detail["reach"]]
    here = (effect.approval.by, effect.deployment, effect.agent, effect.effect.name, place)
    there = (grant.approval.by, grant.deployment, grant.agent, grant.detail["name"], grant.detail["place"])
    return here == there
