"""What waits for people: the list, each request, and their decisions. Following a link never decides anything."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gatewright.agents.errors import ConflictError, DeniedError, UsageError
from gatewright.runtime.api.access import identity
from gatewright.runtime.api.errors import status_of
from gatewright.runtime.operations import Host

from . import cards, frame

PAGE = 50


class Queue:
    """The pages under `/approvals`."""

    def __init__(self, service: Host) -> None:
        self._service = service

    def add(self, router: APIRouter) -> None:
        """Put them into the router."""
        frame.add(router, "GET", "/approvals", self.list)
        frame.add(router, "GET", "/approvals/{approval_id}", self.show)
        frame.add(router, "POST", "/approvals/{approval_id}", self.decide)

    async def list(self, request: Request) -> Response:
        offset = frame.number(request.query_params, "offset", 0)
        here = f"/approvals?offset={offset}" if offset else "/approvals"
        found = await cards.waiting(self._service, request, back=here, limit=PAGE + 1, offset=offset)
        return frame.page(
            "approvals.html",
            request,
            here=here,
            cards=found[:PAGE],
            offset=offset,
            older=urlencode({"offset": max(offset - PAGE, 0)}),
            newer=urlencode({"offset": offset + PAGE}) if len(found) > PAGE else "",
        )

    async def show(self, request: Request) -> Response:
        approval = await self._service.approval(request.path_params["approval_id"])
        card = cards.card(approval, by=frame.name_of(request), back=f"/approvals/{quote(approval.id)}")
        return frame.page("approval.html", request, card=card)

    async def decide(self, request: Request) -> Response:
        approval = await self._service.approval(request.path_params["approval_id"])
        who = identity(request)
        sent = await frame.form(request)
        back = frame.inside(sent.get("back", "/"))
        wish = cards.read(approval, sent, who)
        card = cards.card(approval, by=frame.name_of(request), back=back)
        if wish.errors:
            return frame.page("approval.html", request, 422, card=cards.again(card, wish, sent))
        try:
            by = who.sign(wish.by)
            await self._service.decide(approval.id, wish.verb, by=by, reason=wish.reason, value=wish.value)
        except (ConflictError, DeniedError, UsageError) as error:
            now = cards.card(await self._service.approval(approval.id), by=wish.by, back=back)
            shown = cards.again(now, wish._replace(errors={"": str(error)}), sent)
            return frame.page("approval.html", request, status_of(error), card=shown)
        response = RedirectResponse(back, 303)
        if not who.authenticated:
            frame.remember_name(request, response, wish.by)
        return response
