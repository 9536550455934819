"""Delegations: a person lets another vote in their place, for a while and for some requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gatewright.agents.errors import UsageError

from .ballots import Action, Voter
from .entitlement import NotEntitledError

LONGEST = timedelta(days=366)  # who leaves their vote for longer gives up the role


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which requests a delegation is for; an empty field takes any."""

    deployment: str = ""
    agent: str = ""
    name: str = ""

    def takes(self, action: Action) -> bool:
        """Whether a request about this action is among them."""
        return (
            self.deployment in ("", action.deployment)
            and self.agent in ("", action.agent)
            and self.name in ("", action.name)
        )


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """`by` lets `to` vote with `roles` on what `scope` takes, from `since` until before `until`, or until revoked."""

    id: str
    by: str
    to: str
    roles: frozenset[str]
    scope: Scope = Scope()
    since: datetime
    until: datetime
    reason: str = ""
    revoked: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is in force."""
        return self.since <= now < self.until and (self.revoked is None or now < self.revoked)


def delegated(
    id: str,
    voter: Voter,
    to: str,
    *,
    roles: Iterable[str] | None = None,
    scope: Scope,
    now: datetime,
    until: datetime,
    reason: str = "",
) -> Delegation:
    """A delegation that a person gives; of all their roles, or of some.

    Raises:
        NotEntitledError: nothing proves who they are, or they give roles that they do not hold.
        UsageError: they give to nobody or to themselves, for no time, or for more than `LONGEST`.
    """
    wanted = voter.roles if roles is None else frozenset(roles)
    if not voter.authenticated:
        raise NotEntitledError(
            f"nothing proves that this is {voter.name!r}; sign in to let somebody vote in your place"
        )
    if lacking := sorted(wanted - voter.roles):
        raise NotEntitledError(f"{voter.name!r} does not hold the role {lacking[0]!r} and cannot hand it over")
    if not to.strip() or to == voter.name:
        raise UsageError(f"{voter.name!r} delegates to {to!r}; name somebody else")
    if until <= now:
        raise UsageError(f"a delegation until {until.isoformat()} is over before it begins; choose a later time")
    if until - now > LONGEST:
        raise UsageError(
            f"a delegation until {until.isoformat()} is longer than {LONGEST.days} days; choose a time before"
        )
    return Delegation(id=id, by=voter.name, to=to, roles=wanted, scope=scope, since=now, until=until, reason=reason)


def standing_in(
    held: Iterable[Delegation], voter: Voter, on_behalf_of: str, action: Action, now: datetime
) -> Delegation:
    """The delegation by which a person votes in another's place.

    Raises:
        NotEntitledError: there is none in force for this action.
    """
    for delegation in held:
        parties = (delegation.by, delegation.to)
        if parties == (on_behalf_of, voter.name) and delegation.holds(now) and delegation.scope.takes(action):
            return delegation
    raise NotEntitledError(
        f"{voter.name!r} holds no delegation of {on_behalf_of!r} for {action.name!r} of {action.deployment!r}; "
        f"{on_behalf_of!r} can give one"
    )
