"""The pages that show runs and records, and what waits among them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.staticfiles import StaticFiles

from gatewright.agents.errors import UsageError
from gatewright.runtime.api.sessions import Sessions
from gatewright.runtime.operations import Host
from gatewright.runtime.people import Roster
from gatewright.runtime.views import FINAL

from . import frame, signing, timeline
from .decisions import Decisions
from .queue import Queue
from .standing import Standing

PAGE = 50
GLANCE = 20  # of each kind on the first page
ACTIVE = ("running", "queued", "waiting")
STATUSES = ("queued", "running", "waiting", "succeeded", "failed", "cancelled")


def mount(app: FastAPI, service: Host, roster: Roster, sessions: Sessions) -> None:
    """Put the console's pages into `app`. They are no part of its OpenAPI document."""
    app.mount("/static", StaticFiles(directory=frame.HERE / "static"), "static")
    router = APIRouter(include_in_schema=False)
    queue = Queue(service)
    _Pages(service, queue).add(router)
    queue.add(router)
    Decisions(service).add(router)
    Standing(service).add(router)
    signing.add(router, roster, sessions)
    app.include_router(router)


class _Pages:
    def __init__(self, service: Host, queue: Queue) -> None:
        self._service = service
        self._queue = queue

    def add(self, router: APIRouter) -> None:
        for path, handler in (
            ("/", self.home),
            ("/runs", self.runs),
            ("/runs/{run_id}", self.run),
            ("/records", self.records),
            ("/records/{index}", self.record),
        ):
            frame.add(router, "GET", path, handler)

    async def home(self, request: Request) -> Response:
        overview = await self._service.overview()
        active = [run for name in ACTIVE for run in await self._service.runs(status=name, limit=GLANCE)]
        ended = [run for name in sorted(FINAL) for run in await self._service.runs(status=name, limit=GLANCE)]
        ended.sort(key=lambda run: run.created_at, reverse=True)
        return frame.page(
            "home.html",
            request,
            overview=overview,
            statuses=STATUSES,
            cards=await self._queue.waiting(request, back="/", limit=GLANCE),
            active=active,
            finished=ended[:GLANCE],
        )

    async def runs(self, request: Request) -> Response:
        asked = request.query_params
        status, case_id, offset = asked.get("status", ""), asked.get("case_id", ""), frame.number(asked, "offset", 0)
        if status and status not in STATUSES:
            raise UsageError(f"there is no status {status!r}; there are {', '.join(STATUSES)}")
        found = await self._service.runs(status=status or None, case_id=case_id or None, limit=PAGE + 1, offset=offset)
        kept = {"status": status, "case_id": case_id}
        return frame.page(
            "runs.html",
            request,
            runs=found[:PAGE],
            status=status,
            case_id=case_id,
            statuses=STATUSES,
            offset=offset,
            older=urlencode({**kept, "offset": offset + PAGE}) if len(found) > PAGE else "",
            newer=urlencode({**kept, "offset": max(offset - PAGE, 0)}),
        )

    async def run(self, request: Request) -> Response:
        run = await self._service.run(request.path_params["run_id"])
        records = await self._service.records(run_id=run.id, limit=201)
        return frame.page(
            "run.html",
            request,
            run=run,
            final=run.status in FINAL,
            cards=await self._queue.waiting(request, back=f"/runs/{quote(run.id)}", limit=GLANCE, run_id=run.id),
            waits_for=[name.removeprefix("run:") for name in run.waiting_for if name.startswith("run:")],
            pauses=[view.paused for view in await self._service.deployments_state() if view.name == run.deployment],
            rows=timeline.rows(records[:200]),
            more=len(records) > 200,
        )

    async def records(self, request: Request) -> Response:
        asked = request.query_params
        after = frame.number(asked, "after", -1)
        run_id = asked.get("run_id") or None
        found = await self._service.records(run_id=run_id, after=after, limit=PAGE + 1)
        rows = timeline.rows(found[:PAGE])
        later = urlencode({"run_id": run_id or "", "after": rows[-1].index}) if len(found) > PAGE else ""
        return frame.page("records.html", request, rows=rows, older=later)

    async def record(self, request: Request) -> Response:
        record = await self._service.record(frame.number(request.path_params, "index", 0))
        return frame.page("record.html", request, record=record, row=timeline.rows([record])[0])
