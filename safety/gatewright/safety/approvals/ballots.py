"""What people are asked and what they say: actions, voters, votes, requests. Values; `approvals` moves them on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from gatewright.agents.errors import UsageError
from gatewright.safety import canonical

from .terms import NAME, ApprovalTerms, Stage

Kind = Literal["approval", "question", "unknown", "review"]
"""`approval`: may this action be performed? · `question`: the agent asks people something (`interrupt()`) ·
`unknown`: an action was begun and nobody recorded how it ended: did it happen? · `review`: somebody broke the glass;
was that right?"""

State = Literal[
    "open",
    "approved",
    "rejected",
    "answered",
    "edited",
    "superseded",
    "cancelled",
    "expired",
    "void",
    "consumed",
]

Answer = Literal["approve", "reject", "edit", "answer"]
"""`approve`: perform it (`unknown`: it did not happen, perform it; `review`: it was right) · `reject`: do not
(`unknown`: give up; `review`: it was wrong) · `edit`: perform it with the arguments in `value` · `answer`: `value` is
the answer, or the result that the action had or shall be taken to have."""

ANSWERS: Mapping[Kind, tuple[Answer, ...]] = {
    "approval": ("approve", "reject", "edit", "answer"),
    "question": ("answer", "reject"),
    "unknown": ("answer", "approve", "reject"),
    "review": ("approve", "reject"),
}
"""What people may answer to each kind of request."""


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


@dataclass(frozen=True, kw_only=True)
class Voter:
    """Who votes, as the door that let them in knows them: never as a request's body says.

    `authenticated`: whether the name is proven. `program`: it is nobody's, but a program's, where people are known.
    `via`: the door (`api`, `cli`, `console`).
    """

    name: str
    roles: frozenset[str] = frozenset()
    authenticated: bool = False
    program: bool = False
    via: str = ""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What a person says.

    `roles` are those that the vote counts with, at that time: the person's own, or those handed over by
    `on_behalf_of`. `shown` is the digest of the action that the person saw. `time` is when it was said; a request that
    expires needs it. `stage` is the one that an approval counted for. `id`, chosen by the caller, makes a repeated
    vote one vote.
    """

    by: str
    verdict: Answer
    reason: str = ""
    value: Any = None
    roles: frozenset[str] = frozenset()
    time: datetime | None = None
    authenticated: bool = False
    program: bool = False
    via: str = ""
    shown: str = ""
    on_behalf_of: str = ""
    break_glass: bool = False
    stage: int = 0
    id: str = ""

    @property
    def people(self) -> frozenset[str]:
        """Everybody who may not have another say: who votes, and whom they stand for."""
        return frozenset({self.by, self.on_behalf_of} - {""})


@dataclass(frozen=True, kw_only=True)
class Request:
    """A question to people.

    `schema` is the JSON Schema of what people may fill in: the arguments of an approval, the answer of a question,
    the result of an unknown; None takes any. `opened` is when it was asked; needed where anything of the terms has a
    time. `requester`, `owner` and `editors` are the people whom the terms call `requester`, `agent_owner` and
    `editor`, empty where they are not known. `rules` are those that asked. `level` counts the steps of the escalation
    that were called, `reminded` the reminders, `extended` the times that the deadline was put off; `overdue` is set
    when it passed and the request is held. `about` is the request that this one follows: the one that was edited, or
    the one that a review looks at.
    """

    id: str
    kind: Kind
    action: Action
    terms: ApprovalTerms = field(default_factory=ApprovalTerms)
    schema: Mapping[str, Any] | None = None
    prompt: str = ""
    opened: datetime | None = None
    state: State = "open"
    votes: tuple[Vote, ...] = ()
    requester: str = ""
    owner: str = ""
    editors: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    irreversible: bool = False
    level: int = 0
    reminded: int = 0
    extended: int = 0
    overdue: bool = False
    about: str = ""

    @property
    def vote(self) -> Vote | None:
        """The vote that came last: what was decided, once it is."""
        return self.votes[-1] if self.votes else None

    @property
    def digest(self) -> str:
        """The digest that `consume` asks for: of the action as it was decided."""
        return self.decided.digest

    @property
    def decided(self) -> Action:
        """The action as it was decided: with the edited arguments, if they were edited."""
        if self.vote is not None and self.vote.verdict == "edit":
            return dataclasses.replace(self.action, args=self.vote.value)
        return self.action

    @property
    def due(self) -> datetime | None:
        """When it expires, None for never (again).

        Raises:
            UsageError: it expires but has no time at which it was opened.
        """
        if self.terms.expires is None or self.overdue:
            return None
        return self.after(self.terms.expires * (1 + self.extended))

    def after(self, seconds: float) -> datetime:
        """The time so long after it was opened.

        Raises:
            UsageError: it has no time at which it was opened.
        """
        if self.opened is None:
            raise UsageError(f"request {self.id!r} has terms of time; give it a time it was opened")
        return self.opened + timedelta(seconds=seconds)

    @property
    def stage(self) -> int:
        """Which stage people decide on: the first that lacks approvals, or the number of stages."""
        given = [vote.stage for vote in self.votes if vote.verdict == "approve"]
        return next(
            (at for at, stage in enumerate(self.terms.stages) if given.count(at) < stage.any), len(self.terms.stages)
        )

    @property
    def asked(self) -> Stage:
        """The stage that people decide on."""
        return self.terms.stages[min(self.stage, len(self.terms.stages) - 1)]

    @property
    def called(self) -> frozenset[str]:
        """Whom the escalation has called so far, as `role:NAME` and `name:PERSON`."""
        return frozenset(step.to for step in self.terms.escalation[: self.level])

    @property
    def excluded(self) -> Mapping[str, str]:
        """The people who may not decide, with the reason."""
        found = {name.removeprefix(NAME): "is excluded" for name in self.terms.excluded if name.startswith(NAME)}
        if "editor" in self.terms.excluded:
            found |= dict.fromkeys(sorted(self.editors), "wrote the arguments")
        if "agent_owner" in self.terms.excluded and self.owner:
            found[self.owner] = "owns the agent"
        if "requester" in self.terms.excluded and self.requester:
            found[self.requester] = "started the run"
        return found
