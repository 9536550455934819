"""Signing in and out: a token once, a cookie for twelve hours."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gatewright.runtime.api import access, sessions
from gatewright.runtime.people import Roster

from . import frame


def add(router: APIRouter, roster: Roster, known: sessions.Sessions) -> None:
    """Put the pages into the router."""

    async def show(request: Request) -> Response:
        target = frame.inside(request.query_params.get("next", "/"))
        return frame.page("sign_in.html", request, next=target, problem="")

    async def sign_in(request: Request) -> Response:
        sent = await frame.form(request)
        target = frame.inside(sent.get("next", "/"))
        found = roster.identify(sent.get("token", ""))
        if found is None:
            problem = "This service asks for no token." if roster.open else "This is nobody's token."
            return frame.page("sign_in.html", request, 401, next=target, problem=problem)
        response = RedirectResponse(target, 303)
        response.set_cookie(
            access.COOKIE,
            known.begin(found[0]),
            max_age=sessions.SECONDS,
            httponly=True,
            samesite="lax",
            secure=frame.secure(request),
        )
        return response

    async def sign_out(request: Request) -> Response:
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(access.COOKIE)
        return response

    frame.add(router, "GET", "/sign-in", show)
    frame.add(router, "POST", "/sign-in", sign_in)
    frame.add(router, "POST", "/sign-out", sign_out)
