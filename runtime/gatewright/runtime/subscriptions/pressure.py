"""Back-pressure: a deployment takes no more messages while too many of its runs wait to be executed.

How many wait is measured now and then, and what is taken meanwhile is counted. So several processes together may go
beyond the limit, each by a sixteenth of it and by what it is just about to accept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store import schema

MOST_QUEUED = 1000  # runs of a deployment
LOOK = 0.25  # seconds between looks while there are so many

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_QUEUED = sa.select(sa.func.count()).select_from(
    sa.select(_RUN.c.number)
    .where(_RUN.c.status == "queued", _RUN.c.deployment == sa.bindparam("of"))
    .limit(sa.bindparam("most"))
    .subquery()
)


class Extensible(Protocol):
    """What may take more time."""

    def extend(self, seconds: float | None = None) -> None: ...


class Pressure:
    """How many runs of one deployment wait, as far as this process knows."""

    def __init__(
        self,
        deployment: str,
        query: Callable[[Callable[[Connection], int]], Awaitable[int]],
        *,
        most: int = MOST_QUEUED,
    ) -> None:
        """`query`: runs a read of the database."""
        self._deployment = deployment
        self._query = query
        self._most = most
        self._step = max(1, most // 16)
        self._known = most  # nobody has looked yet
        self._since = 0
        self._measured = -LOOK
        self._looking = asyncio.Lock()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let go those who wait: this process takes nothing any more."""
        self._closing.set()

    async def admit(self, delivery: Extensible) -> None:
        """Wait until another run may be accepted, and count it.

        Raises:
            CancelledError: this process takes nothing any more.
        """
        while not self._take():
            async with self._looking:
                if self._take():
                    return
                await self._measure()
                if self._take():
                    return
            await self.pause(delivery)

    async def pause(self, delivery: Extensible) -> None:
        """Wait a moment before another look.

        Raises:
            CancelledError: this process takes nothing any more.
        """
        delivery.extend()
        try:
            async with asyncio.timeout(LOOK):
                await self._closing.wait()
        except TimeoutError:
            return
        raise asyncio.CancelledError

    def _take(self) -> bool:
        if self._since >= min(self._most - self._known, self._step):
            return False
        self._since += 1
        return True

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._measured + LOOK and self._known >= self._most:
            return  # another one has just looked
        with suppress(UnavailableError):  # the database is away: as if it were full
            self._known, self._since = await self._query(self._count), 0
        self._measured = loop.time()

    def _count(self, connection: Connection) -> int:
        return int(connection.execute(_QUEUED, {"of": self._deployment, "most": self._most}).scalar_one())
