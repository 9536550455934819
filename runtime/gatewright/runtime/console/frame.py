"""What every page shares: templates, headers, errors told as a page, and who is looking at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jinja2
from fastapi import APIRouter, Request, Response

from gatewright.agents.errors import GatewrightError, NotFoundError
from gatewright.runtime import display
from gatewright.runtime.api import access
from gatewright.runtime.api.errors import status_of
from gatewright.runtime.people import Identity

HERE = Path(__file__).parent
NAME_COOKIE = "gatewright_name"
NAME_SECONDS = 31_536_000  # a year
LARGEST = 2**63 - 1  # what the database can count to
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def page(template: str, request: Request, code: int = 200, **values: Any) -> Response:
    """A template as an answer; `viewer` is in every one, None for whoever has not signed in."""
    who = viewer(request)
    signed_in = who is not None and access.COOKIE in request.cookies
    text = _TEMPLATES.get_template(template).render(viewer=who, signed_in=signed_in, **values)
    return Response(text, code, HEADERS, media_type="text/html")


def viewer(request: Request) -> Identity | None:
    """Who is looking; None on the pages that need no signing in."""
    return getattr(request.state, "identity", None)


def add(router: APIRouter, method: str, path: str, handler: Any) -> None:
    """Put a page into the router, with its errors as pages."""

    async def told(request: Request) -> Response:
        try:
            response: Response = await handler(request)
        except GatewrightError as error:
            heading = "Not here" if isinstance(error, NotFoundError) else "That did not work"
            response = page(
                "error.html",
                request,
                status_of(error),
                type=type(error).__name__,
                heading=heading,
                message=str(error),
            )
        return response

    router.add_api_route(path, told, methods=[method], response_class=Response)


async def form(request: Request) -> dict[str, str]:
    """The texts of a submitted form."""
    async with request.form() as sent:
        return {name: value for name, value in sent.items() if isinstance(value, str)}


def inside(target: str) -> str:
    """A path of this service; anything else (another host after a sign-in, say) becomes the first page."""
    outside = target.startswith(("//", "/\\")) or not target.isprintable()  # browsers skip tabs and line ends in links
    return target if target.startswith("/") and not outside else "/"


def number(values: Mapping[str, Any], name: str, default: int) -> int:
    """A count or index of a query.

    Raises:
        NotFoundError: it is none.
    """
    text = str(values.get(name, default))
    try:
        found = int(text)
    except ValueError:
        found = None
    if found is None or not min(default, 0) <= found <= LARGEST:
        raise NotFoundError(f"{name} {text[:40]!r} is no number of this service's")
    return found


def secure(request: Request) -> bool:
    """Whether cookies may go over HTTPS only."""
    return request.url.scheme == "https"


def name_of(request: Request) -> str:
    """The name given at the last decision, where people name themselves."""
    return unquote(request.cookies.get(NAME_COOKIE, ""))


def remember_name(request: Request, response: Response, name: str) -> None:
    """Keep the name for the next decision."""
    response.set_cookie(
        NAME_COOKIE, quote(name), max_age=NAME_SECONDS, httponly=True, samesite="lax", secure=secure(request)
    )


def age(moment: datetime) -> str:
    """How long ago, or how far ahead, in one unit."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= size:
            count = f"{int(abs(seconds) // size)} {name}"
            return f"{count} ago" if seconds > 0 else f"in {count}"
    return "just now" if seconds >= 0 else "in less than a minute"


def pretty(value: Any) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def flat(value: Any) -> str:
    """A JSON value on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _shown(value: Any) -> Any:
    """A value as a page shows it; markup is ours, and text becomes markup only when it has been escaped."""
    return display.clean(value) if type(value) is str else value


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=_shown,
    auto_reload=False,
)
_TEMPLATES.filters.update(age=age, flat=flat, pretty=pretty)
