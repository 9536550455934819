"""A run's events as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from gatewright.agents.errors import UsageError
from gatewright.runtime.views import Event

HEARTBEAT = 15.0  # seconds; below the idle timeout of common proxies
RETRY = 1000  # milliseconds after which a client that was sent away comes back
BYE = b"event: bye\nretry: %d\ndata: {}\n\n" % RETRY
BEAT = b": still here\n\n"


def respond(events: AsyncIterator[Event], closing: asyncio.Event, headers: dict[str, str] | None = None) -> Any:
    """The events as a response, until they end, the client leaves or the server closes."""
    return StreamingResponse(
        frames(events, closing),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})},
    )


def frame(event: Event) -> bytes:
    """One event; its `id` is what `Last-Event-ID` takes up again."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        event.seq,
        event.type.encode(),
        orjson.dumps(event.data, default=_plain),
    )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def last_event_id(value: str | None) -> int:
    """The `seq` after which a client that comes back wants to go on.

    Raises:
        UsageError: it is not a number that this service gave.
    """
    if not value:
        return -1
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"Last-Event-ID is {value!r}; send the id of an event of this run") from None


async def frames(
    events: AsyncIterator[Event], closing: asyncio.Event, *, heartbeat: float = HEARTBEAT
) -> AsyncGenerator[bytes]:
    """The events as bytes, a comment every `heartbeat` seconds of silence, and `bye` when the server closes."""
    closed = asyncio.ensure_future(closing.wait())
    following: asyncio.Future[Event] = asyncio.ensure_future(anext(events))
    try:
        while True:
            waiting: set[asyncio.Future[Any]] = {following, closed}
            done, _ = await asyncio.wait(waiting, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if following in done:
                try:
                    event = following.result()
                except StopAsyncIteration:
                    return
                yield frame(event)
                following = asyncio.ensure_future(anext(events))
            elif closed in done:
                yield BYE
                return
            else:
                yield BEAT
    finally:
        closed.cancel()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await following
