"""A member of a consumer group: the partitions it holds, what waits in memory, and the batch that settles it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from gatewright.agents.errors import ConflictError, UnavailableError
from gatewright.runtime.store.writer import Transaction

from .composing import Composer
from .cursors import Group
from .deliveries import Delivery
from .holdings import Holding, Lane
from .log import Log
from .parking import Parked
from .settling import Batch, Chain, Notes, Refusal, Settled, settle
from .topics import Topic

T = TypeVar("T")

LINGER = 0.005  # seconds that what is settled may stay in memory, if nobody waits for it

_log = logging.getLogger(__name__)


class Member:
    """What is common to taking, handling and settling messages."""

    def __init__(
        self,
        log: Log,
        group: Group,
        composer: Composer,
        settings: Callable[[str], Topic],
        *,
        timeout: float,
        elsewhere: Callable[[str], bool],
    ) -> None:
        self.topic = group.topic
        self.group = group.name
        self.composer = composer
        self.schemas = composer.schemas(group.topic)
        self.timeout = timeout
        self._elsewhere = elsewhere
        self._log = log
        self._group = group
        self._settings = settings(group.topic)
        self._all_settings = settings
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._held: dict[int, Holding] = {}
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._ready: deque[Lane] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._buffered = 0  # messages that wait in memory
        self._bytes = 0
        self._waiting = 0  # lanes with a parked message
        self._batch = Batch()
        self._flushing: asyncio.TimerHandle | None = None
        self._pending = 0  # batches on their way
        self._chain = Chain()
        self._attend_now = asyncio.Event()
        self._lease_end = math.inf  # by the event loop's clock
        self._counted: set[Delivery] = set()  # parked messages of whose counted attempts nothing is written yet
        self._refused: set[int] = set()  # partitions of which the database refused what was done

    def elsewhere(self, topic: str) -> bool:
        """Whether messages of that topic are kept in another database than those of this subscription."""
        return self._elsewhere(topic)

    # what waits in memory

    def _push(self, lane: Lane, work: Delivery) -> None:
        """Let a message wait for a worker."""
        self._buffered += 1
        self._bytes += len(work.row.body)
        lane.works.append(work)
        if not lane.running and len(lane.works) == 1:
            self._ready.append(lane)

    def _pop(self, lane: Lane) -> Delivery:
        work = lane.works.popleft()
        self._buffered -= 1
        self._bytes -= len(work.row.body)
        return work

    def _drop(self, lane: Lane) -> None:
        """Forget what waits in a lane."""
        while lane.works:
            self._pop(lane)

    def _wake(self) -> None:
        """Wake a worker if there is something for it; it wakes the next one."""
        while self._ready and self._idle and not self._waking:
            waiter = self._idle.popleft()
            if not waiter.done():
                self._waking = True
                waiter.set_result(None)

    # settling

    def _touch(self, holding: Holding, *, urgent: bool = False) -> Batch:
        """The batch, in which this partition takes part; it is written soon, or at once where somebody waits for it."""
        batch = self._batch
        batch.holdings[holding.partition] = holding
        if self._flushing is None:
            self._flushing = self._loop.call_later(LINGER, self._flush)
        if urgent and not batch.urgent:
            batch.urgent = True
            self._loop.call_soon(self._flush)
        return batch

    def _flush(self) -> None:
        """Write the batch."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        batch = self._batch
        if not batch.holdings:
            return
        self._batch = Batch()
        stands, notes, now = batch.stands(), Notes.take(list(batch.holdings.values())), self._log.clock.now()
        durable = any(self._all_settings(published.entry.topic).durability == "disk" for published in batch.published)
        self._pending += 1
        future = self._submit(
            partial(settle, log=self._log, group=self._group, batch=batch, stands=stands, notes=notes, now=now),
            urgent=batch.urgent,
            durable=durable,
        )
        self._log.later(future, partial(self._written, batch))

    def _submit(self, work: Callable[[Transaction], T], *, urgent: bool = True, durable: bool = False) -> Future[T]:
        """An operation that is carried out only if all before it were."""
        chain = self._chain
        number = chain.link()

        def operation(transaction: Transaction) -> T:
            chain.begin(number)
            try:
                value = work(transaction)
            except Refusal:  # nothing was to be built on it
                chain.end(number)
                raise
            chain.end(number)
            return value

        future = self._log.writer.submit(operation, urgent=urgent, durability="disk" if durable else "process")
        future.add_done_callback(chain.watch)
        return future

    def _written(self, batch: Batch, done: Future[Settled]) -> None:
        self._pending -= 1
        if (error := done.exception()) is not None:
            self._break(error, batch.outcomes, batch.holdings)
            return
        settled = done.result()
        self._counted.difference_update(outcome for outcome in batch.outcomes if outcome.partition in settled.held)
        for part, holding in batch.holdings.items():
            if part not in settled.held and not holding.lost:
                _log.warning("what was done of partition %d of topic %r came too late", part, self.topic)
                self._lose(holding)
                self._attend_now.set()
        for lane in batch.advanced:
            if not lane.holding.lost and lane.key is not None:
                self._advanced(lane, settled.next.get((lane.holding.partition, lane.key)))

    def _advanced(self, lane: Lane, parked: Parked | None) -> None:
        """Go on with the next message of a key that waits in the database."""
        raise NotImplementedError

    # partitions that are not ours any more

    def _lose(self, holding: Holding) -> None:
        """Forget a partition that somebody else may have by now."""
        if holding.lost:
            return
        holding.lost = True
        self._waiting -= len(holding.waiting)
        if self._held.get(holding.partition) is holding:
            del self._held[holding.partition]
        if holding.partition in self._batch.holdings:
            self._batch.forget(holding.partition)
        self._withdraw([holding])

    def _expired(self, now: float) -> bool:
        """Whether the leases are over, because the process was stopped or the database away: then nothing more is
        begun, since others may have begun it."""
        if now < self._lease_end:
            return False
        _log.warning("group %r of topic %r could not renew its leases in time", self.group, self.topic)
        for holding in list(self._held.values()):
            self._lose(holding)
        self._lease_end = math.inf
        self._attend_now.set()
        return True

    def _withdraw(self, holdings: Sequence[Holding]) -> None:
        """Take messages of these partitions away from their handlers."""
        for task, delivery in self._running.items():
            if delivery.holding in holdings and not delivery.acknowledging:
                delivery.given_up = "its partition is another's now"
                task.cancel()

    def _break(self, error: BaseException, outcomes: Iterable[Delivery] = (), partitions: Iterable[int] = ()) -> None:
        """Begin anew: something was not written that everything after it was built on.

        Where the database is there, and refuses these `outcomes`, their attempts stay counted: they may be why. So may
        any other message of these `partitions`, which are started one at a time until it is known.
        """
        if not isinstance(error, UnavailableError):
            self._counted.difference_update(outcomes)
            self._refused.update(partitions)
        if self._closing:
            return
        if not isinstance(error, ConflictError):
            _log.warning("group %r of topic %r begins anew: %s", self.group, self.topic, error)
        for holding in list(self._held.values()):
            self._lose(holding)
        self._batch = Batch()
        self._chain.broken = True
        self._chain = Chain()
        self._attend_now.set()
