"""Who may talk to the service: host, origin and token are checked before anything else is.

Without tokens the service trusts whoever reaches its loopback address, which a browser on the same machine does on
behalf of any page it shows. So the `Host` must be a loopback name (against DNS rebinding), and a request that changes
something must not come from another site's page.

Who it is goes with the request, as its `identity`; handlers take it from there and never from a body.
"""

from __future__ import annotations

import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatewright.runtime.addresses import is_loopback
from gatewright.runtime.people import ANYONE, Identity, Roster

from .errors import answer
from .sessions import Sessions

COOKIE = "gatewright_session"
OPEN_PATHS = ("/livez", "/readyz", "/sign-in", "/sign-out")
OPEN_FOLDER = "/static/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/]+)(?::\d{1,5})?")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
SAME_ORIGIN = (b"cross-origin-resource-policy", b"same-origin")


def identity(request: Request) -> Identity:
    """Who a request comes from, as `Access` found it."""
    found: Identity = request.state.identity
    return found


class Access:
    """Lets a request through to `app` with its identity, or answers 401, 403 or 421.

    With `local`, only loopback names are accepted as `Host`. Where the roster has tokens, every path but health,
    sign-in and static files needs one as bearer token, or the cookie that signing in gave. Auditors change nothing.
    """

    def __init__(self, app: ASGIApp, *, roster: Roster, sessions: Sessions, local: bool) -> None:
        self.app = app
        self.roster = roster
        self.sessions = sessions
        self.local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = (
            self._refusal(scope) if scope["type"] == "http" else answer(404, "NotFoundError", "no websockets here")
        )

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":  # no page of another site may embed or guess at an answer
                message["headers"] = [*message.get("headers", ()), NO_SNIFFING, SAME_ORIGIN]
            await send(message)

        await (refusal or self.app)(scope, receive, marked)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        path: str = scope["path"]
        if self.local and not is_loopback(_name(host)):
            message = f"Host {host!r} is not a loopback name; use http://127.0.0.1, or set server.token to serve others"
            return answer(421, "UsageError", message)
        if scope["method"] not in SAFE_METHODS and _foreign(headers, host):
            return answer(403, "DeniedError", f"a page of {headers.get('origin')!r} may not change anything here")
        found = ANYONE if self.roster.open else self._identity(headers)
        unguarded = path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
        if found is None and not unguarded:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse(f"/sign-in?next={quote(path)}", 303)
            message = (
                "this service needs a token: send `Authorization: Bearer TOKEN` (the command line sends what is in "
                "GATEWRIGHT_TOKEN)"
            )
            return answer(401, "DeniedError", message, {"www-authenticate": "Bearer"})
        if found is not None and found.reads_only and scope["method"] not in SAFE_METHODS and not unguarded:
            message = f"{found.name!r} is an auditor, who reads everything and changes nothing"
            return answer(403, "DeniedError", message)
        if found is not None:
            scope.setdefault("state", {})["identity"] = found
        return None

    def _identity(self, headers: Headers) -> Identity | None:
        """Who it is by token, else by cookie."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = self.roster.identify(given.encode("latin-1"))  # the bytes as they were sent
            return found[1] if found else None
        return self.sessions.holder(_cookie(headers.get("cookie", "")))


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that the request was made by a page of another site."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2] != host
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _name(host: str) -> str:
    """The host without its port; "" where it is not of that form."""
    found = HOST.fullmatch(host)
    return found[1] if found else ""
