"""Circuit breakers: what has failed too often is left alone for a while, then tried with one call.

Closed (calls pass, failures are counted in a window), open (nothing passes until the rest is over), half-open (one
trial passes; its outcome closes or opens the circuit again). After M. Nygard, Release It!, 2nd edition, chapter 5.
Times are microseconds since the epoch.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gatewright.safety.approvals.terms import Approval
from gatewright.safety.rules.fields import Part

from .limit import Identifier, On, Span, written

State = Literal["closed", "open", "half-open"]

MICROSECONDS = 1_000_000  # in a second


class Breaker(Part):
    """One of the `breakers:` of a rule pack: `failures` within `within` seconds open it for `rest` seconds.

    All effects that it looks at share one circuit: name together what fails together.
    """

    id: Identifier
    on: On
    failures: Annotated[int, Field(ge=1, strict=True)]
    within: Span
    rest: Span
    then: Literal["deny", "ask", "terminate"]
    approval: Approval | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.on.kinds is None and self.on.names is None:
            raise ValueError("looks at every effect; say with `on:` what fails together (`names` or `kinds`)")
        if self.approval is not None and self.then != "ask":
            raise ValueError("`approval` says who decides where `then: ask`; remove it, or ask")
        return self

    @property
    def rule_id(self) -> str:
        """What records and people call it, beside the rules."""
        return f"breaker:{self.id}"


class Circuit:
    """The state of one breaker."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._failures: deque[int] = deque(maxlen=breaker.failures)
        self._open_until: int | None = None
        self._trying = False

    def state(self, now: int) -> State:
        """Where the circuit stands."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def passes(self, now: int) -> bool:
        """Whether a call may be made."""
        state = self.state(now)
        return state == "closed" or (state == "half-open" and not self._trying)

    def admit(self, now: int) -> bool:
        """Let a call through; gives whether it is the trial. Whether it `passes` is the caller's to ask."""
        trial = self.state(now) != "closed" and not self._trying
        self._trying = self._trying or trial
        return trial

    def release(self, trial: bool) -> None:
        """A call that was let through was not made."""
        if trial:
            self._trying = False

    def settle(self, trial: bool, ok: bool, now: int) -> None:
        """Note how a call came out; of those that began before the circuit opened, nothing counts any more."""
        if trial:
            self._trying = False
            if ok:
                self._open_until = None
                self._failures.clear()
            else:
                self._open(now)
        elif not ok and self._open_until is None:
            self._failures.append(now)
            recent = now - int(self._breaker.within * MICROSECONDS)
            if len(self._failures) == self._breaker.failures and self._failures[0] > recent:
                self._open(now)

    def _open(self, now: int) -> None:
        self._open_until = now + int(self._breaker.rest * MICROSECONDS)
        self._failures.clear()

    def refusal(self, now: int) -> str:
        """Why no call passes, and when one is tried again."""
        breaker = self._breaker
        if self._open_until is None or now >= self._open_until:
            return f"breaker {breaker.id!r}: one call is being tried after failures; try again when it is over"
        at = datetime.fromtimestamp(self._open_until // MICROSECONDS, UTC)
        return (
            f"breaker {breaker.id!r}: open after {breaker.failures} failures within {written(breaker.within)} (or a "
            f"failed trial); one call is tried at {at:%Y-%m-%dT%H:%M:%SZ}"
        )
