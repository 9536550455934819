"""The resources under `/v1`: threads, runs, approvals, records, ledger, conversations.

Handlers give finished bytes: FastAPI takes `response_model` for the OpenAPI document only, and the view, which is
valid already, is not validated and converted a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi import Path as PathParameter

from gatewright.agents import Conversation
from gatewright.runtime.operations import Host
from gatewright.runtime.search import Found, Search
from gatewright.runtime.views import (
    IdentityView,
    LedgerView,
    Overview,
    RecordView,
    RunStatus,
    RunView,
    ThreadView,
)
from gatewright.safety.ledger import records

from . import approvals, bodies, controls, requests, streams
from .access import identity
from .answers import LARGEST, MISTAKES, Limit, Offset, many, one, plain

Index = Annotated[int, PathParameter(ge=0, le=LARGEST)]


def routes(service: Host, closing: asyncio.Event) -> APIRouter:
    """All resources of `service`; streams and waits end when `closing` is set."""
    router = APIRouter(prefix="/v1", responses=MISTAKES, route_class=bodies.Route)
    _identity(router)
    _threads(router, service)
    _runs(router, service, closing)
    approvals.add(router, service)
    controls.add(router, service)
    _records(router, service)
    _conversations(router, service)
    return router


def _identity(router: APIRouter) -> None:
    @router.get("/whoami", tags=["people"], response_model=IdentityView)
    async def show_identity(request: Request) -> Response:
        """Whose token this is."""
        return one(identity(request).view())


def _choose_world(request: Request, settings: Mapping[str, Any] | None) -> None:
    """Settings of a thread's world may name files of the service's machine, so operators alone choose them."""
    if settings and "world" in settings:
        identity(request).operate("the setting `world`, which names what the service reads,")


def _threads(router: APIRouter, service: Host) -> None:
    @router.post("/threads", tags=["threads"], status_code=201, response_model=ThreadView)
    async def create_thread(body: requests.NewThread, request: Request) -> Response:
        _choose_world(request, body.settings)
        thread = await service.create_thread(
            body.deployment, thread_id=body.thread_id, metadata=body.metadata, settings=body.settings
        )
        return one(thread, 201, {"location": f"/v1/threads/{thread.id}"})

    @router.get("/threads", tags=["threads"], response_model=list[ThreadView])
    async def list_threads(deployment: str | None = None, limit: Limit = 50, offset: Offset = 0) -> Response:
        return many(await service.threads(deployment=deployment, limit=limit, offset=offset))

    # The thread of an agent that was asked is CASE/AGENT, so these take paths, and the longer one comes first.
    @router.get("/threads/{thread_id:path}/state", tags=["threads"], response_model=dict[str, Any])
    async def show_thread_state(thread_id: str) -> Response:
        return plain(await service.thread_state(thread_id))

    @router.post("/threads/{thread_id:path}/close", tags=["threads"], response_model=ThreadView)
    async def close_thread(thread_id: str, body: requests.Closing, request: Request) -> Response:
        who = identity(request)
        who.operate("closing a thread")
        return one(await service.close_thread(thread_id, by=who.sign(body.by)))

    @router.get("/threads/{thread_id:path}", tags=["threads"], response_model=ThreadView)
    async def show_thread(thread_id: str) -> Response:
        return one(await service.thread(thread_id))


async def _start(service: Host, body: requests.NewRun, request: Request) -> RunView:
    _choose_world(request, body.settings)
    if body.thread_id is not None and body.multitask in ("interrupt", "rollback"):  # what others wait for would end
        identity(request).operate(f"ending a run with multitask={body.multitask}")
    return await service.start_run(
        body.deployment,
        body.input,
        thread_id=body.thread_id,
        run_id=body.run_id,
        settings=body.settings,
        multitask=body.multitask,
        metadata=body.metadata,
        requester=identity(request).requester,
    )


def _place(run: RunView) -> dict[str, str]:
    return {"location": f"/v1/runs/{run.id}"}


def _runs(router: APIRouter, service: Host, closing: asyncio.Event) -> None:
    @router.post("/runs", tags=["runs"], status_code=202, response_model=RunView)
    async def start_run(body: requests.NewRun, request: Request) -> Response:
        run = await _start(service, body, request)
        return one(run, 202, _place(run))

    @router.post(
        "/runs/wait",
        tags=["runs"],
        response_model=RunView,
        responses={202: {"model": RunView, "description": "Accepted, and not at its end when the time was over"}},
    )
    async def start_run_and_wait(body: requests.NewRunToWaitFor, request: Request) -> Response:
        run = await _start(service, body, request)
        return await _wait(service, run.id, body.timeout, closing)

    @router.post(
        "/runs/stream",
        tags=["runs"],
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}, "description": "The run's events"}},
    )
    async def start_run_and_stream(body: requests.NewRun, request: Request) -> Any:
        run = await _start(service, body, request)
        return streams.respond(service.events(run.id), closing, _place(run))

    @router.get("/runs", tags=["runs"], response_model=list[RunView])
    async def list_runs(
        status: RunStatus | None = None,
        deployment: str | None = None,
        thread_id: str | None = None,
        case_id: str | None = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> Response:
        return many(
            await service.runs(
                status=status, deployment=deployment, thread_id=thread_id, case_id=case_id, limit=limit, offset=offset
            )
        )

    @router.get("/runs/{run_id}", tags=["runs"], response_model=RunView)
    async def show_run(run_id: str) -> Response:
        return one(await service.run(run_id))

    @router.get(
        "/runs/{run_id}/wait",
        tags=["runs"],
        response_model=RunView,
        responses={202: {"model": RunView, "description": "Not at its end when the time was over"}},
    )
    async def wait_for_run(run_id: str, timeout: Annotated[float | None, Query(ge=0)] = None) -> Response:
        return await _wait(service, run_id, timeout, closing)

    @router.post("/runs/{run_id}/cancel", tags=["runs"], response_model=RunView)
    async def cancel_run(run_id: str, body: requests.Cancellation, request: Request) -> Response:
        who = identity(request)
        who.operate("cancelling a run")
        return one(await service.cancel(run_id, reason=body.reason, by=who.sign(body.by)))

    @router.post("/runs/{run_id}/resume", tags=["runs"], response_model=RunView)
    async def resume_run(run_id: str, body: requests.Resumption, request: Request) -> Response:
        who = identity(request)
        who.operate("resuming a run")
        return one(await service.resume(run_id, by=who.sign(body.by)))

    @router.get(
        "/runs/{run_id}/events",
        tags=["runs"],
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}, "description": "The run's events"}},
    )
    async def stream_run(run_id: str, last_event_id: Annotated[str | None, Header()] = None) -> Any:
        after = streams.last_event_id(last_event_id)
        await service.run(run_id)  # an unknown run is a 404, which a stream that has begun cannot say
        return streams.respond(service.events(run_id, after=after), closing)


async def _wait(service: Host, run_id: str, timeout: float | None, closing: asyncio.Event) -> Response:
    """The run at its end, or as it is when the time is over or the server has waited its drain time to close."""
    try:
        if timeout is None and not closing.is_set():
            waiting = asyncio.ensure_future(service.wait(run_id))
            if not waiting.done():
                stop = asyncio.ensure_future(_closed(closing, service.config.worker.drain))
                await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
            if waiting.done():
                return one(waiting.result())
            waiting.cancel()
        else:
            return one(await service.wait(run_id, timeout=timeout or 0))
    except TimeoutError:
        pass
    return one(await service.run(run_id), 202, {"location": f"/v1/runs/{run_id}"})


async def _closed(closing: asyncio.Event, drain: float) -> None:
    await closing.wait()
    await asyncio.sleep(drain)


def _records(router: APIRouter, service: Host) -> None:
    @router.get("/records", tags=["ledger"], response_model=list[RecordView])
    async def list_records(
        run_id: str | None = None,
        case_id: str | None = None,
        kind: records.Kind | None = None,
        after: Annotated[int, Query(ge=-1, le=LARGEST)] = -1,
        limit: Limit = 100,
    ) -> Response:
        """In log order, from the one that follows index `after`."""
        return many(await service.records(run_id=run_id, case_id=case_id, kind=kind, after=after, limit=limit))

    @router.get("/records/{index}", tags=["ledger"], response_model=RecordView)
    async def show_record(index: Index) -> Response:
        return one(await service.record(index))

    @router.post("/records/{index}/explanations", tags=["ledger"], status_code=201, response_model=dict[str, Any])
    async def note_explanation(index: Index, body: requests.Explanation, request: Request) -> Response:
        """Record why a decision came out as it did, as it was computed; its numbers are sealed."""
        by = identity(request).sign(body.by)
        await service.note_explanation(index, body.explanation, by=by)
        return Response(b"{}", 201, media_type="application/json")

    @router.get("/search", tags=["ledger"], response_model=Found)
    async def find_records(asked: Annotated[requests.Asked, Query()]) -> Response:
        """Newest first; `before` of the answer asks for the next page."""
        wanted = Search.model_validate(asked.model_dump(exclude={"before", "limit"}))
        return one(await service.search(wanted, before=asked.before, limit=asked.limit))

    @router.get("/ledger", tags=["ledger"], response_model=LedgerView)
    async def show_ledger() -> Response:
        return one(await service.ledger())

    @router.get("/ledger/proof/{index}", tags=["ledger"], response_model=dict[str, Any])
    async def prove_inclusion(
        index: Index, at: Annotated[int | None, Query(ge=1, le=LARGEST)] = None, opened: bool = False
    ) -> Response:
        """`at`: the size of the log that the path leads to · `opened`: with salts and bytes of sealed values."""
        return plain(await service.inclusion_proof(index, at=at, opened=opened))

    @router.get("/overview", tags=["ledger"], response_model=Overview)
    async def show_overview() -> Response:
        return one(await service.overview())


def _conversations(router: APIRouter, service: Host) -> None:
    @router.get("/conversations", tags=["conversations"], response_model=list[Conversation])
    async def list_conversations(deployment: str) -> Response:
        """The small set that comes with the deployment's world. Files are read by those who have them."""
        return many(await service.conversations(deployment, None))

    @router.post("/conversations/score", tags=["conversations"], response_model=requests.Score)
    async def score_conversation(body: requests.Held, request: Request) -> Response:
        _choose_world(request, body.conversation.settings)
        score = await service.score(body.deployment, body.conversation, body.case_id, body.replies)
        return one(requests.Score(score=score))
