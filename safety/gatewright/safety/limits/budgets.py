"""Budgets: how many calls, tokens, how much money or time somebody may take, and counters that keep to it.

An amount is *reserved* before a call and *settled* with what the call really took, or *released* if it was not made.
A call is let through only if what is used, what is reserved and its own amount fit the limit together. So calls are
never too many, however many run in parallel; of tokens, money and seconds the limit is passed at most by what the
calls that were under way took beyond their reservations.

Amounts are whole numbers: calls, tokens, micro-dollars, milliseconds. Times are microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from gatewright.agents.effects import Kind
from gatewright.safety.approvals.terms import Approval
from gatewright.safety.rules.fields import Part, Text, near

from .limit import Identifier, On, Span, written

Unit = Literal["calls", "tokens", "money", "seconds"]
"""`tokens` and `money` (US dollars) are what model calls take · `seconds`: of being performed, added up over calls that
run in parallel."""

Per = Literal["run", "thread", "agent", "deployment"]
"""Who shares one budget. `thread`: the whole case, with the runs of agents that are asked in it."""

SLOTS = 60  # parts of a window: what was used counts for the window and at most one part longer
MICROSECONDS = 1_000_000  # in a second

_SCALE: Mapping[Unit, int] = {"calls": 1, "tokens": 1, "money": 1_000_000, "seconds": 1_000}
_NAMES: Mapping[Unit, str] = {"calls": "calls", "tokens": "tokens", "money": "USD", "seconds": "seconds"}
_VERDICTS = ("deny", "ask", "terminate")


class Degrade(Part):
    """The call goes on with another model, named as in `init_chat_model`."""

    degrade: Text


Then = Literal["deny", "ask", "terminate"] | Degrade


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number; `of` says what it counts (calls, tokens, US dollars, seconds)")
    return value


def _holder(value: Any) -> Any:
    if value == "day":
        raise ValueError("'day' is no holder of a budget; write `per: deployment` and `within: 1d`")
    return value


def _then(value: Any) -> Any:
    if isinstance(value, Degrade) or value in _VERDICTS:
        return value
    if isinstance(value, dict) and list(value) == ["degrade"] and isinstance(value["degrade"], str):
        return Degrade(degrade=value["degrade"])
    remedy = near(value, list(_VERDICTS)) if isinstance(value, str) else "known here: ask, deny, terminate"
    raise ValueError(f"{value!r} is not known; {remedy}, or {{degrade: MODEL}}")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a call took, or may take; None where that is not known. `money`: micro-dollars, `seconds`: milliseconds."""

    tokens: int | None = None
    money: int | None = None
    seconds: int | None = None
    calls: int = 1

    def of(self, unit: Unit) -> int | None:
        """The amount of one unit."""
        found: int | None = getattr(self, unit)
        return found


class Budget(Part):
    """One of the `budgets:` of a rule pack. `within`: seconds of a sliding window; without, for as long as the run or
    the thread lasts."""

    id: Identifier
    of: Unit
    limit: Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
    per: Annotated[Per, BeforeValidator(_holder)]
    within: Span | None = None
    on: On | None = None
    then: Annotated[Then, PlainValidator(_then)]
    approval: Approval | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if Decimal(str(self.limit)) * _SCALE[self.of] % 1 or not self.capacity:
            finest = "whole numbers" if self.of in ("calls", "tokens") else f"parts of 1/{_SCALE[self.of]:,}"
            raise ValueError(f"a limit of {self.limit!r} {_NAMES[self.of]} is finer than is counted; {finest} are")
        if self.within is None and self.per in ("agent", "deployment"):
            raise ValueError(f"per {self.per} without `within` would never be free again; add for example `within: 1d`")
        kinds = None if self.on is None else self.on.kinds
        if self._of_models and kinds is not None and kinds != ["model"]:
            raise ValueError(f"only model calls take {self.of}; write `kinds: [model]` or leave the kinds out")
        if isinstance(self.then, Degrade) and not self._of_models and kinds != ["model"]:
            raise ValueError("only a model call can go on with another model; write `on: {kinds: [model]}`")
        if self.approval is not None and self.then != "ask":
            raise ValueError("`approval` says who decides where `then: ask`; remove it, or ask")
        return self

    @property
    def _of_models(self) -> bool:
        return self.of in ("tokens", "money")

    @property
    def capacity(self) -> int:
        """The limit as a whole number of the smallest amounts."""
        return int(Decimal(str(self.limit)) * _SCALE[self.of])

    @property
    def rule_id(self) -> str:
        """What records and people call it, beside the rules."""
        return f"budget:{self.id}"

    @property
    def key(self) -> str:
        """What its counters are kept under: with another meaning they begin anew, with another limit they do not."""
        return f"{self.id}:{self.of}:{self.per}:{'' if self.within is None else f'{self.within:g}'}"

    def counts(self, kind: Kind, name: str) -> bool:
        """Whether such an effect takes anything from it."""
        return (kind == "model" or not self._of_models) and (self.on is None or self.on.includes(kind, name))

    def show(self, amount: int) -> str:
        """An amount, for people.

        >>> Budget(id="b", of="money", limit=5, per="run", then="deny").show(1_250_000)
        '1.25'
        """
        return f"{Decimal(amount) / _SCALE[self.of]:,f}"


class Counter:
    """What one holder has used of a budget, and has reserved for calls that are under way."""

    def __init__(self, budget: Budget, slots: Iterable[tuple[int, int]] = ()) -> None:
        """`slots`: what was settled before, by the slots that `settle` gave."""
        self._budget = budget
        self._window = 0 if budget.within is None else int(budget.within * MICROSECONDS)
        self._width = -(-self._window // SLOTS)
        self._slots: dict[int, int] = {}
        for slot, amount in slots:
            self._slots[slot] = self._slots.get(slot, 0) + amount
        self.reserved = 0

    def used(self, now: int) -> int:
        """What has been settled and counts."""
        for slot in [slot for slot in self._slots if self.expires(slot, now=now)]:
            del self._slots[slot]
        return sum(self._slots.values())

    def expires(self, slot: int, *, now: int) -> bool:
        """Whether a slot counts no longer."""
        return self._window > 0 and self.until(slot) <= now

    def until(self, slot: int) -> int:
        """When a slot of a window begins to count no longer."""
        return (slot + 1) * self._width + self._window

    def fits(self, amount: int, now: int) -> bool:
        """Whether this amount can be reserved. An unused budget always has room for one call, whatever it takes."""
        used = self.used(now) + self.reserved
        return not used or used + amount <= self._budget.capacity

    def reserve(self, amount: int) -> None:
        """Set an amount aside for a call; whether it `fits` is the caller's to ask."""
        self.reserved += amount

    def release(self, reserved: int) -> None:
        """Give back what was reserved for a call that was not made."""
        self.reserved -= reserved

    def settle(self, reserved: int, amount: int, now: int) -> int:
        """Count what a call took in place of what was reserved for it; gives the slot that it counts in."""
        slot = now // self._width if self._window else 0
        self.reserved -= reserved
        self._slots[slot] = self._slots.get(slot, 0) + amount
        return slot

    def free_at(self, amount: int, now: int) -> int | None:
        """The first time at which this amount may fit; None where nothing that is used is ever given back."""
        over = self.used(now) + self.reserved + amount - self._budget.capacity
        for slot in sorted(self._slots) if self._window else ():
            over -= self._slots[slot]
            if over <= 0 or not any(self._slots[later] for later in self._slots if later > slot):
                return self.until(slot)
        return None

    def refusal(self, amount: int, now: int) -> str:
        """Why this amount does not fit: what is used, the limit, and when it is free again."""
        budget, used = self._budget, self.used(now)
        window = "" if budget.within is None else f" within {written(budget.within)}"
        text = f"budget {budget.id!r}: {budget.show(used)} of {budget.show(budget.capacity)} {_NAMES[budget.of]} "
        text += f"are used by this {budget.per}{window}"
        if self.reserved:
            text += f", {budget.show(self.reserved)} more are reserved for calls under way"
        if budget.of != "calls":
            text += f", and this call may take {budget.show(amount)}"
        free = self.free_at(amount, now)
        if free is not None:
            return f"{text}; free again at {datetime.fromtimestamp(free // MICROSECONDS, UTC):%Y-%m-%dT%H:%M:%SZ}"
        if self._window:
            return f"{text}; free again when those are over"
        return f"{text}; it is not free again for this {budget.per}: start another, or raise the limit"
