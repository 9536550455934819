"""The message bus: its topics, how far groups are behind, and what they could not handle."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from gatewright.runtime.bus.views import DeadLetterView, LagView, LetterState, TopicView
from gatewright.runtime.operations import Host

from . import bodies
from .access import identity
from .answers import MISTAKES, Limit, Offset, many

Wanted = Literal["dead", "redriving", "redriven", "any"]


class TopicBody(BaseModel):
    """A topic to be created."""

    model_config = ConfigDict(extra="forbid")

    name: str


def routes(service: Host) -> APIRouter:
    """The resources of `service`."""
    router = APIRouter(prefix="/v1/bus", responses=MISTAKES, route_class=bodies.Route, tags=["bus"])

    @router.get("/topics", response_model=list[TopicView])
    async def list_topics() -> Response:
        """By name."""
        return many(await service.topics())

    @router.post("/topics", status_code=201)
    async def create_topic(body: TopicBody, request: Request) -> TopicView:
        """With the partitions that are configured for it; nothing changes where it exists."""
        identity(request).operate("creating a topic")
        return await service.create_topic(body.name)

    @router.get("/lag", response_model=list[LagView])
    async def lag() -> Response:
        """By topic and group."""
        return many(await service.lag())

    @router.delete("/topics/{topic}/groups/{group}", status_code=204)
    async def forget_group(topic: str, group: str, request: Request) -> Response:
        """Let nothing wait for a group that will not come back."""
        identity(request).operate("forgetting a group")
        await service.forget_group(topic, group)
        return Response(status_code=204)

    @router.get("/dead-letters", response_model=list[DeadLetterView])
    async def list_dead_letters(
        topic: str | None = None,
        group: str | None = None,
        state: Annotated[Wanted, Query(description="`dead` where not given")] = "dead",
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        """Newest first."""
        wanted: LetterState | None = None if state == "any" else state
        return many(await service.dead_letters(topic=topic, group=group, state=wanted, limit=limit, offset=offset))

    @router.get("/dead-letters/{letter_id}")
    async def get_dead_letter(letter_id: str) -> DeadLetterView:
        """One of them, whatever has become of it."""
        return await service.dead_letter(letter_id)

    @router.post("/dead-letters/{letter_id}/redrive", status_code=204)
    async def redrive(letter_id: str, request: Request) -> Response:
        """Give a dead letter to its group again."""
        identity(request).operate("redriving a dead letter")
        await service.redrive(letter_id)
        return Response(status_code=204)

    return router
