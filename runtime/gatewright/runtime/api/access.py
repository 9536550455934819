"""Who may talk to the service: host, origin and token are checked before anything else is.

Without a token the service trusts whoever reaches its loopback address, which a browser on the same machine does on
behalf of any page it shows. So the `Host` must be a loopback name (against DNS rebinding), and a request that changes
something must not come from another site's page.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import answer

COOKIE = "gatewright_session"
SESSION_SECONDS = 12 * 60 * 60
OPEN_PATHS = ("/livez", "/readyz", "/sign-in")
OPEN_FOLDER = "/static/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/]+)(?::\d{1,5})?")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
SAME_ORIGIN = (b"cross-origin-resource-policy", b"same-origin")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


class Access:
    """Lets a request through to `app`, or answers 401, 403 or 421.

    With `local`, only loopback names are accepted as `Host`. With `token`, every path but health, sign-in and static
    files needs it as bearer token, or the cookie that signing in gave.
    """

    def __init__(self, app: ASGIApp, *, token: str, local: bool) -> None:
        self.app = app
        self.token = token
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
        if self.local and not is_loopback(_name(host)):
            message = f"Host {host!r} is not a loopback name; use http://127.0.0.1, or set server.token to serve others"
            return answer(421, "UsageError", message)
        if scope["method"] not in SAFE_METHODS and _foreign(headers, host):
            return answer(403, "DeniedError", f"a page of {headers.get('origin')!r} may not change anything here")
        if self.token and not self._signed_in(scope["path"], headers):
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse(f"/sign-in?next={quote(scope['path'])}", 303)
            message = "this service needs its token: send `Authorization: Bearer TOKEN`"
            return answer(401, "DeniedError", message, {"www-authenticate": "Bearer"})
        return None

    def _signed_in(self, path: str, headers: Mapping[str, str]) -> bool:
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.encode("latin-1"), self.token.encode())  # the bytes as they were sent
        return session_holds(_cookie(headers.get("cookie", "")), self.token)


def session(token: str, *, now: float | None = None) -> str:
    """A cookie value that proves, for twelve hours, that its bearer knew `token`."""
    until = int((time.time() if now is None else now) + SESSION_SECONDS)
    body = f"{until}.{secrets.token_hex(8)}"
    return f"{body}.{_signature(body, token)}"


def session_holds(value: str, token: str, *, now: float | None = None) -> bool:
    """Whether a cookie value was made by `session` with this token and has not run out."""
    body, _, signature = value.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(body, token).encode()):
        return False
    return int(body.partition(".")[0]) > (time.time() if now is None else now)


def _signature(body: str, token: str) -> str:
    return hmac.new(token.encode(), body.encode(), hashlib.sha256).hexdigest()


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _foreign(headers: Mapping[str, str], host: str) -> bool:
    """Whether a browser says that the request was made by a page of another site."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2] != host
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _name(host: str) -> str:
    """The host without its port; "" where it is not of that form."""
    found = HOST.fullmatch(host)
    return found[1] if found else ""
