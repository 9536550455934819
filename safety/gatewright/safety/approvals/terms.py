"""What an approval must satisfy: as a rule pack writes it, and as several rules' terms become one."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gatewright.safety.rules.fields import Duration, Names, Part, listed

OnExpiry = Literal["approve", "hold", "escalate", "reject"]
"""What happens to a request that nobody decided in time. `approve`: the action is performed; never an irreversible one
· `hold`: it stays open, overdue · `escalate`: the next step of the escalation is called and given the same time again;
after the last, `reject` · `reject`: the action is not performed, and the agent is told that nobody decided."""

_STRICTNESS: Mapping[OnExpiry, int] = {"approve": 0, "hold": 1, "escalate": 2, "reject": 3}

PARTIES: tuple[str, ...] = ("requester", "agent_owner", "editor")
"""Who may not decide unless the terms allow it, where it is known who that is: who started the run, who owns the
agent, and who wrote the arguments that are to be decided on."""

NAME = "name:"
ROLE = "role:"
LONGEST = 64  # steps of an escalation, stages, people of one stage
BREAK_GLASS = "break_glass"
"""The role of those who may decide alone in an emergency, whatever the terms say."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """People who must approve: `any` different ones, each of whom holds every one of `roles`."""

    any: int = 1
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, order=True)
class Escalation:
    """Somebody to call when a request is still open `after` seconds: `role:NAME` or `name:PERSON`.

    From then on they may decide like those whom the stages name. Exclusions and numbers stay.
    """

    after: float
    to: str


@dataclass(frozen=True, kw_only=True)
class ApprovalTerms:
    """What an approval must satisfy.

    `stages` come one after the other; nobody counts twice. `excluded`: who may not decide, `PARTIES` and
    `name:PERSON`. `expires`: seconds after which `on_expiry` happens, None for never. `escalation`: in the order of
    time, gone through once and `repeat` more times. `reminders`: seconds. `always_ask`: no grant answers for people.
    """

    stages: tuple[Stage, ...] = (Stage(),)
    excluded: frozenset[str] = frozenset(PARTIES)
    expires: float | None = None
    on_expiry: OnExpiry = "reject"
    escalation: tuple[Escalation, ...] = ()
    repeat: int = 0
    reminders: tuple[float, ...] = ()
    always_ask: bool = False

    @property
    def quorum(self) -> int:
        """How many people must approve."""
        return sum(stage.any for stage in self.stages)

    @property
    def roles(self) -> frozenset[str]:
        """All roles that any stage asks for."""
        return frozenset[str]().union(*(stage.roles for stage in self.stages))

    def join(self, other: ApprovalTerms) -> ApprovalTerms:
        """Terms that satisfy both: stage by stage the larger number and all roles, all exclusions, the shorter time,
        the stricter end, everybody who is called and all reminders."""
        times = [time for time in (self.expires, other.expires) if time is not None]
        ends: list[OnExpiry] = [terms.on_expiry for terms in (self, other) if terms.expires is not None or not times]
        return ApprovalTerms(
            stages=tuple(
                Stage(any=max(one.any, two.any), roles=one.roles | two.roles)
                for one, two in itertools.zip_longest(self.stages, other.stages, fillvalue=_NOBODY)
            ),
            excluded=self.excluded | other.excluded,
            expires=min(times, default=None),
            on_expiry=max(ends, key=_STRICTNESS.__getitem__),
            escalation=tuple(sorted({*self.escalation, *other.escalation})),
            repeat=max(self.repeat, other.repeat),
            reminders=tuple(sorted({*self.reminders, *other.reminders})),
            always_ask=self.always_ask or other.always_ask,
        )


_NOBODY = Stage(any=0)


def joined(terms: Iterable[ApprovalTerms]) -> ApprovalTerms:
    """The terms of several rules as one; those of none are the default."""
    found = list(terms)
    return reduce(ApprovalTerms.join, found) if found else ApprovalTerms()


def _known(value: str) -> str:
    if value in PARTIES:
        return value
    if value.startswith(NAME) and value.removeprefix(NAME).strip():
        return _plain(value)
    raise ValueError(f"{value!r} is nobody; write {', '.join(PARTIES)} or {NAME}PERSON")


def _plain(value: str) -> str:
    """A name or role as the configuration has it: blanks around it, or letters made of parts, are no other person."""
    kind, _, name = value.partition(":")
    return f"{kind}:{unicodedata.normalize('NFC', name.strip())}"


def _callable(value: str) -> str:
    if value.startswith((NAME, ROLE)) and value.partition(":")[2].strip():
        return _plain(value)
    raise ValueError(f"{value!r} is nobody; write {ROLE}NAME or {NAME}PERSON")


def _held(value: str) -> str:
    if value.strip() and not value.startswith((NAME, ROLE)):
        return value
    raise ValueError(f"{value!r} is no role; write the bare name of one, as in `roles: [lead]`")


Count = Annotated[int, Field(ge=1, le=LONGEST, strict=True)]
Roles = Annotated[list[Annotated[str, AfterValidator(_held)]], BeforeValidator(listed)]
Excluded = Annotated[list[Annotated[str, AfterValidator(_known)]], BeforeValidator(listed)]
Durations = Annotated[list[Duration], BeforeValidator(listed)]


class StageText(Part):
    """One of `stages`."""

    any: Count = 1
    roles: Roles = []


class EscalationText(Part):
    """One of `escalation`."""

    to: Annotated[str, AfterValidator(_callable)]
    after: Duration


class Approval(Part):
    """The `approval:` of a rule in a rule pack. `quorum` and `roles` are short for one stage."""

    stages: Annotated[list[StageText], Field(min_length=1, max_length=LONGEST)] | None = None
    quorum: Count | None = None
    roles: Roles | None = None
    excluded: Excluded = []
    allow: Names | None = None
    expires: Duration | None = None
    on_expiry: OnExpiry | None = None
    escalation: Annotated[list[EscalationText], Field(max_length=LONGEST)] = []
    repeat: Annotated[int, Field(ge=0, le=LONGEST, strict=True)] = 0
    reminders: Durations = []
    always_ask: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Approval:
        if self.stages is not None and (self.quorum is not None or self.roles is not None):
            raise ValueError("has both `stages` and the short form `quorum`/`roles`; write it all as stages")
        if odd := [name for name in self.allow or () if name not in PARTIES]:
            raise ValueError(
                f"`allow` lifts {odd[0]!r}, which is not excluded by itself; it takes {', '.join(PARTIES)}"
            )
        if both := [name for name in self.allow or () if name in self.excluded]:
            raise ValueError(f"both allows and excludes {both[0]!r}; leave one out")
        if self.on_expiry is not None and self.expires is None:
            raise ValueError(f"`on_expiry: {self.on_expiry}` never happens without `expires`; add for example 4h")
        if self.on_expiry == "escalate" and not self.escalation:
            raise ValueError("`on_expiry: escalate` has nobody to call; add `escalation`")
        if self.repeat and not self.escalation:
            raise ValueError("`repeat` has nothing to repeat; add `escalation`")
        return self

    def terms(self) -> ApprovalTerms:
        """The terms that it stands for."""
        stages = self.stages or [StageText(any=self.quorum or 1, roles=self.roles or [])]
        return ApprovalTerms(
            stages=tuple(Stage(any=stage.any, roles=frozenset(stage.roles)) for stage in stages),
            excluded=(frozenset(PARTIES) - frozenset(self.allow or ())) | frozenset(self.excluded),
            expires=self.expires,
            on_expiry=self.on_expiry or "reject",
            escalation=tuple(sorted(Escalation(after=step.after, to=step.to) for step in self.escalation)),
            repeat=self.repeat,
            reminders=tuple(sorted(set(self.reminders))),
            always_ask=self.always_ask,
        )
