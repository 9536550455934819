"""Circuit breakers: closed, open for a rest, half-open for one trial."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gatewright.safety.limits import On
from gatewright.safety.limits.breakers import MICROSECONDS, Breaker, Circuit

START = 1_767_225_600 * MICROSECONDS  # 2026-01-01T00:00:00Z
BREAKER = Breaker(
    id="payments",
    on=On(names=["charge"]),
    failures=3,
    within="60s",  # type: ignore[arg-type]  # as a file has it
    rest="30s",  # type: ignore[arg-type]
    then="deny",
)


def at(seconds: float) -> int:
    return START + int(seconds * MICROSECONDS)


def broken() -> Circuit:
    circuit = Circuit(BREAKER)
    for second in range(3):
        circuit.settle(circuit.admit(at(second)), False, at(second))
    return circuit


def test_failures_within_the_window_open_it() -> None:
    circuit = broken()
    assert circuit.state(at(2)) == "open"
    assert not circuit.passes(at(31.9))


def test_failures_further_apart_than_the_window_do_not() -> None:
    circuit = Circuit(BREAKER)
    for second in (0, 30, 61, 95):
        circuit.settle(circuit.admit(at(second)), False, at(second))
    assert circuit.state(at(95)) == "closed"


def test_after_the_rest_one_trial_passes_and_no_second() -> None:
    circuit = broken()
    assert circuit.passes(at(32))
    assert circuit.admit(at(32))
    assert not circuit.passes(at(32))
    assert circuit.refusal(at(32)) == (
        "breaker 'payments': one call is being tried after failures; try again when it is over"
    )


def test_a_trial_that_succeeds_closes_it_and_forgets_the_failures() -> None:
    circuit = broken()
    circuit.settle(circuit.admit(at(32)), True, at(33))
    circuit.settle(circuit.admit(at(34)), False, at(34))
    circuit.settle(circuit.admit(at(35)), False, at(35))
    assert circuit.state(at(35)) == "closed"


def test_a_trial_that_fails_opens_it_for_another_rest() -> None:
    circuit = broken()
    circuit.settle(circuit.admit(at(32)), False, at(40))
    assert circuit.state(at(69.9)) == "open"
    assert circuit.state(at(70)) == "half-open"


def test_a_trial_that_was_not_made_leaves_room_for_another() -> None:
    circuit = broken()
    circuit.release(circuit.admit(at(32)))
    assert circuit.passes(at(32))


def test_calls_that_began_before_it_opened_change_nothing_when_they_end() -> None:
    circuit = broken()
    circuit.settle(False, True, at(5))
    assert circuit.state(at(5)) == "open"
    circuit.settle(False, False, at(33))
    assert circuit.state(at(33)) == "half-open"


def test_the_refusal_says_when_a_call_is_tried() -> None:
    assert broken().refusal(at(3)) == (
        "breaker 'payments': open after 3 failures within 1m (or a failed trial); one call is tried at "
        "2026-01-01T00:00:32Z"
    )


class Calls(RuleBasedStateMachine):
    """Calls in parallel that succeed, fail or are not made, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit(BREAKER)
        self.now = START
        self.flying: list[bool] = []

    @rule()
    def call(self) -> None:
        if self.circuit.passes(self.now):
            self.flying.append(self.circuit.admit(self.now))

    @precondition(lambda self: bool(self.flying))
    @rule(ok=st.booleans(), data=st.data())
    def end(self, ok: bool, data: st.DataObject) -> None:
        trial = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.circuit.settle(trial, ok, self.now)
        if trial:
            assert self.circuit.state(self.now) == ("closed" if ok else "open")

    @precondition(lambda self: bool(self.flying))
    @rule()
    def give_up(self) -> None:
        self.circuit.release(self.flying.pop())

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds: int) -> None:
        self.now += seconds * MICROSECONDS

    @invariant()
    def at_most_one_trial_is_under_way(self) -> None:
        assert sum(self.flying) <= 1

    @invariant()
    def it_can_always_be_left(self) -> None:
        rested = self.now + int(BREAKER.rest) * MICROSECONDS
        assert self.circuit.passes(rested) or any(self.flying)


TestCalls = Calls.TestCase
