"""Questions to people, each bound to one exact action: a pure state machine, the runtime stores its states.

```
        ┌─ approve ─▶ approved ─┐
        ├─ edit ────▶ edited ───┤
 open ──┼─ answer ──▶ answered ─┼─ consume ─▶ consumed
        ├─ reject ──▶ rejected  └─ void ────▶ void       the action or the rules are not those that were decided on
        ├─ cancel ──▶ cancelled                          the run is over
        └─ expire ──▶ expired                            nobody decided in time
```

A decision is made once, stored, used once and never computed again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from gatewright.agents.errors import ConflictError, UsageError

from . import canonical
from .terms import ApprovalTerms

Kind = Literal["approval", "question", "unknown"]
"""`approval`: may this action be performed? · `question`: the agent asks people something (`interrupt()`) ·
`unknown`: an action was begun and nobody recorded how it ended: did it happen?"""

State = Literal["open", "approved", "rejected", "answered", "edited", "cancelled", "expired", "void", "consumed"]

Answer = Literal["approve", "reject", "edit", "answer"]
"""`approve`: perform it (for `unknown`: it did not happen, perform it) · `reject`: do not (for `unknown`: give up) ·
`edit`: perform it with the arguments in `value` · `answer`: `value` is the answer, or the result that the action had
or shall be taken to have."""

ANSWERS: Mapping[Kind, tuple[Answer, ...]] = {
    "approval": ("approve", "reject", "edit", "answer"),
    "question": ("answer", "reject"),
    "unknown": ("answer", "approve", "reject"),
}
"""What people may answer to each kind of request."""

_NEXT: Mapping[Answer, State] = {"approve": "approved", "reject": "rejected", "edit": "edited", "answer": "answered"}


class NotEntitledError(UsageError):
    """This person may not decide this request; somebody else must."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a request is about, exactly. `pack` is the digest of the rules that were in force (`Guard.digest`)."""

    kind: str
    name: str
    args: Mapping[str, Any]
    agent: str
    deployment: str
    pack: str

    @property
    def digest(self) -> str:
        """See `action_digest`."""
        return action_digest(
            kind=self.kind,
            name=self.name,
            args=self.args,
            agent=self.agent,
            deployment=self.deployment,
            pack=self.pack,
        )


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What a person says. `by` and `roles` come from the authenticated session, never from the request's body.

    `time` is when it was said; a request that expires needs it.
    """

    by: str
    verdict: Answer
    reason: str = ""
    value: Any = None
    roles: frozenset[str] = frozenset()
    time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A question to people.

    `schema` is the JSON Schema of what people may fill in: the arguments of an approval, the answer of a question,
    the result of an unknown; None takes any. `digest` is that of the action that the decision is about: after `edit`,
    of the edited one. `opened` is when it was asked; needed where the terms expire.
    """

    id: str
    kind: Kind
    action: Action
    terms: ApprovalTerms = field(default_factory=ApprovalTerms)
    schema: Mapping[str, Any] | None = None
    prompt: str = ""
    opened: datetime | None = None
    state: State = "open"
    vote: Vote | None = None

    @property
    def digest(self) -> str:
        """The digest that `consume` asks for."""
        return self.decided.digest

    @property
    def decided(self) -> Action:
        """The action as it was decided: with the edited arguments, if they were edited."""
        if self.vote is not None and self.vote.verdict == "edit":
            return dataclasses.replace(self.action, args=self.vote.value)
        return self.action

    @property
    def due(self) -> datetime | None:
        """When it expires, None for never.

        Raises:
            UsageError: it expires but has no time at which it was opened.
        """
        if self.terms.expires is None:
            return None
        if self.opened is None:
            raise UsageError(f"request {self.id!r} expires after {self.terms.expires} s; give it a time it was opened")
        return self.opened + timedelta(seconds=self.terms.expires)


def action_digest(*, kind: str, name: str, args: Mapping[str, Any], agent: str, deployment: str, pack: str) -> str:
    """SHA-256 over the RFC 8785 bytes of the action, 64 hexadecimal digits.

    Args:
        pack: the digest of the rules in force, so that a decision does not outlive them.
    """
    return canonical.digest(
        {
            "kind": kind,
            "name": name,
            "args": canonical.json_value(args),
            "agent": agent,
            "deployment": deployment,
            "pack": pack,
        }
    )


def decide(request: Request, vote: Vote) -> Request:
    """The request after a person has decided it.

    Raises:
        ConflictError: it is no longer open, or its time is over.
        NotEntitledError: the person is excluded or lacks a role.
        UsageError: an answer that this kind of request does not have, a rejection without a reason, an edit that is
            no object, or a value that the request's schema does not allow (the message has the path into it).
    """
    if request.state != "open":
        by = f" by {request.vote.by!r}" if request.vote else ""
        raise ConflictError(f"request {request.id!r} is {request.state}{by} already; a decision is made once")
    _check_person(request, vote)
    due = request.due
    if due is not None:
        if vote.time is None:
            raise UsageError(
                f"request {request.id!r} expires at {due.isoformat()}; the vote needs the time it was cast"
            )
        if vote.time >= due:
            raise ConflictError(
                f"request {request.id!r} expired at {due.isoformat()}; the action must be asked for anew"
            )
    _check_value(request, vote)
    return dataclasses.replace(request, state=_NEXT[vote.verdict], vote=vote)


def consume(request: Request, digest: str) -> Request:
    """The request after its decision has been used. Do it in the transaction that records the use.

    Args:
        digest: of the action about to be performed, under the rules now in force.

    Raises:
        ConflictError: there is no decision to use, it was used before, or it is void: the action or the rules are not
            those that were decided on. In the last case store `void(request)` and ask anew.
    """
    if request.state == "consumed":
        raise ConflictError(f"the decision on request {request.id!r} was used before; it counts once, ask anew")
    if request.state not in ("approved", "edited", "answered"):
        raise ConflictError(f"request {request.id!r} is {request.state}; there is no decision to use")
    if digest != request.digest:
        raise ConflictError(
            f"the decision on request {request.id!r} is void: it was about action {request.digest[:12]}, this is "
            f"{digest[:12]} (other arguments, or other rules); ask anew"
        )
    return dataclasses.replace(request, state="consumed")


def void(request: Request) -> Request:
    """The request after its action or the rules changed under it.

    Raises:
        ConflictError: it was used, or is over.
    """
    return _ended(request, "void", ("open", "approved", "edited", "answered"))


def cancel(request: Request) -> Request:
    """The request after the run that asked is over.

    Raises:
        ConflictError: it was used, or is over.
    """
    return _ended(request, "cancelled", ("open", "approved", "edited", "answered"))


def expire(request: Request, now: datetime) -> Request:
    """The request as it is at `now`: expired if it is open and its time is over, else unchanged."""
    due = request.due
    if request.state == "open" and due is not None and now >= due:
        return dataclasses.replace(request, state="expired")
    return request


def form_schema(request: Request) -> dict[str, Any]:
    """The JSON Schema of the fields `verdict`, `reason` and `value` of a vote, one branch for each possible answer.

    Branches have a `title` for a button and come in the order of `ANSWERS`; an edit's `value` has the arguments as
    its default. `decide` accepts what it accepts.
    """
    branches = [_branch(request, answer) for answer in ANSWERS[request.kind]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": request.prompt or f"{request.action.kind} {request.action.name}",
        "oneOf": branches,
    }


_TITLES: Mapping[tuple[Kind, Answer], str] = {
    ("approval", "approve"): "Approve",
    ("approval", "reject"): "Reject",
    ("approval", "edit"): "Edit and approve",
    ("approval", "answer"): "Answer in its place",
    ("question", "answer"): "Answer",
    ("question", "reject"): "Decline",
    ("unknown", "answer"): "It happened, with this result",
    ("unknown", "approve"): "It did not happen, perform it",
    ("unknown", "reject"): "Give up",
}


def _branch(request: Request, answer: Answer) -> dict[str, Any]:
    reason: dict[str, Any] = {"type": "string", "title": "Reason"}
    properties: dict[str, Any] = {"verdict": {"const": answer}, "reason": reason}
    required = ["verdict"]
    if answer == "reject":
        reason["pattern"] = r"\S"
        required.append("reason")
    if answer in ("edit", "answer"):
        required.append("value")
        properties["value"] = _value_schema(request, answer)
    return {
        "type": "object",
        "title": _TITLES[request.kind, answer],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _value_schema(request: Request, answer: Answer) -> dict[str, Any]:
    if answer == "edit":
        inner: dict[str, Any] = {"type": "object", **(request.schema or {}), "default": dict(request.action.args)}
    elif request.kind == "approval":
        return {}  # its schema is that of the arguments, an answer is a result
    else:
        inner = dict(request.schema or {})
    if "$id" not in inner and inner:
        inner["$id"] = f"urn:gatewright:{answer}"  # so that `#/$defs/...` in it still means its own
    return inner


def _check_person(request: Request, vote: Vote) -> None:
    if not vote.by:
        raise UsageError("a vote needs the name of the person who casts it")
    if vote.by in request.terms.excluded:
        raise NotEntitledError(f"{vote.by!r} is excluded from deciding request {request.id!r}; ask somebody else")
    missing = sorted(request.terms.roles - vote.roles)
    if missing:
        raise NotEntitledError(
            f"request {request.id!r} needs the role {missing[0]!r}, {vote.by!r} has {sorted(vote.roles)}; "
            "ask somebody who has it"
        )


def _check_value(request: Request, vote: Vote) -> None:
    if vote.verdict not in ANSWERS[request.kind]:
        known = ", ".join(ANSWERS[request.kind])
        raise UsageError(f"{vote.verdict!r} is no answer to request {request.id!r} ({request.kind}); it takes {known}")
    if vote.verdict == "reject" and not vote.reason.strip():
        raise UsageError(f"rejecting request {request.id!r} needs a reason; the agent is told it")
    if vote.verdict == "edit" and not isinstance(vote.value, Mapping):
        raise UsageError(f"editing request {request.id!r} needs the new arguments as an object, got {vote.value!r:.80}")
    if vote.verdict in ("edit", "answer"):
        _validate(request, vote.value, _value_schema(request, vote.verdict))


def _validate(request: Request, value: Any, schema: Mapping[str, Any]) -> None:
    # Imported on first use: half of the import time of this package, and needed only when people edit or answer.
    import jsonschema
    import jsonschema.exceptions
    import referencing
    import referencing.exceptions

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: a schema cannot make the service fetch an address.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except (jsonschema.exceptions.SchemaError, referencing.exceptions.Unresolvable) as broken:
        raise UsageError(f"the schema of request {request.id!r} cannot be used: {broken}") from broken
    if error is not None:
        raise UsageError(f"request {request.id!r} does not allow this value: at {error.json_path}: {error.message}")


def _ended(request: Request, state: State, possible: tuple[State, ...]) -> Request:
    if request.state not in possible:
        raise ConflictError(f"request {request.id!r} is {request.state}; it cannot become {state}")
    return dataclasses.replace(request, state=state)
