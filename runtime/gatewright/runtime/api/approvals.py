"""The resources of what people decide: approvals, delegations, grants."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response

from gatewright.runtime.operations import Host
from gatewright.runtime.views import (
    ApprovalState,
    ApprovalView,
    DecisionOutcome,
    DelegationView,
    GrantView,
    Verb,
)

from . import requests
from .access import identity
from .answers import Limit, Offset, many, one

VIA = "api"


def add(router: APIRouter, service: Host) -> None:
    """Put them into the router."""
    _listed(router, service)
    _decided(router, service)
    _delegations(router, service)
    _grants(router, service)


def _listed(router: APIRouter, service: Host) -> None:
    @router.get("/approvals", tags=["approvals"], response_model=list[ApprovalView])
    async def list_approvals(
        request: Request,
        state: ApprovalState | Literal["any"] = "open",
        run_id: str | None = None,
        case_id: str | None = None,
        deployment: str | None = None,
        agent: str | None = None,
        role: str | None = None,
        mine: bool = False,
        after: str | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        """Oldest first; `state=any` gives those that are decided, too. `role`: open ones that somebody with it may
        decide now. `mine`: open ones that whoever asks may decide now. `after`: the last id of the page before."""
        found = await service.approvals(
            state=None if state == "any" else state,
            run_id=run_id,
            case_id=case_id,
            deployment=deployment,
            agent=agent,
            role=role,
            voter=identity(request).voter(None, via=VIA) if mine else None,
            after=after,
            limit=limit,
            offset=offset,
        )
        return many(found)

    @router.get("/approvals/{approval_id}", tags=["approvals"], response_model=ApprovalView)
    async def show_approval(approval_id: str) -> Response:
        return one(await service.approval(approval_id))


def _decided(router: APIRouter, service: Host) -> None:
    @router.post("/approvals/decide", tags=["approvals"], response_model=list[DecisionOutcome])
    async def decide_many(body: requests.Batch, request: Request) -> Response:
        """Each is decided for itself: one that fails undoes no other, and says why."""
        voter = identity(request).voter(body.by, via=VIA)
        return many(await service.decide_many(body.ids, body.verb, voter=voter, reason=body.reason, shown=body.shown))

    async def decide(
        approval_id: str, verb: Verb, body: requests.Decision | requests.Rejection, request: Request
    ) -> Response:
        view = await service.decide(
            approval_id,
            verb,
            voter=identity(request).voter(body.by, via=VIA),
            reason=body.reason,
            value=body.value,
            grant=body.grant,
            on_behalf_of=body.on_behalf_of,
            break_glass=body.break_glass,
            shown=body.shown,
            vote_id=body.vote_id,
        )
        return one(view)

    @router.post("/approvals/{approval_id}/approve", tags=["approvals"], response_model=ApprovalView)
    async def approve(approval_id: str, body: requests.Decision, request: Request) -> Response:
        return await decide(approval_id, "approve", body, request)

    @router.post("/approvals/{approval_id}/reject", tags=["approvals"], response_model=ApprovalView)
    async def reject(approval_id: str, body: requests.Rejection, request: Request) -> Response:
        return await decide(approval_id, "reject", body, request)

    @router.post("/approvals/{approval_id}/edit", tags=["approvals"], response_model=ApprovalView)
    async def edit(approval_id: str, body: requests.Decision, request: Request) -> Response:
        return await decide(approval_id, "edit", body, request)

    @router.post("/approvals/{approval_id}/answer", tags=["approvals"], response_model=ApprovalView)
    async def answer(approval_id: str, body: requests.Decision, request: Request) -> Response:
        return await decide(approval_id, "answer", body, request)


def _delegations(router: APIRouter, service: Host) -> None:
    @router.get("/delegations", tags=["approvals"], response_model=list[DelegationView])
    async def list_delegations(person: str | None = None, every: bool = False) -> Response:
        """Newest first; `person`: given by or to somebody. `every`: also those that are over."""
        return many(await service.delegations(person=person, every=every))

    @router.post("/delegations", tags=["approvals"], status_code=201, response_model=DelegationView)
    async def delegate(body: requests.NewDelegation, request: Request) -> Response:
        """Let somebody vote in one's place; whoever does must have signed in."""
        view = await service.delegate(
            body.to,
            voter=identity(request).voter(body.by, via=VIA),
            until=body.until,
            roles=body.roles,
            deployment=body.deployment,
            agent=body.agent,
            name=body.name,
            reason=body.reason,
        )
        return one(view, 201)

    @router.post("/delegations/{delegation_id}/revoke", tags=["approvals"], response_model=DelegationView)
    async def revoke_delegation(delegation_id: str, body: requests.Revocation, request: Request) -> Response:
        """One's own; operators end those of others, too."""
        who = identity(request)
        voter = who.voter(body.by, via=VIA)
        return one(await service.revoke_delegation(delegation_id, voter=voter, operates=who.operates))


def _grants(router: APIRouter, service: Host) -> None:
    @router.get("/grants", tags=["approvals"], response_model=list[GrantView])
    async def list_grants(deployment: str | None = None, by: str | None = None, every: bool = False) -> Response:
        """Newest first; `by`: given by somebody. `every`: also those that are over."""
        return many(await service.grants(deployment=deployment, by=by, every=every))

    @router.post("/grants/{grant_id}/revoke", tags=["approvals"], response_model=GrantView)
    async def revoke_grant(grant_id: str, body: requests.Revocation, request: Request) -> Response:
        """One's own; operators end those of others, too."""
        who = identity(request)
        voter = who.voter(body.by, via=VIA)
        return one(await service.revoke_grant(grant_id, voter=voter, operates=who.operates))
