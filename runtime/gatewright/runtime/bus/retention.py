"""Retention: messages that all groups have settled are removed after their topic's time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import sqlalchemy as sa

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.store.writer import Transaction

from . import letters
from .log import Log
from .topics import Topic

EVERY = 60.0  # seconds
AT_ONCE = 1000  # messages removed by one operation, so that others are not kept waiting

_TOPICS = sa.text("SELECT name FROM topic ORDER BY name")
_OLDEST = sa.text(
    "SELECT number, created_at FROM message WHERE topic = :topic AND number > :since ORDER BY number LIMIT :most"
)
_REMOVE = sa.text(
    "DELETE FROM message WHERE topic = :topic AND number > :since AND number <= :last "
    'AND EXISTS (SELECT 1 FROM head WHERE head.topic = message.topic AND head."partition" = message."partition" '
    'AND message."offset" < head.next - 1) '
    "AND NOT EXISTS (SELECT 1 FROM cursor WHERE cursor.topic = message.topic "
    'AND cursor."partition" = message."partition" AND cursor.position <= message."offset") '
    "AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.topic = message.topic "
    'AND parked."partition" = message."partition" AND parked."offset" = message."offset")'
)

_log = logging.getLogger(__name__)


class Retention:
    """Removes what is not needed any more from one log, now and then. Any number of processes may."""

    def __init__(self, log: Log, settings: Callable[[str], Topic]) -> None:
        self._log = log
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            with suppress(UnavailableError):
                await self.remove()

    async def remove(self) -> int:
        """Remove what may be removed now; gives the number of messages."""
        removed = 0
        for (topic,) in await self._log.write(lambda transaction: transaction.all(_TOPICS)):
            before = self._log.clock.now() - int(self._settings(topic).retention * MICROSECONDS)
            since: int | None = 0
            while since is not None:
                work = partial(self._remove, topic=topic, since=since, before=before)
                count, since = await self._log.write(work)
                removed += count
        now = self._log.clock.now()
        await self._log.write(lambda transaction: letters.purge(transaction, now=now))
        return removed

    def _remove(self, transaction: Transaction, *, topic: str, since: int, before: int) -> tuple[int, int | None]:
        """Remove some; gives how many, and where to go on."""
        oldest = transaction.all(_OLDEST, topic=topic, since=since, most=AT_ONCE)
        numbers = [number for number, created_at in oldest if created_at < before]
        if not numbers:
            return 0, None
        count = transaction.run(_REMOVE, topic=topic, since=since, last=numbers[-1])
        return count, numbers[-1] if len(numbers) == AT_ONCE else None
