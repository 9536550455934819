"""The outbox on its way to Kafka: whole batches in the order of the log, as a member of a group like any other.

A handler for each message would keep the order of keys by waiting for Kafka between two messages of a key. Kafka keeps
it for all that is sent in order, so many are under way at once; positions move when all of a batch have arrived. While
one batch is on its way, the one before it is noted and the next one gathers: what this process publishes is taken as
it is told, and only what was published by others, or did not fit, is read from the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.bus import letters
from gatewright.runtime.bus.cursors import Attendance, Group, Stand
from gatewright.runtime.bus.letters import Letter
from gatewright.runtime.bus.log import Log, Row
from gatewright.runtime.bus.parking import Parked
from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.store.writer import Transaction

MOST = 1024  # messages of a batch
READY = 2 * MOST  # messages that wait in memory
READY_BYTES = 16 << 20
LEASE = 5.0  # seconds
PAUSE = 1.0  # seconds, after the database was away
GATHER = 0.02  # seconds from one batch to the next, at least: Kafka's cost is by the batch, of each partition
BUSY = 32  # messages gathered by then, from which on there are more in the time to come:
GATHER_MORE = 0.05  # seconds

_log = logging.getLogger(__name__)


@dataclass
class _Place:
    """How far a partition is taken that this process holds: what is left of it has numbers above `since`.

    `settled` is the same for what Kafka has, and what the database knows.
    """

    epoch: int
    position: int
    since: int
    settled: tuple[int, int]

    def rewind(self) -> None:
        """Begin again with what Kafka may not have."""
        self.position, self.since = self.settled


class _Batch(NamedTuple):
    """Messages in the order of the log, and the places they are of."""

    rows: list[Row]
    places: dict[int, _Place]


class _Carried(NamedTuple):
    """A batch that has come to an end: what will never be taken of it."""

    batch: _Batch
    refused: Sequence[Refused]


class _Attended(NamedTuple):
    attendance: Attendance
    returning: list[tuple[int, Parked]]
    heads: dict[int, int]


class Refused(NamedTuple):
    """A message that will never be taken, and why."""

    row: Row
    reason: str


class Relay:
    """Gives the messages of one topic to `send`, which returns when they have arrived, however long that takes.

    What it says will never be taken becomes a dead letter.
    """

    def __init__(self, log: Log, group: Group, send: Callable[[Sequence[Row]], Awaitable[list[Refused]]]) -> None:
        self._log = log
        self._group = group
        self._send = send
        self._places: dict[int, _Place] = {}
        self._heads: dict[int, int] = {}
        self._ready: deque[tuple[_Place, Row]] = deque()
        self._size = 0  # bytes of what is ready
        self._news = asyncio.Event()
        self._partitions = 0
        self._returning: list[tuple[int, Parked]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Join the group and begin."""
        self._partitions = await self._log.declare(self._group.topic)
        await self._log.write(lambda transaction: self._group.begin(transaction, "earliest"))
        self._log.listen(self._group.topic, self)
        self._tasks = [asyncio.create_task(self._stay()), asyncio.create_task(self._carry())]

    async def close(self) -> None:
        """Hand the partitions back. What was under way is sent again, unless its arrival was noted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._log.unlisten(self._group.topic, self)
        with suppress(UnavailableError):  # then the lease will be over by itself
            now = self._log.clock.now()
            await self._log.write(lambda transaction: self._group.leave(transaction, now=now))

    def appended(self, rows: Sequence[Row]) -> None:
        """Messages have been published by this process: those that are next are taken as they are."""
        heads, places = self._heads, self._places
        for row in rows:
            part, offset = row.partition, row.offset
            if offset >= heads.get(part, 0):
                heads[part] = offset + 1
            place = places.get(part)
            if place is not None and offset == place.position and self._room():
                self._take(place, row)
        self._news.set()

    def heads(self, heads: Mapping[int, int]) -> None:
        """Messages may have been published, by whomever."""
        for part, head in heads.items():
            self._heads[part] = max(head, self._heads.get(part, 0))
        if self._behind():
            self._news.set()

    def _room(self) -> bool:
        return len(self._ready) < READY and self._size < READY_BYTES

    def _take(self, place: _Place, row: Row) -> None:
        place.position, place.since = row.offset + 1, row.number
        self._ready.append((place, row))
        self._size += len(row.body)

    def _behind(self) -> dict[int, _Place]:
        """The places of which the log has more than was taken."""
        heads = self._heads
        return {part: place for part, place in self._places.items() if place.position < heads.get(part, 0)}

    async def _stay(self) -> None:
        while True:
            try:
                await self._attend()
            except UnavailableError as error:
                _log.warning("the outbox cannot reach the database: %s", error)
            await asyncio.sleep(LEASE / 3)

    async def _attend(self) -> None:
        known = {part: place.epoch for part, place in self._places.items()}

        def attend(transaction: Transaction) -> _Attended:
            now = self._log.now(transaction)
            until = now + int(LEASE * MICROSECONDS)
            attended = self._group.attend(transaction, known, partitions=self._partitions, now=now, until=until)
            surplus = list(attended.held)[attended.share :]
            self._group.release(transaction, {part: attended.held.pop(part) for part in surplus})
            heads = self._log.heads(transaction, self._group.topic)
            return _Attended(attended, letters.returning(transaction, self._group), heads)

        attended, self._returning, heads = await self._log.write(attend)
        for part, epoch in known.items():
            if part not in attended.held:
                self._forget(part, epoch)
        for claim in attended.claims:
            stand = (claim.position, claim.since)
            self._places[claim.partition] = _Place(claim.epoch, *stand, settled=stand)
        self.heads(heads)
        self._news.set()

    def _forget(self, part: int, epoch: int) -> None:
        place = self._places.get(part)
        if place is not None and place.epoch == epoch:
            del self._places[part]

    async def _carry(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._carry_all()
            except UnavailableError as error:
                _log.warning("the outbox cannot reach the database: %s", error)
            except Exception:
                _log.exception("the outbox begins anew")
            else:
                await self._news.wait()
                continue
            self._rewind()
            await asyncio.sleep(PAUSE)

    def _rewind(self) -> None:
        """Begin again with what Kafka may not have, and read it."""
        self._ready.clear()
        self._size = 0
        for place in self._places.values():
            place.rewind()

    async def _carry_all(self) -> None:
        """Bring all that there is to Kafka, one batch after the other."""
        await self._carry_back()
        batch, carried = await self._next(), None
        while batch is not None or carried is not None:
            await self._carry_back()
            sent, following, noted = await asyncio.gather(
                self._send(batch.rows if batch is not None else []),
                self._gathered(),
                self._settle(carried),
                return_exceptions=True,
            )  # whatever fails: while a batch is on its way, no other may be sent
            if isinstance(sent, BaseException):
                raise sent
            if isinstance(following, BaseException):
                raise following
            if isinstance(noted, BaseException):
                raise noted
            carried = None if batch is None else _Carried(batch, sent)
            batch = following

    async def _gathered(self) -> _Batch | None:
        """The next batch, after some time: a batch of few messages costs hardly less than one of many."""
        await asyncio.sleep(GATHER)
        if BUSY <= len(self._ready) < MOST:
            await asyncio.sleep(GATHER_MORE)
        return await self._next()

    async def _next(self) -> _Batch | None:
        """The next batch; None where there is none."""
        while (behind := self._behind()) and len(self._ready) < MOST and self._size < READY_BYTES:
            await self._read(behind)
        batch = _Batch([], {})
        while self._ready and len(batch.rows) < MOST:
            place, row = self._ready.popleft()
            self._size -= len(row.body)
            if self._places.get(row.partition) is place:  # else another has the partition, or had it meanwhile
                batch.rows.append(row)
                batch.places[row.partition] = place
        return batch if batch.rows else None

    async def _carry_back(self) -> None:
        """Carry dead letters that were redriven; what is refused again is a dead letter again."""
        returning, self._returning = self._returning, []
        for number, parked in returning:
            if not await self._log.write(partial(letters.take, number=number)):
                continue
            row = Row(0, self._group.topic, parked.partition, parked.offset, "", parked.key, parked.body or b"", 0)
            if refused := await self._send([row]):
                await self._log.write(partial(self._bury, refused=refused))

    async def _read(self, behind: Mapping[int, _Place]) -> None:
        """Take what follows in these places, from the database."""
        firsts = {part: (place.position, self._heads[part]) for part, place in behind.items()}
        since = min(place.since for place in behind.values())
        scan = await self._log.write(
            lambda transaction: self._log.read(transaction, self._group.topic, behind, since, MOST)
        )
        for row in scan.rows:
            place = behind[row.partition]
            if row.offset >= place.position and self._places.get(row.partition) is place:
                self._take(place, row)
        for part in behind.keys() - {row.partition for row in scan.rows}:
            place, (first, head) = behind[part], firsts[part]
            if place.position != first:
                continue
            if scan.complete:  # nothing is left of what was there
                place.position = head
            else:  # what is left of it, or will be committed, has numbers above
                place.since = max(place.since, scan.last)

    def _bury(self, transaction: Transaction, *, refused: Sequence[Refused]) -> None:
        dead = [Letter.of(row, "rejected", reason, None, 1) for row, reason in refused]
        letters.add(transaction, self._group, dead, now=self._log.clock.now())

    async def _settle(self, carried: _Carried | None) -> None:
        """Note that a batch has been carried."""
        if carried is None:
            return
        (rows, places), refused = carried
        last = {row.partition: row for row in rows}
        stands = [
            Stand(part, places[part].epoch, row.offset + 1, row.number)
            for part, row in last.items()
            if self._places.get(part) is places[part]
        ]

        def settle(transaction: Transaction) -> set[int]:
            held = self._group.fence(transaction, stands)
            self._bury(transaction, refused=[each for each in refused if each.row.partition in held])
            return held

        held = await self._log.write(settle)
        for stand in stands:
            if stand.partition in held:
                places[stand.partition].settled = (stand.position, stand.since)
            else:
                self._forget(stand.partition, stand.epoch)
