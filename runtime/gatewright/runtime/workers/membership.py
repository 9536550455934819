"""A process among those that work on a database: it says that it is there, and takes over from those that are gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store.writer import Transaction, Writer, arrival

from . import duties, registry
from .duties import Duties
from .registry import Identity

T = TypeVar("T")

RENEWALS = 3  # in the time of a lease

_log = logging.getLogger(__name__)


class _Round(NamedTuple):
    """What one renewal led to. `at`: when, by the monotonic clock; `there`: whether the process still is a member."""

    at: float
    there: bool
    lost: list[str]
    taken: list[str]


class Membership:
    """Joins, renews the lease, takes over what lost processes held, leaves.

    Args:
        alone: no other process can be on the database.
        recover: in the transaction that finds workers lost, and in the first one: queue again what they held.
        recovered: afterwards, where there were any.
        expelled: this process had been found lost itself; it has joined again under the new identity.
    """

    def __init__(
        self,
        writer: Writer,
        identity: Callable[[], Identity],
        *,
        lease: float,
        alone: bool,
        duties: Duties,
        recover: Callable[[Transaction, list[str]], object],
        recovered: Callable[[], None],
        expelled: Callable[[Identity], None],
    ) -> None:
        self._writer = writer
        self._identity = identity
        self.who = identity()
        self._lease = lease
        self._alone = alone
        self._duties = duties
        self._recover = recover
        self._recovered = recovered
        self._expelled = expelled
        self._draining = False
        self._stirred = asyncio.Event()
        self._new, self._away = True, False
        self._heard = self._steady = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Become a member, take over what can be, and stay one until `leave`."""
        await self._write(partial(registry.join, who=self.who, lease=self._lease))
        self._heard = self._steady = time.monotonic()
        await self._round()
        self._task = asyncio.create_task(self._stay())

    def drain(self) -> None:
        """Say from now on that this process finishes what it has begun."""
        self._draining = True
        self._stirred.set()

    async def leave(self) -> None:
        """End the duties and the membership; what the process held has been given back."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._duties.end()
        with suppress(UnavailableError):  # the lease runs out by itself
            await self._write(partial(registry.leave, worker=self.who.id))

    async def _stay(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lease / RENEWALS):
                    await self._stirred.wait()
            self._stirred.clear()
            try:
                await self._round()
                if self._away:
                    self._away = False
                    _log.warning("the lease of %s is renewed again; the database is back", self.who.id)
            except UnavailableError as error:
                self._away = True
                _log.warning("the lease of %s could not be renewed: %s", self.who.id, error)
            except Exception:
                _log.exception("the lease of %s could not be renewed", self.who.id)

    async def _round(self) -> None:
        found = await self._write(self._renew)
        self._heard, self._new = found.at, False
        if not found.there:
            await self._rejoin()
            return
        if found.lost:
            _log.warning("took over from lost workers: %s", ", ".join(found.lost))
            self._recovered()
        self._duties.begin(self.who.id, found.taken)

    def _renew(self, transaction: Transaction) -> _Round:
        now = time.monotonic()  # here, and not when it was asked for: the database may have been away in between
        if now - self._heard > self._lease:
            self._steady = now
        if not registry.renew(transaction, self.who.id, lease=self._lease, draining=self._draining):
            return _Round(now, False, [], [])
        steady = now - self._steady >= self._lease
        lost = registry.lose(transaction, me=self.who.id, alone=self._alone, steady=steady)
        if lost or self._new:
            self._recover(transaction, lost)
        taken = [] if self._draining else duties.take(transaction, self.who.id, self._duties.vacant)
        return _Round(now, True, lost, taken)

    async def _rejoin(self) -> None:
        """Begin anew: others took this process for lost, and what it held is theirs."""
        _log.warning("%s was taken for lost; joining again", self.who.id)
        await self._duties.end()
        self.who = self._identity()
        await self._write(partial(registry.join, who=self.who, lease=self._lease))
        self._heard = self._steady = time.monotonic()
        self._expelled(self.who)

    async def _write(self, operation: Callable[[Transaction], T]) -> T:
        return await arrival(self._writer.submit(operation))
