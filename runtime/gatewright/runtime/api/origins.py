"""Pages of other sites that may decide here: user interfaces that somebody else serves, for `/v1/interop` alone.

Only origins of the configuration may, and only with a token in a header: the cookie of whoever signed in to the console
is never theirs to use. Everything else refuses them as before, see `access`.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = "/v1/interop/"
_THEIRS = frozenset({b"origin", b"sec-fetch-site", b"cookie"})


class Origins:
    """Lets pages of `origins` reach the folder of `app`, and takes LangGraph's `x-api-key` there for a bearer token."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self.app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        # What a page sends beside the token is its SDK's business; without credentials no header is worth forging.
        self._shared = CORSMiddleware(self._keyed, origins, allow_methods=("GET", "POST"), allow_headers=("*",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inside = scope["type"] == "http" and scope["path"].startswith(FOLDER)
        await (self._shared if inside else self.app)(scope, receive, send)

    async def _keyed(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        values = dict(headers)
        if values.get(b"origin") in self._origins:
            headers = [header for header in headers if header[0] not in _THEIRS]
        if b"x-api-key" in values and b"authorization" not in values:
            headers.append((b"authorization", b"Bearer " + values[b"x-api-key"]))
        await self.app({**scope, "headers": headers}, receive, send)
