"""Requests to people in the database: opened with the effect that waits, decided once, used once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import sqlalchemy as sa
from langgraph.types import Interrupt
from pydantic import TypeAdapter

from gatewright.agents.effects import Effect
from gatewright.agents.errors import ConflictError, DeniedError, NotFoundError
from gatewright.safety import approvals, canonical
from gatewright.safety.approvals import deadlines
from gatewright.safety.approvals.terms import ApprovalTerms
from gatewright.safety.ledger import records
from gatewright.safety.verdicts import Decision

from . import claims, codec, identifiers
from .approvals import entries
from .approvals.rows import Row
from .clock import MICROSECONDS, moment
from .interop import questions
from .notices import telling
from .store import schema
from .store.database import dumps
from .store.writer import Transaction

_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_SUMMONS = schema.Summons.__table__  # type: ignore[attr-defined]
_BARRED = schema.Barred.__table__  # type: ignore[attr-defined]
_RUN = schema.Run.__table__  # type: ignore[attr-defined]
_REQUEST = TypeAdapter(approvals.Request)
QUESTION = "interrupt:"  # begins the key of an agent's own question
_OVER = frozenset({"consumed", "void", "cancelled"})  # requests that say nothing any more


class Place(Protocol):
    """Whose request it is: a chain's execution, or the engine's claim."""

    @property
    def thread_id(self) -> str: ...
    @property
    def case_id(self) -> str: ...
    @property
    def deployment(self) -> str: ...
    @property
    def agent(self) -> str: ...


_INSERT = sa.insert(_APPROVAL).values(
    {
        name: sa.bindparam(name)
        for name in (
            "id",
            "run_id",
            "key",
            "kind",
            "thread_id",
            "case_id",
            "deployment",
            "agent",
            "state",
            "request",
            "created_at",
            "due_at",
        )
    }
)
_OF_RUN = (
    sa.select(_APPROVAL.c.key, _APPROVAL.c.state, _APPROVAL.c.request)
    .where(_APPROVAL.c.run_id == sa.bindparam("of_run"))
    .order_by(_APPROVAL.c.number)
)
FIND = (  # and kept from others until the transaction ends
    sa.select(
        _APPROVAL.c.request,
        _APPROVAL.c.state,
        _APPROVAL.c.number,
        _APPROVAL.c.run_id,
        _APPROVAL.c.thread_id,
        _APPROVAL.c.case_id,
        _APPROVAL.c.deployment,
        _APPROVAL.c.agent,
        _APPROVAL.c.key,
    )
    .where(_APPROVAL.c.id == sa.bindparam("find"))
    .with_for_update()
)
_STORE = (
    sa.update(_APPROVAL)
    .where(_APPROVAL.c.id == sa.bindparam("of"), _APPROVAL.c.state == sa.bindparam("was"))
    .values(
        state=sa.bindparam("becomes"),
        request=sa.bindparam("body"),
        decided_at=sa.func.coalesce(_APPROVAL.c.decided_at, sa.bindparam("decided")),
        due_at=sa.bindparam("due"),
    )
)
_SUMMON = sa.insert(_SUMMONS).values(called=sa.bindparam("called"), number=sa.bindparam("number"))
_DISMISS = sa.delete(_SUMMONS).where(_SUMMONS.c.number == sa.bindparam("of"))
_BAR = sa.insert(_BARRED).values(name=sa.bindparam("name"), number=sa.bindparam("number"))
_UNBAR = sa.delete(_BARRED).where(_BARRED.c.number == sa.bindparam("of"))
_REQUESTER = sa.select(_RUN.c.requester).where(_RUN.c.id == sa.bindparam("of_run"))


def approval_part(request: approvals.Request) -> records.ApprovalPart:
    """What people answered, as records hold it: all who agreed, or that nobody decided."""
    vote = request.vote
    if request.state == "approved" and approvals.by_default(request):
        reason = "nobody decided in time, and the terms approve then"
        return records.ApprovalPart(id=request.id, verdict="approve", by="", reason=reason)
    if vote is None or request.state in ("expired", "cancelled", "void"):
        return records.ApprovalPart(id=request.id, verdict=request.state, by="")
    agreed = [one for one in request.votes if one.verdict == vote.verdict]
    return records.ApprovalPart(
        id=request.id,
        verdict=vote.verdict,
        by=", ".join(one.by for one in agreed),
        reason="; ".join(one.reason for one in agreed if one.reason),
    )


def _action(place: Place, effect: Effect, args: Mapping[str, Any], pack: str) -> approvals.Action:
    return approvals.Action(
        kind=effect.kind,
        name=effect.name,
        args=cast("Mapping[str, Any]", canonical.json_value(dict(args))),
        agent=place.agent,
        deployment=place.deployment,
        pack=pack,
    )


def about_action(
    place: Place,
    effect: Effect,
    args: Mapping[str, Any],
    decision: Decision,
    pack: str,
    *,
    owner: str = "",
    labels: frozenset[str] = frozenset(),
    after: approvals.Request | None = None,
    now: int,
) -> approvals.Request:
    """May this be done? Asked because rules said so, or because somebody else must approve what was edited.

    Args:
        owner: of the agent, empty where nobody is named.
        labels: of the effect, those that rule packs give it included.
        after: the request whose arguments were edited to these; its terms stay in force.
    """
    terms = ApprovalTerms() if decision.terms is None else decision.terms
    request = approvals.Request(
        id=identifiers.new("ask"),
        kind="approval",
        action=_action(place, effect, args, pack),
        terms=terms,
        schema=None if effect.schema is None else effect.schema(),
        prompt=decision.reason,
        opened=moment(now),
        owner=owner,
        rules=frozenset(hit.rule_id for hit in decision.hits if hit.verdict == "ask"),
        irreversible="irreversible" in effect.labels | labels,
    )
    return request if after is None else approvals.following(request, after)


def about_outcome(place: Place, effect: Effect, pack: str, *, owner: str = "", now: int) -> approvals.Request:
    """Did this happen? Asked because a process died while it was being performed."""
    return approvals.Request(
        id=identifiers.new("ask"),
        kind="unknown",
        action=_action(place, effect, effect.args, pack),
        prompt=(
            f"The process ended while {effect.kind} {effect.name!r} was being performed, so it is not known whether it "
            "happened. Look in the system it acts on, then say what its result was, or have it performed."
        ),
        opened=moment(now),
        owner=owner,
    )


def open_request(
    transaction: Transaction, run_id: str, place: Place, key: str, request: approvals.Request, *, now: int
) -> None:
    """Put a request before people."""
    request = addressed(transaction, run_id, request)
    number = transaction.insert(
        _INSERT,
        id=request.id,
        run_id=run_id,
        key=key,
        kind=request.kind,
        thread_id=place.thread_id,
        case_id=place.case_id,
        deployment=place.deployment,
        agent=place.agent,
        state=request.state,
        request=_REQUEST.dump_json(request).decode(),
        created_at=now,
        due_at=_due(request),
    )
    _summon(transaction, number, request)
    row = Row(number, run_id, place.thread_id, place.case_id, place.deployment, place.agent, key)
    entries.opened(transaction, row, request, now=now)
    telling.opened(transaction, request, now=now)


def addressed(transaction: Transaction, run_id: str, request: approvals.Request) -> approvals.Request:
    """The request with who started the run that asks; agents that were asked by others act for the same person."""
    row = transaction.one(_REQUESTER, of_run=run_id)
    return request if row is None or not row[0] else dataclasses.replace(request, requester=row[0])


def _due(request: approvals.Request) -> int | None:
    due = deadlines.following(request)
    return None if due is None else round(due.at.timestamp() * MICROSECONDS)


def _summon(transaction: Transaction, number: int, request: approvals.Request) -> None:
    """Note who may decide an open request, and who not."""
    called = {dumps(sorted(request.asked.roles))}
    called |= {name if name.startswith("name:") else dumps([name.removeprefix("role:")]) for name in request.called}
    for name in sorted(called):
        transaction.run(_SUMMON, called=name, number=number)
    voted = {name for vote in request.votes for name in vote.people}
    for name in sorted(voted | request.excluded.keys()):
        transaction.run(_BAR, name=name, number=number)


def open_question(transaction: Transaction, run: claims.Claimed, interrupt: Interrupt, *, now: int) -> str:
    """Put an agent's own `interrupt()` before people; gives the id of the request. Twice the same is one request."""
    key = f"{QUESTION}{interrupt.id}"
    for known, request in of_run(transaction, run.id).items():
        if known == key and request.state in ("open", "answered", "rejected"):
            return request.id
    payload = codec.plain(interrupt.value)
    question = questions.understand(payload)
    schema = getattr(interrupt, "response_schema", None)
    request = approvals.Request(
        id=identifiers.new("ask"),
        kind="question",
        action=approvals.Action(
            kind="human",
            name=run.agent,
            args={"payload": payload},
            agent=run.agent,
            deployment=run.deployment,
            pack="",
        ),
        terms=ApprovalTerms(excluded=frozenset()),  # whoever started the run is often who can answer
        schema=question.schema if question is not None and schema is None else _json_schema(schema),
        prompt=payload if isinstance(payload, str) else "" if question is None else question.prompt,
        opened=moment(now),
    )
    open_request(transaction, run.id, run, key, request, now=now)
    return request.id


def _json_schema(schema: Any) -> dict[str, Any] | None:
    if schema is None or isinstance(schema, dict):
        return schema
    return TypeAdapter(schema).json_schema()


def of_run(transaction: Transaction, run_id: str) -> dict[str, approvals.Request]:
    """The newest request at each place of a run, where it still says something.

    One that was used, or is void, or was closed with the run does not: a process that died after using it must not
    take it for an answer to what has happened since, but ask anew.
    """
    found: dict[str, approvals.Request] = {}
    for key, state, body in transaction.all(_OF_RUN, of_run=run_id):
        if state in _OVER:
            found.pop(key, None)
        else:
            found[key] = load(body)
    return found


def load(body: str) -> approvals.Request:
    """The request of a text column."""
    return _REQUEST.validate_json(body)


class Given(NamedTuple):
    """An answer to an agent's own question."""

    request_id: str
    by: str
    value: Any


def answers(transaction: Transaction, run_id: str) -> dict[str, Given]:
    """What people answered to the agent's own questions, by the id of the interrupt.

    Raises:
        DeniedError: somebody declined to answer.
    """
    found: dict[str, Given] = {}
    for key, request in of_run(transaction, run_id).items():
        if not key.startswith(QUESTION) or request.vote is None:
            continue
        if request.state == "rejected":
            raise DeniedError(f"{request.vote.by} declined to answer: {request.vote.reason}")
        if request.state == "answered":
            found[key.removeprefix(QUESTION)] = Given(request.id, request.vote.by, request.vote.value)
    return found


def find(transaction: Transaction, request_id: str) -> tuple[approvals.Request, Row]:
    """A request with its row.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = transaction.one(FIND, find=request_id)
    if row is None:
        raise NotFoundError(f"there is no approval {request_id!r}; `gatewright approvals list` shows those that wait")
    return dataclasses.replace(load(row[0]), state=row[1]), Row(*row[2:])


def store(transaction: Transaction, row: Row, was: approvals.Request, becomes: approvals.Request, *, now: int) -> None:
    """Store what became of a request.

    Raises:
        ConflictError: it is not what it was any more.
    """
    changed = transaction.run(
        _STORE,
        of=was.id,
        was=was.state,
        becomes=becomes.state,
        body=_REQUEST.dump_json(becomes).decode(),
        decided=None if becomes.state == "open" else now,
        due=_due(becomes),
    )
    if not changed:
        raise ConflictError(f"request {was.id!r} has been decided or used by somebody else in the meantime")
    if was.state == "open":
        dismiss(transaction, row.number)
        if becomes.state == "open":
            _summon(transaction, row.number, becomes)


def dismiss(transaction: Transaction, number: int) -> None:
    """Nobody is called to decide a request any more."""
    transaction.run(_DISMISS, of=number)
    transaction.run(_UNBAR, of=number)


def consume(transaction: Transaction, request: approvals.Request, *, now: int) -> None:
    """Use a decision, once, with the intention that it allows.

    Raises:
        ConflictError: it has been used, or is not about this action.
    """
    current, row = find(transaction, request.id)
    store(transaction, row, current, approvals.consume(current, request.digest), now=now)


def delivered(transaction: Transaction, request_id: str, *, now: int) -> None:
    """An answer that the agent's graph has taken."""
    request, row = find(transaction, request_id)
    store(transaction, row, request, approvals.consume(request, request.digest), now=now)


def void(transaction: Transaction, request_id: str, *, now: int) -> None:
    """A decision that is no longer about what would be done."""
    request, row = find(transaction, request_id)
    store(transaction, row, request, approvals.void(request), now=now)
