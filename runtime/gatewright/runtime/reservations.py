"""What calls under way may take of budgets, in a database that several processes share.

There a limit holds for all processes together: who reserves an amount has the budget's holder locked, and sees what is
used and what is reserved by whoever is alive. Nothing is reserved any more for a process that was found lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import sqlalchemy as sa

from gatewright.safety.limits.budgets import Counter

from .clock import MICROSECONDS
from .counters import Holder
from .courses import Step
from .store import locks, schema
from .store.writer import Transaction, Writer

FORGOTTEN = 600 * MICROSECONDS  # after that a reservation is dropped whose run is not executed any more

_RESERVATION = schema.Reservation.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_READ = sa.text(  # one statement, so that an amount is either reserved or used, and not neither
    "WITH asked AS (SELECT DISTINCT * FROM unnest(CAST(:deployments AS text[]), CAST(:budgets AS text[]),"
    " CAST(:holders AS text[])) AS asked (deployment, budget, holder))"
    " SELECT deployment, budget, holder, slot, used FROM meter JOIN asked USING (deployment, budget, holder)"
    " UNION ALL SELECT deployment, budget, holder, NULL, CAST(sum(amount) AS bigint)"
    " FROM reservation JOIN asked USING (deployment, budget, holder)"
    " JOIN worker ON worker.id = reservation.worker AND worker.state IN ('alive', 'draining')"
    " GROUP BY deployment, budget, holder"
)
_INSERT = sa.insert(_RESERVATION)
_DELETE = sa.text("DELETE FROM reservation WHERE id = ANY (CAST(:ids AS text[]))")
_PRUNE = sa.text(
    "DELETE FROM reservation WHERE NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = reservation.worker"
    " AND worker.state IN ('alive', 'draining')) OR created_at < :before AND NOT EXISTS (SELECT 1 FROM run"
    " WHERE run.id = reservation.run_id AND run.holder = reservation.worker AND run.status = 'running')"
)


class Amount(NamedTuple):
    """What is reserved for a call of one holder's budget."""

    holder: Holder
    amount: int


class Weighing(Protocol):
    """What the limits say to a call. `wanted`: what is to be reserved; None where it may not be made as it is."""

    @property
    def wanted(self) -> Sequence[Amount] | None: ...


Weigh = Callable[[Sequence[Counter]], Any]
"""Makes a `Weighing` of the counters of a call, in the order of their holders. It may be called several times."""


@dataclass
class Booking:
    """A call that asks for room; `weighing` is what its `weigh` made, once that is durable."""

    id: str
    deployment: str
    run_id: str
    worker: str
    holders: Sequence[Holder]
    weigh: Weigh
    now: int
    weighing: Any = None


class Reservations:
    """The reservations of one deployment that this process makes."""

    def __init__(self, deployment: str, writer: Writer, worker: Callable[[], str]) -> None:
        """`worker`: as whom this process works now."""
        self._deployment = deployment
        self._writer = writer
        self._worker = worker
        self._lock = threading.Lock()
        self._released: list[str] = []

    def book(self, run_id: str, holders: Sequence[Holder], weigh: Weigh, *, now: int) -> Generator[Step, Any, Booking]:
        """Weigh a call, and reserve what it is found to want."""
        booking = Booking(uuid4().hex, self._deployment, run_id, self._worker(), holders, weigh, now)

        def ask(transaction: Transaction) -> Booking:
            transaction.gather(book_amounts, [booking])
            return booking

        # What may change the world is intended after this, and that is on the disk only together with it.
        asked = self._writer.submit(ask, durability="process")
        try:
            booked: Booking = yield asked
            return booked
        except BaseException:  # nobody waits for it any more
            asked.add_done_callback(self._abandon)
            raise

    def _abandon(self, asked: Future[Booking]) -> None:
        if asked.exception() is None:
            self.release(asked.result().id)

    def release(self, booking: str) -> None:
        """Give back what was reserved for a call that was not made."""
        with self._lock:
            self._released.append(booking)
        self._writer.submit(self._give_back, urgent=False, durability="process").add_done_callback(self._given_back)

    def _give_back(self, transaction: Transaction) -> list[str]:
        with self._lock:
            released = list(self._released)  # those too that could not be given back before
        transaction.run(_DELETE, ids=released)
        return released

    def _given_back(self, done: Future[list[str]]) -> None:
        if done.exception() is None:
            gone = set(done.result())
            with self._lock:
                self._released = [booking for booking in self._released if booking not in gone]


def book_amounts(transaction: Transaction, bookings: list[Booking]) -> None:
    """Weigh calls one after the other, with their holders locked, and reserve what they want."""
    keys = [(booking.deployment, *holder.key) for booking in bookings for holder in booking.holders]
    locks.lock(transaction, "budget", {"\n".join(key) for key in keys})
    slots: dict[tuple[str, ...], list[tuple[int, int]]] = {key: [] for key in keys}
    reserved = dict.fromkeys(keys, 0)
    deployments, budgets, holders = zip(*keys, strict=True)
    given = {"deployments": list(deployments), "budgets": list(budgets), "holders": list(holders)}
    for *key, slot, amount in transaction.all(_READ, **given):
        if slot is None:
            reserved[tuple(key)] = amount
        else:
            slots[tuple(key)].append((slot, amount))
    rows: list[tuple[Any, ...]] = []
    for booking in bookings:
        counters: list[Counter] = []
        for holder in booking.holders:
            place = (booking.deployment, *holder.key)
            counter = Counter(holder.budget, slots[place])
            counter.reserve(reserved[place])
            counters.append(counter)
        booking.weighing = booking.weigh(counters)
        for holder, amount in booking.weighing.wanted or ():
            reserved[booking.deployment, *holder.key] += amount
            rows.append(
                (booking.id, booking.deployment, *holder.key, amount, booking.worker, booking.run_id, booking.now)
            )
    transaction.many(_INSERT, rows)


def end(transaction: Transaction, booking: str) -> None:
    """The call of a booking is over."""
    transaction.run(_DELETE, ids=[booking])


def prune(transaction: Transaction, *, now: int) -> None:
    """Drop what was reserved by processes that are gone, and what they left behind of runs that are over."""
    transaction.run(_PRUNE, before=now - FORGOTTEN)
