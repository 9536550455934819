"""Approvals for user interfaces that others wrote: as interrupted threads of a LangGraph server.

Agent Inbox and what else is built on LangGraph's SDK look for threads with status `interrupted`, show what they hold
in `interrupts`, and start a run with `command.resume` to answer. Here each request to people is such a thread, under
its own id: what somebody was shown is what they decide, also where an agent waits for several people at once.

There is one address for each shape: `/v1/interop/agent-inbox` and `/v1/interop/hitl` (langchain's middleware).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gatewright.agents.errors import ConflictError, UsageError
from gatewright.runtime.interop import exports, hitl, inbox
from gatewright.runtime.interop.reviews import Asked, Decided, is_list
from gatewright.runtime.operations import Host
from gatewright.runtime.views import ApprovalView

from . import bodies
from .access import identity
from .answers import MISTAKES, plain

Shape = Literal["agent-inbox", "hitl"]
Write = Callable[[Sequence[Asked]], Any]

_SHAPES: dict[Shape, Write] = {"agent-inbox": inbox.request, "hitl": hitl.request}


class Search(BaseModel):
    """What a client looks for. Clients send more than that, which says nothing about approvals."""

    status: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    limit: int = Field(default=10, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)


class Command(BaseModel):
    """How a client answers."""

    resume: Any = None


class NewRun(BaseModel):
    """A run that answers."""

    command: Command
    assistant_id: str = ""


def routes(service: Host) -> APIRouter:
    """The resources of `service`, in every shape."""
    router = APIRouter(prefix="/v1/interop", responses=MISTAKES, route_class=bodies.Route, tags=["interop"])
    for shape, write in _SHAPES.items():
        _threads(router, service, shape, write)
    return router


def _threads(router: APIRouter, service: Host, shape: Shape, write: Write) -> None:
    @router.post(f"/{shape}/threads/search")
    async def search_threads(body: Search) -> Response:
        """Requests to people: open ones for status `interrupted`, all where there is no status."""
        if body.status not in (None, "interrupted") or "assistant_id" in body.metadata:
            return plain([])
        found = await service.approvals(
            state=None if body.status is None else "open",
            deployment=body.metadata.get("graph_id"),
            limit=body.limit,
            offset=body.offset,
        )
        return plain([_thread(view, write) for view in found])

    @router.get(f"/{shape}/threads/{{approval_id}}")
    async def show_thread(approval_id: str) -> Response:
        return plain(_thread(await service.approval(approval_id), write))

    @router.get(f"/{shape}/threads/{{approval_id}}/state")
    async def show_thread_state(approval_id: str) -> Response:
        return plain(_state(await service.approval(approval_id), write))

    @router.post(f"/{shape}/threads/{{approval_id}}/runs")
    async def answer(approval_id: str, body: NewRun, request: Request) -> Response:
        return plain(_run(await _decide(service, shape, approval_id, body, request), body))

    @router.post(f"/{shape}/threads/{{approval_id}}/runs/stream", response_class=Response)
    async def answer_and_stream(approval_id: str, body: NewRun, request: Request) -> Response:
        """The run that goes on is watched elsewhere; this stream says that the answer was taken, and ends."""
        run = _run(await _decide(service, shape, approval_id, body, request), body)
        told = json.dumps({"run_id": run["run_id"], "attempt": 1})
        return Response(f"event: metadata\ndata: {told}\n\n", media_type="text/event-stream")


async def _decide(service: Host, shape: Shape, approval_id: str, body: NewRun, request: Request) -> ApprovalView:
    view = await service.approval(approval_id)
    if view.state != "open":
        raise ConflictError(f"request {view.id!r} is {view.state} already; a decision is made once")
    wish = exports.wish(view, _decided(view, body.command.resume))
    who = identity(request)
    voter = who.voter(None if who.authenticated else shape, via=shape)
    return await service.decide(approval_id, wish.verb, voter=voter, reason=wish.reason, value=wish.value)


def _decided(view: ApprovalView, resume: Any) -> list[Decided]:
    """What an answer decides, in whichever of the shapes it comes."""
    asked = exports.asked(view)
    if is_list(resume):
        return inbox.decisions(asked, resume)
    if isinstance(resume, dict):
        return hitl.decisions(asked, resume)
    raise UsageError("command.resume is a list of responses (Agent Inbox) or an object with decisions (langchain)")


def _thread(view: ApprovalView, write: Write) -> dict[str, Any]:
    waits = view.state == "open"
    return {
        "thread_id": view.id,
        "created_at": view.created_at,
        "updated_at": view.decided_at or view.created_at,
        "metadata": _metadata(view),
        "status": "interrupted" if waits else "idle",
        "values": {},
        "interrupts": {view.id: [_interrupt(view, write)]} if waits else {},
    }


def _state(view: ApprovalView, write: Write) -> dict[str, Any]:
    interrupts = [_interrupt(view, write)] if view.state == "open" else []
    task = {
        "id": view.id,
        "name": view.agent,
        "error": None,
        "interrupts": interrupts,
        "checkpoint": None,
        "state": None,
    }
    return {
        "values": {},
        "next": [view.agent] if interrupts else [],
        "checkpoint": {"thread_id": view.id, "checkpoint_ns": "", "checkpoint_id": view.digest, "checkpoint_map": None},
        "metadata": _metadata(view),
        "created_at": view.created_at,
        "parent_checkpoint": None,
        "tasks": [task],
        "interrupts": interrupts,
    }


def _metadata(view: ApprovalView) -> dict[str, Any]:
    return {
        "graph_id": view.deployment,
        "agent": view.agent,
        "run_id": view.run_id,
        "thread_id": view.thread_id,
        "case_id": view.case_id,
        "state": view.state,
    }


def _interrupt(view: ApprovalView, write: Write) -> dict[str, Any]:
    return {"id": view.id, "value": write(exports.asked(view))}


def _run(view: ApprovalView, body: NewRun) -> dict[str, Any]:
    return {
        "run_id": view.run_id,
        "thread_id": view.id,
        "assistant_id": body.assistant_id or view.deployment,
        "created_at": view.created_at,
        "updated_at": view.decided_at or view.created_at,
        "status": "pending",
        "metadata": _metadata(view),
        "multitask_strategy": "reject",
    }
