"""Budgets and circuit breakers of a deployment as its effects meet them: reserved, performed, settled.

Amounts are reserved before an effect is performed, and settled in the transaction that records it: after a crash the
stored counters say what the records say, and what was under way is performed, and reserved, again. They are reserved in
memory, or in the database where several processes share it. Circuits are not stored: a process that begins finds out
for itself what fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from gatewright.agents.effects import Kind
from gatewright.safety.approvals.terms import ApprovalTerms
from gatewright.safety.ledger import records
from gatewright.safety.limits.breakers import Breaker, Circuit
from gatewright.safety.limits.budgets import Budget, Counter, Degrade, Taken
from gatewright.safety.rules.packs import Pack
from gatewright.safety.verdicts import Finding, RuleHit

from .clock import Clock
from .counters import Counters, Holder, Settled
from .courses import Step
from .prices import PriceBook, Tokens
from .reservations import Amount, Booking, Reservations, end
from .store.writer import Transaction, Writer

L = TypeVar("L", Budget, Breaker)

FIRST_TOKENS = Tokens(1000, 1000)  # what a model call is expected to take as long as none has ended
FIRST_SECONDS = 1000  # milliseconds; the same of the time that any call takes


class Performer(Protocol):
    """Whose effect it is: an execution of a run."""

    @property
    def run_id(self) -> str: ...
    @property
    def case_id(self) -> str: ...
    @property
    def agent(self) -> str: ...


class _Hold(NamedTuple):
    """An amount that is reserved for a call; `title`: of the model or tool."""

    title: str
    holder: Holder
    counter: Counter
    amount: int


class _Pass(NamedTuple):
    """A call that a circuit let through."""

    circuit: Circuit
    trial: bool


@dataclass(frozen=True)
class Settlement:
    """What an effect took, on its way to the disk. `booking`: where that was reserved in the database."""

    settled: Settled
    booking: str | None

    def write(self, transaction: Transaction) -> None:
        """Store it; in the operation that appends the effect's record."""
        self.settled.write(transaction)
        if self.booking is not None:
            end(transaction, self.booking)


class Reservation:
    """What is set aside for one effect until it is over: settle it once, or release it."""

    def __init__(
        self, meters: Meters, holds: Sequence[_Hold], passes: Sequence[_Pass], booking: str | None = None
    ) -> None:
        self._meters = meters
        self._holds = holds
        self._passes = passes
        self._booking = booking
        self._open = True

    def settle(self, usage: records.UsagePart | None, duration_ms: int, *, ok: bool, now: int) -> Settlement:
        """Count what the effect took in place of what was reserved.

        What a model does not say counts as it was reserved; a call that failed took no tokens and no money.

        Args:
            ok: whether it did not fail.
            now: the time of its record.
        """
        if not self._open:
            return Settlement(Settled(()), None)
        self._open = False
        settled = self._meters.settle(self._holds, self._passes, _taken(usage, duration_ms, ok), ok=ok, now=now)
        return Settlement(settled, self._booking)

    def release(self) -> None:
        """Give back what was reserved for an effect that was not performed; nothing once it is settled."""
        if self._open:
            self._open = False
            self._meters.release(self._holds, self._passes, self._booking)


class Reserved(NamedTuple):
    """What the limits say to an effect.

    With a `reservation` it may be performed, by `model` if that is given; without, `hits` and `findings` say why not,
    and `terms` what people must satisfy who let it pass all the same.
    """

    reservation: Reservation | None = None
    hits: tuple[RuleHit, ...] = ()
    findings: tuple[Finding, ...] = ()
    terms: tuple[ApprovalTerms, ...] = ()
    model: str | None = None


class Meters:
    """The budgets and breakers of one deployment. Safe to share between threads."""

    def __init__(
        self,
        deployment: str,
        packs: Sequence[Pack],
        *,
        writer: Writer,
        clock: Clock,
        prices: PriceBook,
        worker: Callable[[], str] | None = None,
    ) -> None:
        """`worker`: where several processes share the database, as whom this one works now."""
        self._clock = clock
        self._prices = prices
        self._counters = Counters(deployment, writer)
        self._reservations = None if worker is None else Reservations(deployment, writer, worker)
        self._budgets = [budget for pack in packs for budget in _named(pack, pack.budgets, packs)]
        self._circuits = [(each, Circuit(each)) for pack in packs for each in _named(pack, pack.breakers, packs)]
        self._lock = threading.RLock()
        self._largest: dict[tuple[str, str], int] = {}  # of one call, by budget and what was called

    @classmethod
    def of(
        cls,
        deployment: str,
        packs: Sequence[Pack],
        *,
        writer: Writer,
        clock: Clock,
        prices: PriceBook,
        worker: Callable[[], str] | None = None,
    ) -> Meters | None:
        """The meters of a deployment; None where its packs limit nothing."""
        if not any(pack.budgets or pack.breakers for pack in packs):
            return None
        return cls(deployment, packs, writer=writer, clock=clock, prices=prices, worker=worker)

    @property
    def models(self) -> frozenset[str]:
        """The models that calls may go on with."""
        return frozenset(budget.then.degrade for budget in self._budgets if isinstance(budget.then, Degrade))

    def reserve(
        self, run: Performer, kind: Kind, name: str, *, over: frozenset[str] = frozenset(), insist: bool = False
    ) -> Generator[Step, Any, Reserved]:
        """Set aside what an effect may take: of everything that counts it, or of nothing.

        Args:
            over: the limits that people let this effect pass, by the rule ids that they were shown.
            insist: it was let through before and goes on; it is counted, and not refused.
        """
        passed: dict[str, RuleHit] = {}
        model: str | None = None
        while True:
            title = model or name
            bare = name if model is None else model.rpartition(":")[2]
            holders = [_holder(budget, run) for budget in self._budgets if budget.counts(kind, bare)]
            breakers = [each for each in self._circuits if each[0].on.includes(kind, bare)]
            begin = partial(_Weighing, title, over | passed.keys(), insist)
            weigh = partial(self._weigh, holders, breakers, begin)
            booking: Booking | None = None
            if self._reservations is not None and holders:
                booking = yield from self._reservations.book(run.run_id, holders, weigh, now=self._clock.now())
            counters = yield from self._counters.load(holders if booking is None else [])
            with self._lock:
                weighing = weigh(counters) if booking is None else booking.weighing
                if booking is not None and not weighing.passable:  # another call tries a circuit by now
                    self._give_back(booking.id)
                    continue
                if not weighing.degraded:
                    return self._reserved(weighing, tuple(passed.values()), model, booking)
            # Weighed again with the other model: its price differs, and so may the budgets that count it.
            passed |= {hit.rule_id: hit for _model, hit in weighing.degraded}
            models = sorted({model for model, _hit in weighing.degraded})
            if len(models) > 1:
                message = f"{', '.join(passed)} want the call to go on with {' and with '.join(models)}; name one model"
                finding = Finding(rule_id=next(iter(passed)), kind="conflict", message=message)
                return Reserved(hits=tuple(passed.values()), findings=(finding,))
            (model,) = models

    def _weigh(
        self,
        holders: Sequence[Holder],
        breakers: Sequence[tuple[Breaker, Circuit]],
        begin: Callable[[int], _Weighing],
        counters: Sequence[Counter],
    ) -> _Weighing:
        weighing = begin(self._clock.now())
        with self._lock:
            for holder, counter in zip(holders, counters, strict=True):
                weighing.budget(holder, counter, self._expected(holder.budget, weighing.title))
            for breaker, circuit in breakers:
                weighing.breaker(breaker, circuit)
        return weighing

    def _reserved(
        self, weighing: _Weighing, passed: tuple[RuleHit, ...], model: str | None, booking: Booking | None
    ) -> Reserved:
        hits = (*passed, *weighing.hits)
        if weighing.hits or weighing.findings:
            return Reserved(hits=hits, findings=tuple(weighing.findings), terms=tuple(weighing.terms))
        for hold in weighing.holds:
            hold.counter.reserve(hold.amount)
        passes = [_Pass(circuit, circuit.admit(weighing.now)) for _breaker, circuit in weighing.circuits]
        place = None if booking is None else booking.id
        return Reserved(Reservation(self, weighing.holds, passes, place), hits=hits, model=model)

    def _give_back(self, booking: str | None) -> None:
        if booking is not None and self._reservations is not None:
            self._reservations.release(booking)

    def _expected(self, budget: Budget, title: str) -> int | None:
        """What a call may take: as much as the largest like it since the process began; None where nobody knows."""
        cost = self._prices.cost(title, FIRST_TOKENS) if budget.of == "money" else None
        first = Taken(tokens=sum(FIRST_TOKENS), money=cost, seconds=FIRST_SECONDS).of(budget.of)
        return None if first is None else self._largest.get((budget.key, title), first)

    def settle(self, holds: Sequence[_Hold], passes: Sequence[_Pass], taken: Taken, *, ok: bool, now: int) -> Settled:
        """See `Reservation.settle`."""
        rows: list[Mapping[str, Any]] = []
        begins = False
        with self._lock:
            for title, holder, counter, reserved in holds:
                amount = taken.of(holder.budget.of)
                amount = reserved if amount is None else amount
                like = (holder.budget.key, title)
                if amount:  # a call that failed says nothing about the next
                    self._largest[like] = max(self._largest.get(like, 0), amount)
                slot = counter.settle(reserved, amount, now)
                rows.append(self._counters.row(holder, counter, slot, amount))
                begins = self._counters.begins(holder.budget, slot) or begins
            for circuit, trial in passes:
                circuit.settle(trial, ok, now)
        return Settled(rows, now if begins else None)

    def release(self, holds: Sequence[_Hold], passes: Sequence[_Pass], booking: str | None) -> None:
        """See `Reservation.release`."""
        self._give_back(booking)
        with self._lock:
            for hold in holds:
                hold.counter.release(hold.amount)
            for circuit, trial in passes:
                circuit.release(trial)


class _Weighing:
    """What the limits say to one effect, before anything is reserved."""

    def __init__(self, title: str, exempt: frozenset[str], insist: bool, now: int) -> None:
        self.title = title
        self.now = now
        self.holds: list[_Hold] = []
        self.circuits: list[tuple[Breaker, Circuit]] = []
        self.hits: list[RuleHit] = []
        self.findings: list[Finding] = []
        self.terms: list[ApprovalTerms] = []
        self.degraded: list[tuple[str, RuleHit]] = []
        self._exempt = exempt
        self._insist = insist

    @property
    def wanted(self) -> list[Amount] | None:
        """What is to be reserved; None where the call may not be made as it is."""
        if self.hits or self.findings or self.degraded:
            return None
        return [Amount(hold.holder, hold.amount) for hold in self.holds]

    @property
    def passable(self) -> bool:
        """Whether what was let through by circuits still is."""
        return self.wanted is None or all(
            self._passes(breaker.rule_id) or circuit.passes(self.now) for breaker, circuit in self.circuits
        )

    def budget(self, holder: Holder, counter: Counter, amount: int | None) -> None:
        budget = holder.budget
        if amount is None and not self._insist:
            self.findings.append(Finding(rule_id=budget.rule_id, kind="error", message=_unpriced(budget, self.title)))
        amount = amount or 0
        self.holds.append(_Hold(self.title, holder, counter, amount))
        if self._passes(budget.rule_id) or counter.fits(amount, self.now):
            return
        reason = counter.refusal(amount, self.now)
        if isinstance(budget.then, Degrade):
            model = budget.then.degrade
            reason = f"{reason}; it goes on with {model!r}"
            self.degraded.append((model, RuleHit(rule_id=budget.rule_id, verdict="modify", reason=reason)))
        else:
            self.hits.append(RuleHit(rule_id=budget.rule_id, verdict=budget.then, reason=reason))
            self._ask(budget)

    def breaker(self, breaker: Breaker, circuit: Circuit) -> None:
        self.circuits.append((breaker, circuit))
        if not self._passes(breaker.rule_id) and not circuit.passes(self.now):
            reason = circuit.refusal(self.now)
            self.hits.append(RuleHit(rule_id=breaker.rule_id, verdict=breaker.then, reason=reason))
            self._ask(breaker)

    def _passes(self, rule_id: str) -> bool:
        return self._insist or rule_id in self._exempt

    def _ask(self, limit: Budget | Breaker) -> None:
        if limit.then == "ask" and limit.approval is not None:
            self.terms.append(limit.approval.terms())


def _named(pack: Pack, limits: Sequence[L], packs: Sequence[Pack]) -> list[L]:
    """The limits of a pack, under names that tell them apart from those of other packs, as rules are."""
    if len(packs) == 1:
        return list(limits)
    return [limit.model_copy(update={"id": f"{pack.name}/{limit.id}"}) for limit in limits]


def _holder(budget: Budget, run: Performer) -> Holder:
    match budget.per:
        case "run":
            return Holder(budget, run.run_id)
        case "thread":
            return Holder(budget, run.case_id)
        case "agent":
            return Holder(budget, run.agent)
        case "deployment":
            return Holder(budget, "")


def _unpriced(budget: Budget, model: str) -> str:
    return (
        f"budget {budget.id!r}: nobody knows what model {model!r} costs, so its money cannot be counted; add "
        f'[prices."{model}"] with `input` and `output` (USD per million tokens) to the configuration, or install '
        "gatewright[prices]"
    )


def _taken(usage: records.UsagePart | None, duration_ms: int, ok: bool) -> Taken:
    if usage is not None:
        return Taken(tokens=usage.input_tokens + usage.output_tokens, money=usage.cost_microusd, seconds=duration_ms)
    return Taken(seconds=duration_ms) if ok else Taken(tokens=0, money=0, seconds=duration_ms)
