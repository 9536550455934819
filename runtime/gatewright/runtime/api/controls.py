"""Workers, deployments and waivers under `/v1`: see; pause and resume; waive and revoke."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, Field

from gatewright.runtime.controls.views import DeploymentView, ScopeView, WaiverView
from gatewright.runtime.operations import Host
from gatewright.runtime.workers.views import WorkerView

from .access import identity
from .answers import many, one
from .requests import Name, Signed

Reason = Annotated[str, Field(min_length=1, max_length=2000)]


class Pausing(Signed):
    """To stop a deployment."""

    reason: Reason


class Resuming(Signed):
    """To let a deployment go on."""


class NewWaiver(Signed):
    """To let a rule not count until `until`, within `scope`."""

    rule_id: Name
    scope: ScopeView
    until: AwareDatetime
    reason: Reason


class Revocation(Signed):
    """To end a waiver."""


def add(router: APIRouter, service: Host) -> None:
    """Add the resources to `router`."""
    _deployments(router, service)
    _waivers(router, service)

    @router.get("/workers", tags=["workers"], response_model=list[WorkerView])
    async def list_workers(every: Annotated[bool, Query()] = False) -> Response:
        """The processes that work on the database, the oldest first. With `every`, also those that have gone today."""
        return many(await service.workers(every=every))


def _deployments(router: APIRouter, service: Host) -> None:
    @router.get("/deployments", tags=["deployments"], response_model=list[DeploymentView])
    async def list_deployments() -> Response:
        return many(await service.deployments_state())

    @router.post("/deployments/{name}/pause", tags=["deployments"], response_model=DeploymentView)
    async def pause_deployment(name: str, body: Pausing, request: Request) -> Response:
        """No further effect is performed, and no run begins, until the deployment is resumed."""
        who = identity(request)
        who.operate("pausing a deployment")
        return one(await service.pause_deployment(name, by=who.sign(body.by), reason=body.reason))

    @router.post("/deployments/{name}/resume", tags=["deployments"], response_model=DeploymentView)
    async def resume_deployment(name: str, body: Resuming, request: Request) -> Response:
        who = identity(request)
        who.operate("resuming a deployment")
        return one(await service.resume_deployment(name, by=who.sign(body.by)))


def _waivers(router: APIRouter, service: Host) -> None:
    @router.get("/waivers", tags=["waivers"], response_model=list[WaiverView])
    async def list_waivers(every: Annotated[bool, Query()] = False) -> Response:
        """Newest first. With `every`, also those that are over."""
        return many(await service.waivers(every=every))

    @router.post("/waivers", tags=["waivers"], status_code=201, response_model=WaiverView)
    async def waive(body: NewWaiver, request: Request) -> Response:
        who = identity(request)
        who.operate("waiving a rule")
        by = who.sign(body.by)
        waiver = await service.waive(body.rule_id, scope=body.scope, until=body.until, by=by, reason=body.reason)
        return one(waiver, 201)

    @router.post("/waivers/{waiver_id}/revoke", tags=["waivers"], response_model=WaiverView)
    async def revoke_waiver(waiver_id: str, body: Revocation, request: Request) -> Response:
        who = identity(request)
        who.operate("revoking a waiver")
        return one(await service.revoke_waiver(waiver_id, by=who.sign(body.by)))
