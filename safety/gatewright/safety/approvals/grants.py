"""Grants: a person who approves lets like actions pass for a while, so that nobody is asked the same thing again.

A grant never reaches further than the person's own vote would: each use is checked as if they voted again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from gatewright.agents.errors import GatewrightError, UsageError
from gatewright.safety import canonical

from . import entitlement
from .ballots import Request, Vote

LONGEST = timedelta(days=366)  # what is let pass for longer is for a rule to say

Reach = Literal["run", "thread", "until"]
"""`run`: for the rest of the run that asked · `thread`: for its whole thread · `until`: until a time, on any thread."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What somebody wants to grant: how far it reaches, and the arguments that must be the same again.

    With `reach` `until`, the time is needed; with the others it may shorten them.
    """

    reach: Reach
    arguments: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Leave for one tool of one agent of one deployment, where exactly these rules ask and `args` are the same.

    `place` is the id of the run or thread that it reaches. `pack` is the digest of the rules in force when it was
    given; under other rules it is worth nothing. `vote` is the approval that it came from.
    """

    id: str
    reach: Reach
    place: str
    deployment: str
    agent: str
    kind: str
    name: str
    pack: str
    rules: frozenset[str]
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    vote: Vote
    request_id: str
    since: datetime
    until: datetime | None = None
    revoked: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is in force."""
        return (self.until is None or now < self.until) and (self.revoked is None or now < self.revoked)

    def covers(self, request: Request, *, run_id: str, thread_id: str, now: datetime) -> bool:
        """Whether it answers this request, so that nobody need be asked."""
        action, terms = request.action, request.terms
        return (
            self.holds(now)
            and request.kind == "approval"
            and not terms.always_ask
            and self.place == {"run": run_id, "thread": thread_id, "until": ""}[self.reach]
            and (self.deployment, self.agent, self.kind, self.name, self.pack)
            == (action.deployment, action.agent, action.kind, action.name, action.pack)
            and bool(request.rules)
            and request.rules <= self.rules
            and all(name in action.args and _same(value, action.args[name]) for name, value in self.args.items())
            and self._would_approve(request)
        )

    def _would_approve(self, request: Request) -> bool:
        if request.terms.quorum != 1:
            return False
        try:
            entitlement.check(dataclasses.replace(request, votes=()), self.vote)
        except GatewrightError:
            return False
        return True


def granted(
    id: str, request: Request, vote: Vote, offer: Offer, *, run_id: str, thread_id: str, now: datetime
) -> Grant:
    """The grant that comes with an approval.

    Raises:
        UsageError: this request takes no grants, the vote is no approval by the person alone, an argument that the
            action does not have, or a time that is missing, over or more than `LONGEST` away.
    """
    if request.terms.always_ask:
        raise UsageError(f"request {request.id!r} is asked under `always_ask`; approve it once")
    if request.kind != "approval" or not request.rules:
        raise UsageError(f"request {request.id!r} ({request.kind}) was not asked by rules; approve it once")
    if vote.verdict != "approve" or vote.break_glass or vote.on_behalf_of or request.terms.quorum != 1:
        raise UsageError(
            f"a grant comes with an approval by one person for themselves; request {request.id!r} needs "
            f"{request.terms.quorum}, and this is {'an emergency' if vote.break_glass else vote.verdict!r}"
            f"{f' on behalf of {vote.on_behalf_of!r}' if vote.on_behalf_of else ''}"
        )
    if unknown := sorted(set(offer.arguments) - request.action.args.keys()):
        raise UsageError(
            f"{request.action.name!r} has no argument {unknown[0]!r} here; it has {sorted(request.action.args)}"
        )
    if offer.reach == "until" and offer.until is None:
        raise UsageError("a grant that reaches all threads needs the time at which it ends; add one")
    if offer.until is not None and offer.until <= now:
        raise UsageError(f"a grant until {offer.until.isoformat()} is over before it begins; choose a later time")
    if offer.until is not None and offer.until - now > LONGEST:
        raise UsageError(
            f"a grant until {offer.until.isoformat()} is longer than {LONGEST.days} days; choose a time before"
        )
    action = request.action
    return Grant(
        id=id,
        reach=offer.reach,
        place={"run": run_id, "thread": thread_id, "until": ""}[offer.reach],
        deployment=action.deployment,
        agent=action.agent,
        kind=action.kind,
        name=action.name,
        pack=action.pack,
        rules=request.rules,
        args={name: action.args[name] for name in offer.arguments},
        vote=vote,
        request_id=request.id,
        since=now,
        until=offer.until,
    )


def _same(one: Any, other: Any) -> bool:
    return canonical.canonical(canonical.json_value(one)) == canonical.canonical(canonical.json_value(other))
