"""A limit on the size of request bodies, held before they are in memory."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import answer


class BodyLimit:
    """Answers 413 to a body of more than `limit` bytes: at once where `Content-Length` says so, else when it is
    passed. Nothing beyond the limit is read."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if declared.isdigit() and int(declared) > self.limit:
            await self._refuse(f"{int(declared)} bytes", scope, receive, send)
            return
        received = 0
        started = False

        async def counted() -> Message:
            nonlocal received
            if received > self.limit:
                return {"type": "http.disconnect"}
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                return {"type": "http.disconnect"}
            return message

        async def guarded(message: Message) -> None:
            # The application takes the cut for a client that went away; whatever it says to that is replaced.
            nonlocal started
            if received <= self.limit or started:
                started = True
                await send(message)

        try:
            await self.app(scope, counted, guarded)
        except Exception:
            if received <= self.limit or started:
                raise
        if received > self.limit and not started:
            await self._refuse("longer", scope, receive, send)

    async def _refuse(self, size: str, scope: Scope, receive: Receive, send: Send) -> None:
        message = (
            f"the request body is {size}, the limit is {self.limit} bytes; send less or raise server.max_body_bytes"
        )
        await answer(413, "LimitError", message, {"connection": "close"})(scope, receive, send)
