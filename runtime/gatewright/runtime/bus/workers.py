"""Workers: they take messages from the lanes in turn, and see to what becomes of each."""

from __future__ import annotations

import asyncio
import traceback
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gatewright.agents.envelopes import Message, Reject, Retry
from gatewright.agents.errors import UnavailableError
from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.store.writer import Transaction, arrival

from . import parking
from .composing import HANDLED
from .deliveries import Delivery, UnreadableError
from .holdings import Holding
from .letters import Letter, Reason
from .log import Entry
from .parking import Parked
from .settling import Postponed, Published, Refusal
from .waiting import Waiting

TURN = 64  # messages that a worker handles before it lets others have the event loop
STACK = 8000  # characters
AGAIN = 0.05  # seconds until a message that is started carefully is looked at again while its key is busy

Handler = Callable[[Delivery], Awaitable[Any]]
"""Handles a delivery; what it returns is the reply, where one is asked for."""


class UndoneError(Refusal):
    """What a handler wanted done in the settling transaction raised; `error` is what."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class LateError(Refusal):
    """The partition is another's now."""


class Workers(Waiting):
    """Has messages handled."""

    _handler: Handler
    _foreign: Callable[[Sequence[tuple[Message, Entry]]], Awaitable[None]]
    _one_at_a_time: asyncio.Semaphore

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        turn = 0
        while True:
            if not self._ready:
                waiter = self._loop.create_future()
                self._idle.append(waiter)
                try:
                    await waiter
                finally:
                    self._waking = False
                turn = 0
                continue
            lane = self._ready.popleft()
            if lane.holding.lost or lane.holding.leaving:
                self._drop(lane)
                continue
            if self._ready and self._idle:
                self._wake()
            now = self._loop.time()
            if self._expired(now):
                self._drop(lane)
                continue
            await self._handle(self._pop(lane), task, now)
            self._catch_up()
            turn += 1
            if turn >= TURN:
                turn = 0
                await asyncio.sleep(0)

    async def _handle(self, delivery: Delivery, task: asyncio.Task[None], now: float) -> None:
        """Have a message handled, and settle it or let it wait."""
        lane = delivery.lane
        holding = lane.holding
        if delivery.parked:
            self._beat()
        lane.running = True
        holding.running += 1
        self._running[task] = delivery
        delivery.expected = now + self.timeout
        HANDLED.set(delivery)
        try:
            if self.schemas.typed:
                delivery.check()
            if (deadline := delivery.deadline) is not None and delivery.message.expired():
                detail = f"its deadline was {deadline.isoformat()}"
                self._bury(delivery, Letter.of(delivery.row, "expired", detail, None, delivery.attempt - 1))
            else:
                reply = await self._handler(delivery)
                if delivery.given_up:
                    raise TimeoutError(delivery.given_up)
                if delivery.plain:
                    self._settled(delivery)
                else:
                    await self._acknowledge(delivery, reply)
        except asyncio.CancelledError:
            if self._closing or not delivery.given_up:
                raise
            self._fail(delivery, TimeoutError(delivery.given_up))
        except Exception as error:
            self._fail(delivery, error)
        finally:
            if delivery.given_up:
                task.uncancel()
            if delivery.parked:
                self._beat()
            del self._running[task]
            lane.running = False
            holding.running -= 1
            if lane.works:
                self._ready.append(lane)
            else:
                holding.tidy(lane)
            if holding.leaving and not holding.running:
                self._hand_back(holding)

    def _cancel_overdue(self) -> None:
        """Take messages away from handlers that have had them for too long."""
        now = self._loop.time()
        for task, delivery in self._running.items():
            if now >= delivery.expected and not (delivery.given_up or delivery.acknowledging):
                delivery.given_up = (
                    f"the handler took more than its {self.timeout:g} s; call delivery.extend() where it needs longer"
                )
                task.cancel()

    # what becomes of messages

    async def _acknowledge(self, delivery: Delivery, reply: Any) -> None:
        if (reply_to := delivery.reply_to) is not None:
            self._answer(delivery, reply_to, reply)
        delivery.acknowledging = True
        if delivery.foreign:
            await self._foreign(delivery.foreign)
        if delivery.works:
            await self._transact(delivery, delivery.works)
            return
        if delivery.holding.lost:
            return
        if delivery.entries:
            batch = self._touch(delivery.holding, urgent=True)
            batch.published += [Published(delivery.partition, entry) for entry in delivery.entries]
        self._settled(delivery)

    def _answer(self, delivery: Delivery, reply_to: str, reply: Any) -> None:
        request = delivery.message
        topic, _, name = reply_to.partition("/")
        key = name or request.key
        if isinstance(reply, Message):
            reply = reply.replace(
                key=key,
                tenant=request.tenant,
                traceparent=request.traceparent,
                causation_id=request.id,
                correlation_id=request.id,
            )
            _, entry = self.composer.compose(topic, reply)
        else:
            type_, data = self.schemas.plain(f"{request.type}.reply", reply)
            _, entry = self.composer.compose(topic, data, type=type_, key=key, correlation_id=request.id)
        delivery.entries = [*(delivery.entries or ()), entry]

    async def _transact(self, delivery: Delivery, works: Sequence[Callable[[Transaction], object]]) -> None:
        """Settle a message by itself, together with what its handler wanted done."""
        holding = delivery.holding
        self._flush()
        stand = holding.stand()

        def operation(transaction: Transaction) -> None:
            if not self._group.fence(transaction, [stand]):
                raise LateError(f"partition {stand.partition} of topic {self.topic!r} is another's now")
            try:
                for wanted in works:
                    wanted(transaction)
            except Exception as error:
                raise UndoneError(error) from error
            if delivery.parked:
                parking.drop(transaction, self._group, delivery.partition, delivery.offset)
            else:
                self._group.store(transaction, [(delivery.partition, delivery.offset)])
            if delivery.entries:
                self._log.put(transaction, delivery.entries)

        try:
            await arrival(self._submit(operation, durable=self._settings.durability == "disk"))
        except UndoneError as undone:
            raise undone.error from None
        except LateError:
            self._lose(holding)
        except Exception as error:
            self._break(error, [delivery], [delivery.partition])
        else:
            if not delivery.parked:
                holding.stored.add(delivery.offset)
            self._settled(delivery, dropped=True)

    def _settled(self, delivery: Delivery, *, dropped: bool = False) -> None:
        lane = delivery.lane
        holding = lane.holding
        if holding.lost:
            return
        batch = self._touch(holding)
        if not delivery.parked:
            holding.settle(delivery.row.offset, delivery.row.number)
            if holding.careful:
                self._forgive_if_done(holding)
            return
        if dropped:
            self._counted.discard(delivery)
        else:
            batch.dropped.append((holding.partition, delivery.offset))
            batch.outcomes.append(delivery)
        if lane.behind:
            batch.advanced.append(lane)
            self._touch(holding, urgent=True)
        else:
            self._resume(lane)

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        """Try again later, or give the message up."""
        lane, row, attempt = delivery.lane, delivery.row, delivery.attempt
        if lane.holding.lost:
            return
        if isinstance(error, Reject):
            reason: Reason = "invalid" if isinstance(error, UnreadableError) else "rejected"
            self._bury(delivery, Letter.of(row, reason, str(error), None, attempt))
            return
        if attempt >= self._settings.attempts:
            asked = isinstance(error, Retry)
            detail = str(error) if asked else f"{type(error).__name__}: {error}"
            stack = None if asked else "".join(traceback.format_exception(error))[-STACK:]
            self._bury(delivery, Letter.of(row, "attempts", detail, stack, attempt))
            return
        after = error.after if isinstance(error, Retry) else None
        seconds = self._settings.delay(attempt) if after is None else after
        due = self._log.clock.now() + int(seconds * MICROSECONDS)
        part, offset, number = row.partition, row.offset, row.number
        if delivery.parked:
            batch = self._touch(lane.holding)
            batch.postponed.append(Postponed(part, offset, due))
            batch.outcomes.append(delivery)
            self._wait_for(lane, Parked(part, offset, lane.key, attempt, due, number or None))
            return
        later = [
            Parked(part, left.row.offset, lane.key, 0, None, left.row.number) for left in lane.works if not left.parked
        ]
        self._drop(lane)
        self._park(lane, [Parked(part, offset, lane.key, attempt, due, number), *later])

    # one at a time

    async def _work_carefully(self) -> None:
        """Start what may have killed processes one at a time, of all that this process does."""
        task = asyncio.current_task()
        assert task is not None
        while True:
            while not self._careful:
                self._careful_wake.clear()
                await self._careful_wake.wait()
            lane = self._careful.popleft()
            if lane.holding.lost or lane.holding.leaving or lane.parked is None:
                continue
            if lane.running or lane.works:
                due = self._log.clock.now() + int(AGAIN * MICROSECONDS)
                self._wait_for(lane, lane.parked._replace(due=due))
                continue
            async with self._one_at_a_time:
                try:
                    (counted,) = await arrival(self._start([(lane, lane.parked)]))
                    delivery = self._begun(lane, counted)
                    if delivery is not None and not self._expired(now := self._loop.time()):
                        await self._handle(delivery, task, now)
                    self._flush()
                    await self._log.write(lambda _: None)  # what became of it is durable
                except UnavailableError as error:
                    self._break(error)

    @abstractmethod
    def _catch_up(self) -> None:
        """Read what is in the database and not in memory, if there is room for it."""

    @abstractmethod
    def _hand_back(self, holding: Holding) -> None:
        """Let others have a partition of which nothing runs any more."""
