"""A subscription: a member of a consumer group, which holds partitions and has their messages handled.

    told or read ─▶ lanes, one for each key ─▶ workers ─▶ batch ─▶ settled by one operation
                          ▲ due                   │ failed
                          │                       ▼
                        parked in the database, with what is behind it of the same key

A fixed number of workers takes the lanes in turn, so messages of one key are handled one after the other, and those of
other keys meanwhile. What waits in memory is bounded in messages and bytes; the rest waits in the database.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gatewright.agents.envelopes import Message
from gatewright.agents.errors import UnavailableError
from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.store.writer import Transaction

from . import letters, parking
from .composing import Composer
from .cursors import Attendance, Claim, Group, Start
from .deliveries import Delivery
from .holdings import Holding
from .log import Entry, Log, Row, Scan
from .parking import Parked
from .topics import Topic
from .workers import Handler, Workers

BUFFER = 1024  # messages that wait in memory
BUFFER_BYTES = 32 << 20
WINDOW = 4096  # messages of a partition that may be begun beyond its position
MOST_WAITING = 10_000  # keys with a message that waits for another attempt, before nothing new is begun
PAUSE = 1.0  # seconds, after an error of the database

_log = logging.getLogger(__name__)


class Terms(NamedTuple):
    """How a subscription works: `concurrency` messages at once, each for at most `timeout` seconds; a member that is
    silent for `lease` seconds loses its partitions; a new group begins at `start`."""

    concurrency: int
    timeout: float
    lease: float
    start: Start


class _Attended(NamedTuple):
    attendance: Attendance
    parked: dict[int, tuple[list[Parked], dict[str, int]]]
    heads: dict[int, int]
    returning: list[tuple[int, Parked]]


class Subscription(Workers):
    """Made by `Bus.subscribe`; use it on the event loop it was made on."""

    def __init__(
        self,
        log: Log,
        group: Group,
        handler: Handler,
        composer: Composer,
        settings: Callable[[str], Topic],
        terms: Terms,
        *,
        elsewhere: Callable[[str], bool],
        foreign: Callable[[Sequence[tuple[Message, Entry]]], Awaitable[None]],
        one_at_a_time: asyncio.Semaphore,
    ) -> None:
        super().__init__(log, group, composer, settings, timeout=terms.timeout, elsewhere=elsewhere)
        self._handler = handler
        self._terms = terms
        self._foreign = foreign
        self._one_at_a_time = one_at_a_time
        self._due = []
        self._order = itertools.count()
        self._careful = deque()
        self._careful_wake = asyncio.Event()
        self._starting = {}
        self._standstill = terms.lease / 2  # leases are renewed often enough to outlive one that is shorter
        self._beaten = self._loop.time()
        self._partitions = 0
        self._heads: dict[int, int] = {}
        self._lagging: set[int] = set()  # partitions of which the database has more than memory
        self._reading = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held(self) -> frozenset[int]:
        """The partitions that this member has now."""
        return frozenset(self._held)

    # life

    async def open(self) -> None:
        """Join the group and begin."""
        self._partitions = await self._log.declare(self.topic)
        await self._log.write(lambda transaction: self._group.begin(transaction, self._terms.start))
        self._log.listen(self.topic, self)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._terms.concurrency)]
        self._tasks += [
            asyncio.create_task(work()) for work in (self._keep_beating, self._attend, self._work_carefully)
        ]

    async def close(self, grace: float = 10.0) -> None:
        """Hand the partitions back. Messages that are being handled have `grace` seconds; then others get them."""
        if self._closing:
            return
        self._closing = True
        for holding in self._held.values():
            holding.leaving = True
        end = self._loop.time() + grace
        while (self._running or self._pending or self._batch.holdings) and self._loop.time() < end:
            self._flush()
            await asyncio.sleep(0.005)
        self._log.unlisten(self.topic, self)
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._flush()
        with suppress(UnavailableError):  # then the lease will be over by itself
            await self._log.write(lambda _: None)  # after it, it is known what was counted and what came of it
            await self._log.write(partial(self._leave, self._log.clock.now()))

    def _leave(self, now: int, transaction: Transaction) -> None:
        parking.give_back(transaction, self._group, _places(self._counted))
        self._group.leave(transaction, now=now)

    # membership

    async def _attend(self) -> None:
        """Renew, claim and hand back, again and again."""
        while not self._closing:
            self._attend_now.clear()
            pause = self._terms.lease / 3
            try:
                await self._attend_once()
            except UnavailableError as error:
                _log.warning("group %r of topic %r cannot reach the database: %s", self.group, self.topic, error)
                pause = min(pause, PAUSE)
            self._cancel_overdue()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._attend_now.wait()

    async def _keep_beating(self) -> None:
        while True:
            self._beat()
            await asyncio.sleep(self._standstill / 3)

    async def _attend_once(self) -> None:
        spared = await self._spare()
        known = {part: holding.epoch for part, holding in self._held.items()}
        asked = self._loop.time()
        try:
            attended = await self._log.write(partial(self._attendance, known, _places(spared)))
        except UnavailableError:
            self._counted.update(spared)
            raise
        if self._closing:
            return
        self._lease_end = asked + self._terms.lease
        attendance = attended.attendance
        lost = [
            holding
            for part, epoch in known.items()
            if (holding := self._held.get(part)) is not None and holding.epoch == epoch and part not in attendance.held
        ]
        if lost:
            parts = ", ".join(str(holding.partition) for holding in lost)
            _log.warning("partitions %s of topic %r are another's now", parts, self.topic)
        for holding in lost:
            self._lose(holding)
        for claim in attendance.claims:
            self._take_on(claim, *attended.parked[claim.partition])
        self.heads(attended.heads)
        for number, entry in attended.returning:
            self._take_back(number, entry)
        surplus = sum(not holding.leaving for holding in self._held.values()) - attendance.share
        for holding in [holding for holding in self._held.values() if not holding.leaving][: max(0, surplus)]:
            holding.leaving = True
            self._hand_back(holding)

    def _attendance(
        self, known: Mapping[int, int], spared: Collection[tuple[int, int]], transaction: Transaction
    ) -> _Attended:
        group, now = self._group, self._log.now(transaction)
        parking.give_back(transaction, group, spared)
        until = now + int(self._terms.lease * MICROSECONDS)
        attendance = group.attend(transaction, known, partitions=self._partitions, now=now, until=until)
        return _Attended(
            attendance,
            {claim.partition: parking.load(transaction, group, claim.partition, now) for claim in attendance.claims},
            self._log.heads(transaction, self.topic),
            letters.returning(transaction, group),
        )

    def _take_on(self, claim: Claim, heads: Sequence[Parked], behind: Mapping[str, int]) -> None:
        holding = self._held[claim.partition] = Holding(claim, WINDOW)
        self._lagging.add(claim.partition)
        if holding.position != claim.position:
            self._touch(holding)
        if claim.partition in self._refused:
            self._refused.remove(claim.partition)
            holding.careful = True
        elif holding.careful:
            _log.warning(
                "%d processes in a row ended over partition %d of topic %r: its messages are started one at a time",
                claim.deaths,
                claim.partition,
                self.topic,
            )
        self._take_up(holding, heads, behind)

    def _hand_back(self, holding: Holding) -> None:
        if holding.running or holding.lost or self._closing:
            return
        self._flush()
        self._lose(holding)
        self._attend_now.set()  # what is held and not known is released there, after attempts are given back

    def _passed(self, holding: Holding) -> bool:
        return holding.position >= min(holding.suspect, self._heads.get(holding.partition, 0))

    # taking messages

    def appended(self, rows: Sequence[Row]) -> None:
        """Messages that this process has appended: those that are next are taken as they are."""
        heads, held = self._heads, self._held
        for row in rows:
            part, offset = row.partition, row.offset
            if offset >= heads.get(part, 0):
                heads[part] = offset + 1
            holding = held.get(part)
            if holding is None:
                continue
            if offset == holding.next and not holding.leaving and self._room(holding):
                self._take(holding, row)
            elif offset >= holding.next:
                self._lagging.add(part)
        self._wake()
        if self._lagging:
            self._catch_up()

    def heads(self, heads: Mapping[int, int]) -> None:
        """How far partitions reach by now, whoever has appended."""
        for part, head in heads.items():
            self._heads[part] = max(head, self._heads.get(part, 0))
            holding = self._held.get(part)
            if holding is not None:
                if holding.next < head:
                    self._lagging.add(part)
                if holding.careful:
                    self._forgive_if_done(holding)
        self._catch_up()

    def _room(self, holding: Holding) -> bool:
        return (
            self._buffered < BUFFER
            and self._bytes < BUFFER_BYTES
            and holding.next - holding.position < WINDOW
            and self._waiting < MOST_WAITING
        )

    def _take(self, holding: Holding, row: Row) -> None:
        offset = row.offset
        holding.next = offset + 1
        holding.scanned = row.number
        if offset in holding.stored:
            return
        lane = holding.lane(row.key)
        if lane.parked is not None:
            self._park(lane, [Parked(row.partition, offset, row.key, 0, None, row.number)])
        elif holding.careful and offset < holding.suspect:
            self._park(lane, [Parked(row.partition, offset, row.key, 0, self._log.clock.now(), row.number)])
        else:
            self._push(lane, Delivery(self, lane, row))

    def _catch_up(self) -> None:
        if not self._lagging or self._reading or self._closing:
            return
        if self._buffered > BUFFER // 2 or self._bytes > BUFFER_BYTES // 2:
            return
        held: dict[int, Holding] = {}
        for part in list(self._lagging):
            holding = self._held.get(part)
            if holding is None or holding.leaving or holding.next >= self._heads.get(part, 0):
                self._lagging.discard(part)
            elif self._room(holding):
                held[part] = holding
        if not held:
            return
        self._reading = True
        since = min(holding.scanned for holding in held.values())
        firsts = {part: (holding.next, self._heads[part]) for part, holding in held.items()}
        most = BUFFER - self._buffered
        future = self._log.writer.submit(
            lambda transaction: self._log.read(transaction, self.topic, held, since, most), durability="process"
        )
        self._log.later(future, partial(self._found, held, firsts))

    def _found(self, held: Mapping[int, Holding], firsts: Mapping[int, tuple[int, int]], done: Future[Scan]) -> None:
        self._reading = False
        if done.exception() is not None:
            self._loop.call_later(PAUSE, self._catch_up)
            return
        scan = done.result()
        full: set[int] = set()
        for row in scan.rows:
            holding = held[row.partition]
            if holding.lost or holding.leaving or row.offset < holding.next or row.partition in full:
                continue
            if not self._room(holding):
                full.add(row.partition)
                continue
            if row.offset > holding.next:
                holding.skip(row.offset)
            self._take(holding, row)
        for part in held.keys() - {row.partition for row in scan.rows}:
            holding = held[part]
            first, head = firsts[part]
            if holding.lost or holding.leaving or holding.next != first:
                continue
            if not scan.complete:  # there is something above, and whatever is still to be committed comes after it
                holding.scanned = max(holding.scanned, scan.last)
            else:  # nothing is left of what was there
                holding.skip(head)
                self._touch(holding)
        self._wake()
        self._catch_up()


def _places(deliveries: Iterable[Delivery]) -> list[tuple[int, int]]:
    return [(delivery.partition, delivery.offset) for delivery in deliveries]
