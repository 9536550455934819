"""Budgets: never more than the limit, whatever the order of reserving, settling and giving back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatewright.safety.limits.budgets import MICROSECONDS, SLOTS, Budget, Counter, Taken

SECOND = MICROSECONDS
START = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z


def budget(**more: Any) -> Budget:
    return Budget.model_validate({"id": "b", "of": "calls", "limit": 3, "per": "run", "then": "deny", **more})


class TestCounter:
    def test_a_limit_of_calls_lets_exactly_that_many_through(self) -> None:
        counter = Counter(budget(limit=3))
        for _ in range(3):
            assert counter.fits(1, START)
            counter.reserve(1)
        assert not counter.fits(1, START)

    def test_what_is_given_back_can_be_reserved_again(self) -> None:
        counter = Counter(budget(limit=1))
        counter.reserve(1)
        counter.release(1)
        assert counter.fits(1, START)

    def test_a_call_that_took_less_than_reserved_leaves_the_rest(self) -> None:
        counter = Counter(budget(of="tokens", limit=1000))
        counter.reserve(600)
        assert not counter.fits(600, START)
        counter.settle(600, 100, START)
        assert counter.used(START) == 100
        assert counter.fits(900, START)
        assert not counter.fits(901, START)

    def test_an_unused_budget_has_room_for_one_call_however_large(self) -> None:
        counter = Counter(budget(of="tokens", limit=10))
        assert counter.fits(1000, START)
        counter.reserve(1000)
        assert not counter.fits(1, START)

    def test_a_window_frees_what_was_used_when_it_has_passed_and_not_before(self) -> None:
        counter = Counter(budget(limit=1, per="agent", within="60s"))
        counter.reserve(1)
        counter.settle(1, 1, START)
        assert not counter.fits(1, START + 60 * SECOND - 1)
        assert counter.fits(1, START + (60 + 60 // SLOTS) * SECOND)

    def test_it_says_when_it_is_free_again(self) -> None:
        counter = Counter(budget(limit=2, per="agent", within="60s"))
        for at in (0, 30):
            counter.reserve(1)
            counter.settle(1, 1, START + at * SECOND)
        free = counter.free_at(1, START + 31 * SECOND)
        assert free == START + 61 * SECOND
        assert counter.refusal(1, START + 31 * SECOND) == (
            "budget 'b': 2 of 2 calls are used by this agent within 1m; free again at 2026-01-01T00:01:01Z"
        )

    def test_a_budget_of_a_run_is_not_free_again(self) -> None:
        counter = Counter(budget(limit=1))
        counter.settle(0, 1, START)
        assert counter.free_at(1, START) is None
        assert "it is not free again for this run: start another, or raise the limit" in counter.refusal(1, START)

    def test_the_refusal_names_what_is_reserved_and_what_the_call_may_take(self) -> None:
        counter = Counter(budget(of="money", limit=50, per="thread"))
        counter.settle(0, 49_000_000, START)
        counter.reserve(500_000)
        assert counter.refusal(750_000, START) == (
            "budget 'b': 49 of 50 USD are used by this thread, 0.5 more are reserved for calls under way, and this "
            "call may take 0.75; it is not free again for this thread: start another, or raise the limit"
        )

    def test_counters_go_on_from_what_was_stored(self) -> None:
        first = Counter(budget(limit=5, per="agent", within="1h"))
        slots = [(first.settle(0, 1, START + at * 600 * SECOND), 1) for at in range(5)]
        again = Counter(budget(limit=5, per="agent", within="1h"), slots)
        for at in (0, 3000, 3700, 9000):
            assert again.used(START + at * SECOND) == first.used(START + at * SECOND)


class TestBudget:
    def test_money_counts_in_whole_microdollars(self) -> None:
        assert budget(of="money", limit=0.29).capacity == 290_000

    @pytest.mark.parametrize(
        ("unit", "expected"), [("calls", 1), ("tokens", 12), ("money", None), ("seconds", 250)], ids=str
    )
    def test_a_call_takes_something_of_each_unit_or_nobody_knows(self, unit: Any, expected: int | None) -> None:
        assert Taken(tokens=12, seconds=250).of(unit) == expected

    def test_tokens_and_money_are_taken_by_model_calls_only(self) -> None:
        assert budget(of="tokens").counts("model", "gpt")
        assert not budget(of="tokens").counts("tool", "search")

    def test_names_and_kinds_limit_what_it_counts(self) -> None:
        mails = budget(on={"kinds": ["tool"], "names": ["send_email"]})
        assert mails.counts("tool", "send_email")
        assert not mails.counts("tool", "search")
        assert not mails.counts("function", "send_email")

    def test_its_counters_are_kept_when_the_limit_changes_and_begin_anew_when_its_meaning_does(self) -> None:
        assert budget(limit=3).key == budget(limit=9).key
        assert len({budget().key, budget(per="thread").key, budget(within="1m").key, budget(of="seconds").key}) == 4


@given(
    limit=st.integers(1, 20),
    seconds=st.integers(1, 300),
    gaps=st.lists(st.integers(0, 100 * SECOND), max_size=60),
)
def test_no_true_window_ever_holds_more_calls_than_the_limit(limit: int, seconds: int, gaps: list[int]) -> None:
    counter = Counter(budget(limit=limit, per="agent", within=f"{seconds}s"))
    now, made = START, list[int]()
    for gap in gaps:
        now += gap
        if counter.fits(1, now):
            counter.reserve(1)
            counter.settle(1, 1, now)
            made.append(now)
        recent = [at for at in made if at > now - seconds * SECOND]
        assert len(recent) <= limit


class Spending(RuleBasedStateMachine):
    """Calls that reserve, take at most that much, and are made or not, in any order."""

    @initialize(limit=st.integers(1, 1000), within=st.sampled_from([None, "10s", "1h"]))
    def begin(self, limit: int, within: str | None) -> None:
        self.budget = budget(of="tokens", limit=limit, within=within)
        self.counter = Counter(self.budget)
        self.now = START
        self.flying: list[int] = []
        self.spent: list[tuple[int, int]] = []  # (time, amount)

    @rule(amount=st.integers(1, 1000))
    def ask(self, amount: int) -> None:
        if amount <= self.budget.capacity and self.counter.fits(amount, self.now):
            self.counter.reserve(amount)
            self.flying.append(amount)

    @precondition(lambda self: bool(self.flying))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        reserved = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        amount = data.draw(st.integers(0, reserved))
        self.counter.settle(reserved, amount, self.now)
        self.spent.append((self.now, amount))

    @precondition(lambda self: bool(self.flying))
    @rule()
    def give_back(self) -> None:
        self.counter.release(self.flying.pop())

    @rule(seconds=st.integers(0, 4000))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @invariant()
    def never_overshoots(self) -> None:
        if hasattr(self, "counter"):
            window = None if self.budget.within is None else int(self.budget.within) * SECOND
            spent = sum(amount for at, amount in self.spent if window is None or at > self.now - window)
            assert spent <= self.counter.used(self.now)
            assert self.counter.used(self.now) + sum(self.flying) <= self.budget.capacity

    @invariant()
    def nothing_stays_reserved_that_is_not_under_way(self) -> None:
        if hasattr(self, "counter"):
            assert self.counter.reserved == sum(self.flying)


TestSpending = Spending.TestCase
