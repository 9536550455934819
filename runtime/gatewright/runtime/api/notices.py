"""The messages about approvals and the like: which wait, which were given up, and sending these anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gatewright.runtime.notices.views import NoticeView, State
from gatewright.runtime.operations import Host

from . import bodies
from .access import identity
from .answers import MISTAKES, Limit, Offset, many


def routes(service: Host) -> APIRouter:
    """The resource of `service`."""
    router = APIRouter(prefix="/v1", responses=MISTAKES, route_class=bodies.Route, tags=["notices"])

    @router.get("/notices", response_model=list[NoticeView])
    async def list_notices(
        state: Annotated[State | None, Query(description="all where not given")] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        """Newest first."""
        return many(await service.notices(state=state, limit=limit, offset=offset))

    @router.post("/notices/{notice_id}/retry", status_code=204)
    async def retry_notice(notice_id: str, request: Request) -> Response:
        """Send a message that was given up anew, under its id."""
        identity(request).operate("sending a message anew")
        await service.retry_notice(notice_id)
        return Response(status_code=204)

    return router
