"""Server-sent events: their form, their heartbeat, and how they end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.api import streams
from gatewright.runtime.views import Event

FIRST = Event(seq=0, type="run", data={"status": "running"})
LAST = Event(seq=1, type="run", data={"status": "succeeded", "note": "two\nlines"})


async def finite() -> AsyncIterator[Event]:
    yield FIRST
    yield LAST


async def endless() -> AsyncIterator[Event]:
    yield FIRST
    await asyncio.Event().wait()


async def test_events_carry_their_id_and_end_with_the_source() -> None:
    sent = [frame async for frame in streams.frames(finite(), asyncio.Event())]

    assert sent == [
        b'id: 0\nevent: run\ndata: {"status":"running"}\n\n',
        b'id: 1\nevent: run\ndata: {"status":"succeeded","note":"two\\nlines"}\n\n',
    ]


async def test_a_closing_server_says_bye_and_ends() -> None:
    closing = asyncio.Event()
    sent: list[bytes] = []
    async for frame in streams.frames(endless(), closing):
        sent.append(frame)
        closing.set()

    assert sent[1:] == [streams.BYE]


async def test_silence_is_broken_by_comments() -> None:
    frames = streams.frames(endless(), asyncio.Event(), heartbeat=0.001)

    sent = [await anext(frames) for _ in range(3)]
    await frames.aclose()

    assert sent[1:] == [streams.BEAT, streams.BEAT]


async def test_the_source_is_closed_when_the_client_leaves() -> None:
    left = asyncio.Event()

    async def watched() -> AsyncIterator[Event]:
        try:
            yield FIRST
            await asyncio.Event().wait()
        finally:
            left.set()

    frames = streams.frames(watched(), asyncio.Event())
    await anext(frames)
    await frames.aclose()

    await asyncio.wait_for(left.wait(), 5)


async def test_an_error_of_the_source_is_not_swallowed() -> None:
    async def broken() -> AsyncIterator[Event]:
        yield FIRST
        raise ValueError("the source broke")

    frames = streams.frames(broken(), asyncio.Event())
    await anext(frames)

    with pytest.raises(ValueError, match="the source broke"):
        await anext(frames)


def test_a_last_event_id_that_we_never_gave_is_refused() -> None:
    assert streams.last_event_id(None) == -1
    assert streams.last_event_id("17") == 17
    with pytest.raises(UsageError, match="'abc'"):
        streams.last_event_id("abc")
