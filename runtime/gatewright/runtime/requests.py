"""Requests to people in the database: opened with the effect that waits, decided once, used once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import orjson
import sqlalchemy as sa
from langgraph.types import Interrupt
from pydantic import TypeAdapter

from gatewright.agents.effects import Effect
from gatewright.agents.errors import ConflictError, DeniedError, NotFoundError
from gatewright.safety import approvals, canonical, records
from gatewright.safety.verdicts import Decision

from . import codec, identifiers, runs
from .clock import MICROSECONDS, moment
from .interop import questions
from .store import schema
from .store.writer import Leaf, Seal, Transaction

_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]  # SQLModel adds it
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
_FIND = sa.select(
    _APPROVAL.c.request,
    _APPROVAL.c.run_id,
    _APPROVAL.c.thread_id,
    _APPROVAL.c.case_id,
    _APPROVAL.c.deployment,
    _APPROVAL.c.agent,
    _APPROVAL.c.key,
).where(_APPROVAL.c.id == sa.bindparam("find"))
_STORE = (
    sa.update(_APPROVAL)
    .where(_APPROVAL.c.id == sa.bindparam("of"), _APPROVAL.c.state == sa.bindparam("was"))
    .values(
        state=sa.bindparam("becomes"),
        request=sa.bindparam("body"),
        decided_at=sa.func.coalesce(_APPROVAL.c.decided_at, sa.bindparam("now")),
    )
)
_DUE = sa.select(_APPROVAL.c.id).where(_APPROVAL.c.state == "open", _APPROVAL.c.due_at <= sa.bindparam("now"))


def approval_part(request: approvals.Request) -> records.ApprovalPart:
    """What people answered, as records hold it."""
    if request.vote is None:
        return records.ApprovalPart(id=request.id, verdict=request.state, by="")
    vote = request.vote
    return records.ApprovalPart(id=request.id, verdict=vote.verdict, by=vote.by, reason=vote.reason)


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
    place: Place, effect: Effect, args: Mapping[str, Any], decision: Decision, pack: str, *, now: int
) -> approvals.Request:
    """May this be done? Asked because rules said so."""
    more: dict[str, Any] = {} if decision.terms is None else {"terms": decision.terms}
    return approvals.Request(
        id=identifiers.new("ask"),
        kind="approval",
        action=_action(place, effect, args, pack),
        schema=None if effect.schema is None else effect.schema(),
        prompt=decision.reason,
        opened=moment(now),
        **more,
    )


def about_outcome(place: Place, effect: Effect, pack: str, *, now: int) -> approvals.Request:
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
    )


def open_request(
    transaction: Transaction, run_id: str, place: Place, key: str, request: approvals.Request, *, now: int
) -> None:
    """Put a request before people."""
    transaction.run(
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
        due_at=None if request.due is None else int(request.due.timestamp() * MICROSECONDS),
    )


def open_question(transaction: Transaction, run: runs.Claimed, interrupt: Interrupt, *, now: int) -> str:
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


def find(transaction: Transaction, request_id: str) -> tuple[approvals.Request, tuple[Any, ...]]:
    """A request with its row.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = transaction.one(_FIND, find=request_id)
    if row is None:
        raise NotFoundError(f"there is no approval {request_id!r}; `gatewright approvals list` shows those that wait")
    return load(row[0]), row


def _store(transaction: Transaction, was: approvals.Request, becomes: approvals.Request, *, now: int) -> None:
    body = _REQUEST.dump_json(becomes).decode()
    if not transaction.run(_STORE, of=was.id, was=was.state, becomes=becomes.state, body=body, now=now):
        raise ConflictError(f"request {was.id!r} has been decided or used by somebody else in the meantime")


def decide(transaction: Transaction, request_id: str, vote: approvals.Vote, *, now: int) -> tuple[str, bool]:
    """Store what a person decided, in the ledger too; gives the run, and whether nothing else holds it up.

    Raises:
        NotFoundError, ConflictError, UsageError: see `find` and `gatewright.safety.approvals.decide`.
    """
    request, row = find(transaction, request_id)
    decided = approvals.decide(request, vote)
    _store(transaction, request, decided, now=now)
    _body, run_id, thread_id, case_id, deployment, agent, key = row
    shown = orjson.dumps({"action": canonical.json_value(dict(request.action.args)), "value": codec.plain(vote.value)})
    sealed = records.seal(shown)
    record = records.Record(
        kind="approval",
        time=records.timestamp(moment(now)),
        deployment=deployment,
        agent=agent,
        run_id=run_id,
        thread_id=thread_id,
        case_id=case_id,
        approval=approval_part(decided),
        sealed={"shown": sealed.commitment},
        detail={
            "kind": request.kind,
            "effect": request.action.kind,
            "name": request.action.name,
            "key": key,
            "asked": request.action.digest,
            "decided": decided.digest,
        },
    )
    transaction.append(Leaf("approval", run_id, case_id, record.encode()), [Seal("shown", "json", shown, sealed.salt)])
    return run_id, runs.arrived(transaction, run_id, request_id, now=now)


def consume(transaction: Transaction, request: approvals.Request, *, now: int) -> None:
    """Use a decision, once, with the intention that it allows.

    Raises:
        ConflictError: it has been used, or is not about this action.
    """
    current, _row = find(transaction, request.id)
    _store(transaction, current, approvals.consume(current, request.digest), now=now)


def delivered(transaction: Transaction, request_id: str, *, now: int) -> None:
    """An answer that the agent's graph has taken."""
    request, _row = find(transaction, request_id)
    _store(transaction, request, approvals.consume(request, request.digest), now=now)


def void(transaction: Transaction, request_id: str, *, now: int) -> None:
    """A decision that is no longer about what would be done."""
    request, _row = find(transaction, request_id)
    _store(transaction, request, approvals.void(request), now=now)


def expire(transaction: Transaction, *, now: int) -> list[str]:
    """End the requests whose time is over; gives the runs that waited for them."""
    waited: list[str] = []
    for (request_id,) in transaction.all(_DUE, now=now):
        request, row = find(transaction, request_id)
        _store(transaction, request, approvals.expire(request, moment(now)), now=now)
        runs.arrived(transaction, row[1], request_id, now=now)
        waited.append(row[1])
    return waited
