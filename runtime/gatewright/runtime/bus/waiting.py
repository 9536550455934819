"""Messages that wait for another attempt: parked in the database, started when they are due."""

from __future__ import annotations

import asyncio
import heapq
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial

import orjson

from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.store.writer import Transaction

from . import parking
from .deliveries import Delivery
from .holdings import Holding, Lane
from .letters import Letter
from .log import Row
from .member import Member
from .parking import Parked
from .settling import Redriven

AT_ONCE = 64  # parked messages started by one operation

_log = logging.getLogger(__name__)


class Waiting(Member, ABC):
    """Parks messages and starts them again."""

    _due: list[tuple[int, int, Lane]]
    _order: Iterator[int]
    _careful: deque[Lane]
    _careful_wake: asyncio.Event
    _timer: asyncio.TimerHandle | None = None
    _starting: dict[Future[list[Delivery | None]], list[Holding]]
    _standstill: float  # seconds, in which the event loop does nothing, that may cost a lease
    _beaten: float  # when it was seen to move, by its own clock

    @abstractmethod
    def _settled(self, delivery: Delivery) -> None:
        """Count a message as settled, and let the next one of its key have its turn."""

    def _park(self, lane: Lane, parked: Sequence[Parked]) -> None:
        """Let messages wait in the database; the first of them is the one that is due, unless one waits already."""
        holding = lane.holding
        self._touch(holding).parked += parked
        for entry in parked:
            assert entry.number is not None
            holding.settle(entry.offset, entry.number)
        if lane.parked is None:
            lane.behind += len(parked) - 1
            self._wait_for(lane, parked[0])
        else:
            lane.behind += len(parked)

    def _wait_for(self, lane: Lane, parked: Parked) -> None:
        """Start this message when it is due; what comes after it of its key waits."""
        assert parked.due is not None
        lane.parked = parked
        if lane not in lane.holding.waiting:
            lane.holding.waiting.add(lane)
            self._waiting += 1
        heapq.heappush(self._due, (parked.due, next(self._order), lane))
        self._set_timer()

    def _resume(self, lane: Lane) -> None:
        """Go on with a key of which nothing waits any more."""
        lane.parked, lane.behind = None, 0
        holding = lane.holding
        holding.waiting.discard(lane)
        self._waiting -= 1
        self._forgive_if_done(holding)

    def _advanced(self, lane: Lane, parked: Parked | None) -> None:
        if parked is None:
            _log.error("%d messages of key %r of topic %r were lost sight of", lane.behind, lane.key, self.topic)
            self._lose(lane.holding)
            return
        lane.behind -= 1
        self._wait_for(lane, parked)

    def _take_up(self, holding: Holding, heads: Sequence[Parked], behind: Mapping[str, int]) -> None:
        """Go on with what waits in a partition that was claimed."""
        for entry in heads:
            lane = holding.lane(entry.key)
            lane.behind = 0 if entry.key is None else behind.get(entry.key, 0)
            self._wait_for(lane, entry)

    def _take_back(self, number: int, entry: Parked) -> None:
        """Park a dead letter that is redriven."""
        holding = self._held.get(entry.partition)
        if holding is None or holding.leaving or number in holding.returning:
            return
        holding.returning.add(number)
        lane = holding.lane(entry.key)
        if lane.parked is not None:
            lane.behind += 1
        else:
            entry = entry._replace(due=self._log.clock.now())
            self._wait_for(lane, entry)
        self._touch(holding).redriven.append(Redriven(number, entry))

    # starting

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and not self._closing:
            wait = (self._due[0][0] - self._log.clock.now()) / MICROSECONDS
            self._timer = self._loop.call_later(max(0.0, wait), self._start_due)

    def _start_due(self) -> None:
        now = self._log.clock.now()
        due: list[tuple[Lane, Parked]] = []
        while self._due and self._due[0][0] <= now and len(due) < AT_ONCE:
            at, _, lane = heapq.heappop(self._due)
            if lane.holding.lost or lane.holding.leaving or lane.parked is None or lane.parked.due != at:
                continue
            if lane.holding.careful:
                self._careful.append(lane)
                self._careful_wake.set()
            else:
                due.append((lane, lane.parked))
        self._set_timer()
        if due:
            self._log.later(self._start(due), partial(self._started, due))

    def _start(self, due: Sequence[tuple[Lane, Parked]]) -> Future[list[Delivery | None]]:
        """Count an attempt of these messages, where their partitions are still held."""
        self._flush()
        stands = {lane.holding.partition: lane.holding.stand() for lane, _ in due}

        def start(transaction: Transaction) -> list[Delivery | None]:
            held = self._group.fence(transaction, list(stands.values()))
            return [
                self._count(transaction, lane, parked) if parked.partition in held else None for lane, parked in due
            ]

        future = self._submit(start)
        self._starting[future] = [lane.holding for lane, _ in due]
        self._log.later(future, self._note_counted)  # even if whoever waits for it is cancelled
        return future

    def _count(self, transaction: Transaction, lane: Lane, parked: Parked) -> Delivery | None:
        started = parking.start(transaction, self._group, parked)
        if started is None:
            return None
        _, attempts, body = started
        row = Row(parked.number or 0, self.topic, parked.partition, parked.offset, _id(body), parked.key, body, 0)
        return Delivery(self, lane, row, attempts, parked=True)

    def _note_counted(self, done: Future[list[Delivery | None]]) -> None:
        del self._starting[done]
        if done.exception() is None:
            self._counted.update(delivery for delivery in done.result() if delivery is not None)

    def _started(self, due: Sequence[tuple[Lane, Parked]], done: Future[list[Delivery | None]]) -> None:
        if (error := done.exception()) is not None:
            self._break(error)
            return
        for (lane, _), delivery in zip(due, done.result(), strict=True):
            if (begun := self._begun(lane, delivery)) is not None:
                self._push(lane, begun)
        self._wake()

    def _begun(self, lane: Lane, delivery: Delivery | None) -> Delivery | None:
        """What is to be handled of a message whose attempt was counted; None where it is not to be."""
        holding = lane.holding
        if holding.lost:
            return None
        if delivery is None:  # somebody else has the partition, or had it meanwhile
            self._lose(holding)
            self._attend_now.set()
            return None
        last = delivery.attempt - 1
        if last >= self._settings.attempts:
            detail = (
                f"nothing came of its attempt number {last}, which was the last one: meanwhile the process ended, or "
                "stood still until its lease was over, or the database refused what came of it"
            )
            self._bury(delivery, Letter.of(delivery.row, "crash", detail, None, last))
            return None
        return delivery

    # giving attempts back

    def _beat(self) -> None:
        """Notice whether the event loop stood still: a message that ran meanwhile may have done that, so that its
        attempt stays counted. Called again and again, and whenever a parked message begins and ends to run."""
        now = self._loop.time()
        if now - self._beaten > self._standstill:
            self._counted.difference_update(self._running.values())
        self._beaten = now

    async def _spare(self) -> list[Delivery]:
        """Messages whose attempts are to be given back: nothing comes of them any more, and this process lives."""
        known: set[Holding] = set()
        while not (lost := self._lost()) <= known:
            await self._log.write(lambda _: None)  # after it, it is known what was counted there and what came of it
            known = lost
        self._beat()
        spared = [delivery for delivery in self._counted if delivery.holding.lost]
        self._counted.difference_update(spared)
        return spared

    def _lost(self) -> set[Holding]:
        """Partitions that are lost with attempts of which it is not written what came of them."""
        holdings = {delivery.holding for delivery in self._counted}
        return {holding for holding in holdings.union(*self._starting.values()) if holding.lost}

    def _bury(self, delivery: Delivery, letter: Letter) -> None:
        """Make a dead letter of a message."""
        _log.error(
            "message %s of topic %r is a dead letter of group %r (%s): %s",
            letter.message_id,
            self.topic,
            self.group,
            letter.reason,
            letter.detail,
        )
        self._touch(delivery.holding).letters.append(letter)
        self._settled(delivery)

    # what may have killed processes

    def _forgive_if_done(self, holding: Holding) -> None:
        """Go on as usual once all is settled that may have killed a process."""
        if holding.careful and not holding.waiting and not holding.lost and self._passed(holding):
            holding.careful = False
            self._flush()
            self._submit(lambda transaction: self._group.forgive(transaction, holding.partition, holding.epoch))

    @abstractmethod
    def _passed(self, holding: Holding) -> bool:
        """Whether the position has passed all that is suspect."""


def _id(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
