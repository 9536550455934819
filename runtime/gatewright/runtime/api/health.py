"""Whether the process lives and whether it should be given work: cheap, and open to probes without a token."""

from __future__ import annotations

from fastapi import APIRouter, Response

from gatewright.agents.errors import GatewrightError
from gatewright.runtime.operations import Host

from .errors import ErrorBody, answer


def routes(service: Host, instance: str) -> APIRouter:
    """`instance` tells this process from another one that listens on the same port later."""
    router = APIRouter(tags=["health"])

    @router.get("/livez")
    async def livez() -> Response:
        """The event loop answers."""
        return Response("ok\n", media_type="text/plain", headers={"x-gatewright-instance": instance})

    @router.get("/readyz", responses={503: {"model": ErrorBody}})
    async def readyz() -> Response:
        """Database and disk take writes, and the service is not about to stop."""
        if service.draining:
            return answer(503, "UnavailableError", "the service is draining: it finishes what it has and stops")
        try:
            await service.check()
        except GatewrightError as error:
            return answer(503, type(error).__name__, str(error))
        return Response("ready\n", media_type="text/plain")

    return router
