"""What is used of a deployment's budgets: in memory while somebody uses it, on the disk as it is settled.

One process owns a SQLite file, so memory is right about it. Storage only ever adds to what is there, so that processes
that share a database lose nothing of each other; they ask it for every call (see `reservations`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from gatewright.safety.limits.budgets import Budget, Counter

from .courses import Step
from .store import schema
from .store.writer import Transaction, Writer

KEPT = 4096  # counters in memory, the most recently used
IDLE = 60.0  # seconds that a counter is kept for all that: what it settled last may still be on its way to the disk

_METER = schema.Meter.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_ADD = sa.text(
    "INSERT INTO meter (deployment, budget, holder, slot, used, expires_at) VALUES (:deployment, :budget, :holder,"
    " :slot, :used, :expires_at) ON CONFLICT (deployment, budget, holder, slot) DO UPDATE SET"
    " used = meter.used + excluded.used"
)
_SLOTS = sa.select(_METER.c.slot, _METER.c.used).where(
    _METER.c.deployment == sa.bindparam("of"),
    _METER.c.budget == sa.bindparam("which"),
    _METER.c.holder == sa.bindparam("whose"),
)
_PRUNE = sa.delete(_METER).where(_METER.c.expires_at <= sa.bindparam("now"))


_Stored = Mapping[tuple[str, str], Sequence[tuple[Any, ...]]]  # slot and amount, by key of the holder


class Holder(NamedTuple):
    """Who uses a budget: `name` is that of the run, case or agent, empty for the deployment."""

    budget: Budget
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """Which counter."""
        return self.budget.key, self.name


class Settled(NamedTuple):
    """Amounts on their way to the disk. `expired`: what had ended by then counts no longer and is dropped."""

    rows: Sequence[Mapping[str, Any]]
    expired: int | None = None

    def write(self, transaction: Transaction) -> None:
        """Add them to what is stored; in the operation that appends the record of the effect that took them."""
        if transaction.dialect == "postgresql":
            transaction.gather(add_amounts, self.rows)
        else:
            for row in self.rows:
                transaction.run(_ADD, **row)
        if self.expired is not None:
            transaction.run(_PRUNE, now=self.expired)


def add_amounts(transaction: Transaction, rows: list[Mapping[str, Any]]) -> None:
    """Add the amounts of several calls in one order, so that two writers do not wait for each other."""
    total: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(row[name] for name in ("deployment", "budget", "holder", "slot"))
        total[place] = {**row, "used": row["used"] + (total[place]["used"] if place in total else 0)}
    for place in sorted(total):
        transaction.run(_ADD, **total[place])


class _Kept(NamedTuple):
    counter: Counter
    touched: float


class Counters:
    """The counters of one deployment."""

    def __init__(self, deployment: str, writer: Writer) -> None:
        self._deployment = deployment
        self._writer = writer
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._newest: dict[str, int] = {}  # slot, by budget

    def load(self, holders: Sequence[Holder]) -> Generator[Step, Any, list[Counter]]:
        """The counters of these holders, in their order, read from the disk where they are not in memory."""
        with self._lock:
            missing = [holder for holder in holders if holder.key not in self._kept]
        stored: _Stored = {}
        if missing:
            # Read by the writer: what was settled before now is in the answer, committed or not.
            stored = yield self._writer.submit(lambda transaction: self._read(transaction, missing))
        with self._lock:
            for holder in missing:
                if holder.key not in self._kept:
                    self._kept[holder.key] = _Kept(Counter(holder.budget, stored.get(holder.key, ())), 0.0)
            return [self._touched(holder) for holder in holders]

    def row(self, holder: Holder, counter: Counter, slot: int, amount: int) -> dict[str, Any]:
        """An amount that was settled, as it is stored."""
        return {
            "deployment": self._deployment,
            "budget": holder.budget.key,
            "holder": holder.name,
            "slot": slot,
            "used": amount,
            "expires_at": None if holder.budget.within is None else counter.until(slot),
        }

    def begins(self, budget: Budget, slot: int) -> bool:
        """Whether a part of a window begins: the time to drop what has ended."""
        if budget.within is None or self._newest.get(budget.key, -1) >= slot:
            return False
        self._newest[budget.key] = slot
        return True

    def _read(self, transaction: Transaction, holders: Iterable[Holder]) -> _Stored:
        return {
            holder.key: transaction.all(_SLOTS, of=self._deployment, which=holder.budget.key, whose=holder.name)
            for holder in holders
        }

    def _touched(self, holder: Holder) -> Counter:
        now, counter = time.monotonic(), self._kept[holder.key].counter
        self._kept[holder.key] = _Kept(counter, now)
        self._kept.move_to_end(holder.key)
        oldest = next(iter(self._kept.values()))
        if len(self._kept) > KEPT and not oldest.counter.reserved and oldest.touched < now - IDLE:
            self._kept.popitem(last=False)
        return counter
