"""What empties the outbox: one task for each receiver, so that none waits for another."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.clock import MICROSECONDS, Clock
from gatewright.runtime.store.writer import Writer, arrival

from . import outbox
from .channels import Channel
from .delivery import DeliveryError

T = TypeVar("T")

AT_ONCE = 8  # messages on their way to one receiver; the rest waits in the database
POLL = 1.0  # seconds between looks at an empty outbox
ATTEMPTS = 12  # over about six hours, then the message is dead
FIRST_DELAY = 5.0  # seconds
FACTOR = 3.0
LONGEST_DELAY = 3600.0  # seconds, also of what a receiver asks for
GRACE = 5.0  # seconds that messages on their way have when the service stops; the rest is sent after the restart
PURGE_EVERY = 3600.0  # seconds

_log = logging.getLogger(__name__)


class Query(Protocol):
    """Reads the database in a thread."""

    def __call__(self, read: Callable[[Connection], T], /) -> Coroutine[Any, Any, T]: ...


class Sender:
    """Sends what waits in the outbox to these receivers. One process at a time does."""

    def __init__(self, writer: Writer, query: Query, clock: Clock, channels: Mapping[str, Channel]) -> None:
        self._writer = writer
        self._query = query
        self._clock = clock
        self._channels = channels
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(self._serve(*item)) for item in self._channels.items()]
        self._tasks.append(asyncio.create_task(self._tidy()))

    async def close(self) -> None:
        """Stop; what is on its way has a few seconds, and is sent again otherwise."""
        self._closing.set()
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels.values():
            await channel.close()

    async def _serve(self, receiver: str, channel: Channel) -> None:
        while not self._closing.is_set():
            try:
                sent = await self._round(receiver, channel)
            except UnavailableError as error:
                _log.warning("notices to %r wait: %s", receiver, error)
                sent = False
            except Exception:
                _log.exception("notices to %r cannot be sent; trying again in %s s", receiver, POLL)
                sent = False
            if not sent:
                await self._pause(POLL)

    async def _round(self, receiver: str, channel: Channel) -> bool:
        """Make an attempt for each message that is due, as many as go at once; false where none is."""
        notices = await self._query(partial(outbox.due, receiver=receiver, now=self._clock.now(), most=AT_ONCE))
        settled = await asyncio.gather(*(self._attempt(receiver, channel, notice) for notice in notices))
        if settled:
            await arrival(self._writer.submit(lambda transaction: outbox.settle(transaction, settled)))
        return bool(settled)

    async def _attempt(self, receiver: str, channel: Channel, notice: outbox.Notice) -> outbox.Settled:
        try:
            await channel.deliver(notice)
        except DeliveryError as error:
            failure = error
        except Exception as error:  # what cannot even be written down must not hold up what can
            _log.exception("notice %s to %r cannot be sent", notice.id, receiver)
            failure = DeliveryError(f"{type(error).__name__}: {error}"[:200])
        else:
            return outbox.Settled(notice.number, "sent", self._clock.now(), None)
        if failure.final or notice.attempts + 1 >= ATTEMPTS:
            _log.error("notice %s to %r is given up: %s", notice.id, receiver, failure.reason)
            return outbox.Settled(notice.number, "dead", self._clock.now(), failure.reason)
        wait = max(delay(notice.attempts), min(failure.wait or 0.0, LONGEST_DELAY))
        return outbox.Settled(notice.number, "waiting", self._clock.now() + int(wait * MICROSECONDS), failure.reason)

    async def _tidy(self) -> None:
        while not self._closing.is_set():
            try:
                await arrival(self._writer.submit(partial(outbox.purge, now=self._clock.now())))
            except UnavailableError as error:
                _log.warning("old notices stay: %s", error)
            await self._pause(PURGE_EVERY)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return


def delay(failed: int) -> float:
    """Seconds until the next attempt after `failed` earlier ones: exponential, with jitter of a fifth."""
    return min(FIRST_DELAY * FACTOR**failed, LONGEST_DELAY) * random.uniform(0.8, 1.2)
