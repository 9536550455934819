"""Room: the bound on what is under way."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.kafka.room import Room


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


async def test_whoever_finds_no_room_waits_in_line() -> None:
    room, order = Room(2, 100), list[str]()

    async def take(name: str, records: int) -> None:
        await room.take(records, 1, soon())
        order.append(name)

    await room.take(2, 2, soon())
    waiting = [asyncio.create_task(take("large", 2)), asyncio.create_task(take("small", 1))]
    await asyncio.sleep(0)
    room.give(1, 1)  # enough for the second, who may not overtake
    await asyncio.sleep(0)
    assert order == []
    room.give(1, 1)
    await asyncio.sleep(0)
    room.give(2, 1)
    await asyncio.gather(*waiting)
    assert order == ["large", "small"]


async def test_nothing_is_taken_when_the_deadline_passes() -> None:
    room = Room(1, 100)
    await room.take(1, 100, soon())
    with pytest.raises(UnavailableError, match="nothing was sent"):
        await room.take(1, 1, soon(0.01))
    room.give(1, 100)
    assert (room.records, room.size) == (1, 100)


async def test_whoever_leaves_the_line_lets_those_behind_pass() -> None:
    room = Room(2, 100)
    await room.take(1, 1, soon())
    large = asyncio.create_task(room.take(2, 1, soon()))
    small = asyncio.create_task(room.take(1, 1, soon()))
    await asyncio.sleep(0)
    large.cancel()
    await small
    assert room.records == 0


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 50), st.booleans()), max_size=30))
def test_room_is_never_overdrawn_and_comes_back_whole(wishes: list[tuple[int, int, bool]]) -> None:
    async def scenario() -> None:
        room, lowest = Room(5, 50), [5, 50]

        async def use(records: int, size: int) -> None:
            await room.take(records, size, soon())
            try:
                lowest[:] = [min(lowest[0], room.records), min(lowest[1], room.size)]
                await asyncio.sleep(0)
            finally:
                room.give(records, size)

        tasks: list[asyncio.Task[None]] = []
        for records, size, cancelled in wishes:
            tasks.append(asyncio.create_task(use(records, size)))
            await asyncio.sleep(0)
            if cancelled:
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert min(lowest) >= 0
        assert (room.records, room.size) == (5, 50)

    asyncio.run(scenario())
