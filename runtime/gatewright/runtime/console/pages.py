"""The pages and what their forms do. Every change is a plain POST that ends in a redirect (303)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import jinja2
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from gatewright.agents.errors import ConflictError, GatewrightError, NotFoundError, UsageError
from gatewright.runtime.api import access
from gatewright.runtime.api.errors import status_of
from gatewright.runtime.operations import Host
from gatewright.runtime.views import FINAL

from . import cards, timeline

HERE = Path(__file__).parent
NAME_COOKIE = "gatewright_name"
PAGE = 50
LARGEST = 2**63 - 1  # what the database can count to
GLANCE = 20  # of each kind on the first page
ACTIVE = ("running", "queued", "waiting")
STATUSES = ("queued", "running", "waiting", "succeeded", "failed", "cancelled")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def mount(app: FastAPI, service: Host) -> None:
    """Put the console's pages into `app`. They are no part of its OpenAPI document."""
    app.mount("/static", StaticFiles(directory=HERE / "static"), "static")
    app.include_router(_Pages(service).router())


class _Pages:
    def __init__(self, service: Host) -> None:
        self._service = service
        self._token = service.config.server.token

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        pages = {
            "/": self.home,
            "/runs": self.runs,
            "/runs/{run_id}": self.run,
            "/approvals": self.approvals,
            "/approvals/{approval_id}": self.approval,
            "/records": self.records,
            "/records/{index}": self.record,
            "/sign-in": self.sign_in_form,
        }
        for path, handler in pages.items():
            router.add_api_route(path, self._told(handler), methods=["GET"], response_class=Response)
        router.add_api_route("/approvals/{approval_id}", self._told(self.decide), methods=["POST"])
        router.add_api_route("/sign-in", self._told(self.sign_in), methods=["POST"])
        router.add_api_route("/sign-out", self._told(self.sign_out), methods=["POST"])
        return router

    def _told(self, handler: Any) -> Any:
        """The handler, with its errors as a page."""

        async def page(request: Request) -> Response:
            try:
                response: Response = await handler(request)
            except GatewrightError as error:
                heading = "Not here" if isinstance(error, NotFoundError) else "That did not work"
                response = self._page(
                    "error.html",
                    request,
                    status_of(error),
                    type=type(error).__name__,
                    heading=heading,
                    message=str(error),
                )
            return response

        return page

    def _page(self, template: str, request: Request, code: int = 200, **values: Any) -> Response:
        signed_in = bool(self._token) and access.COOKIE in request.cookies
        text = _TEMPLATES.get_template(template).render(signed_in=signed_in, **values)
        return Response(text, code, HEADERS, media_type="text/html")

    async def home(self, request: Request) -> Response:
        overview = await self._service.overview()
        active = [run for name in ACTIVE for run in await self._service.runs(status=name, limit=GLANCE)]
        ended = [run for name in sorted(FINAL) for run in await self._service.runs(status=name, limit=GLANCE)]
        ended.sort(key=lambda run: run.created_at, reverse=True)
        return self._page(
            "home.html",
            request,
            overview=overview,
            statuses=STATUSES,
            cards=await self._cards(request, back="/", limit=GLANCE),
            active=active,
            finished=ended[:GLANCE],
        )

    async def _cards(
        self, request: Request, *, back: str, limit: int, offset: int = 0, run_id: str | None = None
    ) -> list[cards.Card]:
        found = await self._service.approvals(run_id=run_id, limit=limit, offset=offset)
        return [cards.card(approval, by=_name(request), back=back) for approval in found]

    async def runs(self, request: Request) -> Response:
        asked = request.query_params
        status, case_id, offset = asked.get("status", ""), asked.get("case_id", ""), _number(asked, "offset", 0)
        if status and status not in STATUSES:
            raise UsageError(f"there is no status {status!r}; there are {', '.join(STATUSES)}")
        found = await self._service.runs(status=status or None, case_id=case_id or None, limit=PAGE + 1, offset=offset)
        kept = {"status": status, "case_id": case_id}
        return self._page(
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
        return self._page(
            "run.html",
            request,
            run=run,
            final=run.status in FINAL,
            cards=await self._cards(request, back=f"/runs/{quote(run.id)}", limit=20, run_id=run.id),
            waits_for=[name.removeprefix("run:") for name in run.waiting_for if name.startswith("run:")],
            rows=timeline.rows(records[:200]),
            more=len(records) > 200,
        )

    async def approvals(self, request: Request) -> Response:
        offset = _number(request.query_params, "offset", 0)
        here = f"/approvals?offset={offset}" if offset else "/approvals"
        found = await self._cards(request, back=here, limit=PAGE + 1, offset=offset)
        return self._page(
            "approvals.html",
            request,
            here=here,
            cards=found[:PAGE],
            offset=offset,
            older=urlencode({"offset": max(offset - PAGE, 0)}),
            newer=urlencode({"offset": offset + PAGE}) if len(found) > PAGE else "",
        )

    async def approval(self, request: Request) -> Response:
        approval = await self._service.approval(request.path_params["approval_id"])
        card = cards.card(approval, by=_name(request), back=f"/approvals/{quote(approval.id)}")
        return self._page("approval.html", request, card=card)

    async def decide(self, request: Request) -> Response:
        approval = await self._service.approval(request.path_params["approval_id"])
        async with request.form() as form:
            sent = {name: value for name, value in form.items() if isinstance(value, str)}
        back = _inside(sent.get("back", "/"))
        wish = cards.read(approval, sent)
        card = cards.card(approval, by=_name(request), back=back)
        if wish.errors:
            return self._page("approval.html", request, 422, card=cards.again(card, wish, sent))
        try:
            await self._service.decide(approval.id, wish.verb, by=wish.by, reason=wish.reason, value=wish.value)
        except (ConflictError, UsageError) as error:
            now = cards.card(await self._service.approval(approval.id), by=wish.by, back=back)
            shown = cards.again(now, wish._replace(errors={"": str(error)}), sent)
            return self._page("approval.html", request, status_of(error), card=shown)
        response = RedirectResponse(back, 303)
        response.set_cookie(
            NAME_COOKIE, quote(wish.by), max_age=31_536_000, httponly=True, samesite="lax", secure=_secure(request)
        )
        return response

    async def records(self, request: Request) -> Response:
        asked = request.query_params
        after = _number(asked, "after", -1)
        run_id = asked.get("run_id") or None
        found = await self._service.records(run_id=run_id, after=after, limit=PAGE + 1)
        rows = timeline.rows(found[:PAGE])
        later = urlencode({"run_id": run_id or "", "after": rows[-1].index}) if len(found) > PAGE else ""
        return self._page("records.html", request, rows=rows, older=later)

    async def record(self, request: Request) -> Response:
        record = await self._service.record(_number(request.path_params, "index", 0))
        return self._page("record.html", request, record=record, row=timeline.rows([record])[0])

    async def sign_in_form(self, request: Request) -> Response:
        return self._page("sign_in.html", request, next=_inside(request.query_params.get("next", "/")), problem="")

    async def sign_in(self, request: Request) -> Response:
        async with request.form() as form:
            sent = {name: value for name, value in form.items() if isinstance(value, str)}
        target = _inside(sent.get("next", "/"))
        if not self._token or not hmac.compare_digest(sent.get("token", "").encode(), self._token.encode()):
            problem = (
                "This is not the service's token." if self._token else "This service has no token to sign in with."
            )
            return self._page("sign_in.html", request, 401, next=target, problem=problem)
        response = RedirectResponse(target, 303)
        response.set_cookie(
            access.COOKIE,
            access.session(self._token),
            max_age=access.SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=_secure(request),
        )
        return response

    async def sign_out(self, request: Request) -> Response:
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(access.COOKIE)
        return response


def age(moment: datetime) -> str:
    """How long ago, in one unit."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return "just now"


def pretty(value: Any) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _name(request: Request) -> str:
    return unquote(request.cookies.get(NAME_COOKIE, ""))


def _secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _inside(target: str) -> str:
    """A path of this service; anything else (another host after a sign-in, say) becomes the first page."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"


def _number(values: Mapping[str, Any], name: str, default: int) -> int:
    text = str(values.get(name, default))
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not min(default, 0) <= number <= LARGEST:
        raise NotFoundError(f"{name} {text[:40]!r} is no number of this service's")
    return number


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    auto_reload=False,
)
_TEMPLATES.filters.update(age=age, pretty=pretty)
