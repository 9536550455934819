"""A bound on what is under way, in records and in bytes."""

from __future__ import annotations

import asyncio
from collections import deque

from gatewright.agents.errors import UnavailableError


class Room:
    """Room for so many records and bytes; whoever finds it full waits in line. Lives on one event loop."""

    def __init__(self, records: int, size: int) -> None:
        self.records = records  # free
        self.size = size  # free, bytes
        self._line: deque[tuple[asyncio.Future[None], int, int]] = deque()

    async def take(self, records: int, size: int, deadline: float) -> None:
        """Take room, in the order of asking; `deadline` is a moment of `time.monotonic()`.

        Raises:
            UnavailableError: there was none by the deadline; nothing was taken.
        """
        if not self._line and self._fits(records, size):
            self._change(-records, -size)
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append((turn, records, size))
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # the turn came with the end: give back what was taken
                self._change(records, size)
            turn.cancel()
            self._admit()
            if isinstance(error, TimeoutError):
                raise UnavailableError(
                    "Kafka takes records more slowly than they come: no room to send by the deadline, nothing was "
                    "sent; send again later"
                ) from error
            raise

    def give(self, records: int, size: int) -> None:
        """Give room back."""
        self._change(records, size)
        self._admit()

    def _fits(self, records: int, size: int) -> bool:
        return records <= self.records and size <= self.size

    def _change(self, records: int, size: int) -> None:
        self.records += records
        self.size += size

    def _admit(self) -> None:
        while self._line:
            turn, records, size = self._line[0]
            if not turn.done():
                if not self._fits(records, size):
                    return
                self._change(-records, -size)
                turn.set_result(None)
            self._line.popleft()
