"""What the API, the console and the command line do with approvals, delegations and grants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from gatewright.agents.errors import GatewrightError, UsageError
from gatewright.runtime import identifiers
from gatewright.runtime.clock import Clock, moment
from gatewright.runtime.engine import Engine
from gatewright.runtime.hub import Hub
from gatewright.runtime.reader import Reader
from gatewright.runtime.store.writer import Transaction, Writer, arrival
from gatewright.runtime.views import (
    ApprovalView,
    DecisionOutcome,
    DelegationView,
    Failure,
    GrantOffer,
    GrantView,
    Verb,
)
from gatewright.safety.approvals.ballots import Vote, Voter
from gatewright.safety.approvals.delegations import Scope, delegated
from gatewright.safety.approvals.grants import Offer

from . import delegations, grants, inbox, voting

T = TypeVar("T")


class Desk(Reader):
    """The part of the service where people decide."""

    _writer: Writer
    _clock: Clock
    _engine: Engine
    _hub: Hub

    async def approvals(
        self,
        *,
        state: str | None = "open",
        run_id: str | None = None,
        case_id: str | None = None,
        deployment: str | None = None,
        agent: str | None = None,
        role: str | None = None,
        voter: Voter | None = None,
        after: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ApprovalView]:
        """See `Operations.approvals`."""
        where = {"state": state, "run_id": run_id, "case_id": case_id, "deployment": deployment, "agent": agent}
        return await self._query(
            lambda connection: inbox.listed(
                connection, where=where, role=role, voter=voter, after=after, limit=limit, offset=offset
            )
        )

    async def approval(self, approval_id: str) -> ApprovalView:
        """A request to people.

        Raises:
            NotFoundError: there is none of that id.
        """
        return await self._query(lambda connection: inbox.one(connection, approval_id))

    async def decide(
        self,
        approval_id: str,
        verb: Verb,
        *,
        voter: Voter | None = None,
        by: str = "",
        reason: str = "",
        value: object = None,
        grant: GrantOffer | None = None,
        on_behalf_of: str = "",
        break_glass: bool = False,
        shown: str = "",
        vote_id: str = "",
    ) -> ApprovalView:
        """See `Operations.decide`.

        Raises:
            NotFoundError: there is no such request.
            ConflictError: it has been decided already, its time is over, or the person has voted on it before.
            UsageError: no reason for a rejection, a value that does not fit the form, a person who may not.
        """
        who = voter or Voter(name=by)
        now = self._clock.now()
        vote = Vote(
            by=who.name,
            verdict=verb,
            reason=reason,
            value=value,
            roles=who.roles,
            time=moment(now),
            authenticated=who.authenticated,
            program=who.program,
            via=who.via,
            shown=shown,
            on_behalf_of=on_behalf_of,
            break_glass=break_glass,
            id=vote_id,
        )
        offer = None if grant is None else _offer(grant)
        voted = await self._write(lambda tx: voting.decide(tx, approval_id, vote, offer=offer, now=now))
        self._engine.wake()
        view = await self.approval(approval_id)
        self._hub.publish(voted.run_id, "approval", {"id": approval_id, "state": view.state, "kind": view.kind})
        if voted.review is not None:
            told = {"id": voted.review.id, "state": "open", "kind": "review"}
            self._hub.publish(voted.run_id, "approval", told)
        return view

    async def decide_many(
        self,
        approval_ids: Sequence[str],
        verb: Verb,
        *,
        voter: Voter,
        reason: str = "",
        shown: Mapping[str, str] | None = None,
    ) -> list[DecisionOutcome]:
        """See `Operations.decide_many`.

        Raises:
            UsageError: a verb that needs a value of its own for each request.
        """
        if verb not in ("approve", "reject"):
            raise UsageError(f"several requests are approved or rejected together; {verb!r} each by itself")

        async def each(approval_id: str) -> DecisionOutcome:
            seen = (shown or {}).get(approval_id, "")
            try:
                view = await self.decide(approval_id, verb, voter=voter, reason=reason, shown=seen)
            except GatewrightError as error:
                return DecisionOutcome(id=approval_id, error=Failure(type=type(error).__name__, message=str(error)))
            return DecisionOutcome(id=approval_id, state=view.state)

        return await asyncio.gather(*(each(approval_id) for approval_id in dict.fromkeys(approval_ids)))

    async def delegations(self, *, person: str | None = None, every: bool = False) -> list[DelegationView]:
        """See `Operations.delegations`."""
        now = self._clock.now()
        return await self._query(lambda connection: delegations.views(connection, person=person, every=every, now=now))

    async def delegate(
        self,
        to: str,
        *,
        voter: Voter,
        until: datetime,
        roles: Sequence[str] | None = None,
        deployment: str = "",
        agent: str = "",
        name: str = "",
        reason: str = "",
    ) -> DelegationView:
        """See `Operations.delegate`.

        Raises:
            UsageError: nothing proves who the voter is, they do not hold the roles, or the time is over.
        """
        now = self._clock.now()
        given = delegated(
            identifiers.new("delegation"),
            voter,
            to,
            roles=roles,
            scope=Scope(deployment=deployment, agent=agent, name=name),
            now=moment(now),
            until=_zoned(until),
            reason=reason,
        )
        await self._write(lambda tx: delegations.add(tx, given, now=now))
        return await self._query(lambda connection: delegations.view(connection, given.id, now=now))

    async def revoke_delegation(self, delegation_id: str, *, voter: Voter, operates: bool = False) -> DelegationView:
        """See `Operations.revoke_delegation`.

        Raises:
            NotFoundError: there is no such delegation.
            ConflictError: it was revoked before.
            UsageError: somebody else gave it.
        """
        now = self._clock.now()
        await self._write(lambda tx: delegations.revoke(tx, delegation_id, voter, operates=operates, now=now))
        return await self._query(lambda connection: delegations.view(connection, delegation_id, now=now))

    async def grants(
        self, *, deployment: str | None = None, by: str | None = None, every: bool = False
    ) -> list[GrantView]:
        """See `Operations.grants`."""
        now = self._clock.now()
        return await self._query(
            lambda connection: grants.views(connection, deployment=deployment, by=by, every=every, now=now)
        )

    async def revoke_grant(self, grant_id: str, *, voter: Voter, operates: bool = False) -> GrantView:
        """See `Operations.revoke_grant`.

        Raises:
            NotFoundError: there is no such grant.
            ConflictError: it was revoked before.
            UsageError: somebody else gave it.
        """
        now = self._clock.now()
        await self._write(lambda tx: grants.revoke(tx, grant_id, voter, operates=operates, now=now))
        return await self._query(lambda connection: grants.view(connection, grant_id, now=now))

    async def _write(self, operation: Callable[[Transaction], T]) -> T:
        return await arrival(self._writer.submit(operation))


def _offer(grant: GrantOffer) -> Offer:
    until = None if grant.until is None else _zoned(grant.until)
    return Offer(reach=grant.reach, arguments=tuple(grant.arguments), until=until)


def _zoned(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise UsageError(f"{at.isoformat()} has no time zone; write for example {at.isoformat()}Z")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"{at.isoformat()} is beyond the years 1 to 9999 in UTC; choose another time") from error
