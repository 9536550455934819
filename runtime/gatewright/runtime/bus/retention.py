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

_TOPICS = sa.text("SELECT name, partitions FROM topic ORDER BY name")
_REMOVE = sa.text(
    'DELETE FROM message WHERE topic = :topic AND "partition" = :part AND "offset" IN ('
    'SELECT m."offset" FROM message m WHERE m.topic = :topic AND m."partition" = :part AND m.created_at < :before '
    'AND m."offset" < (SELECT head.next - 1 FROM head WHERE head.topic = :topic AND head."partition" = :part) '
    'AND NOT EXISTS (SELECT 1 FROM cursor WHERE cursor.topic = :topic AND cursor."partition" = :part '
    'AND cursor.position <= m."offset") '
    'AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.topic = :topic AND parked."partition" = :part '
    'AND parked."offset" = m."offset") '
    'ORDER BY m."offset" LIMIT :most)'
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
        for topic, partitions in await self._log.write(lambda transaction: transaction.all(_TOPICS)):
            before = self._log.clock.now() - int(self._settings(topic).retention * MICROSECONDS)
            for part in range(partitions):
                while True:
                    work = partial(self._remove, topic=topic, part=part, before=before)
                    count = await self._log.write(work)
                    removed += count
                    if count < AT_ONCE:
                        break
        now = self._log.clock.now()
        await self._log.write(lambda transaction: letters.purge(transaction, now=now))
        return removed

    def _remove(self, transaction: Transaction, *, topic: str, part: int, before: int) -> int:
        return transaction.run(_REMOVE, topic=topic, part=part, before=before, most=AT_ONCE)
