"""Budgets and breakers as effects meet them, on a real database."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gatewright.runtime import counters
from gatewright.runtime.clock import Clock
from gatewright.runtime.config import Price
from gatewright.runtime.courses import drive
from gatewright.runtime.meters import Meters, Reservation, Reserved
from gatewright.runtime.prices import OwnPrices
from gatewright.runtime.store.sqlite import FILE, SQLite
from gatewright.runtime.store.writer import Writer
from gatewright.safety.ledger.records import UsagePart
from gatewright.safety.rules.packs import Pack

SECOND = 1_000_000
START = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z
HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: {}\nversion: 1\n"
PRICES = OwnPrices(
    {
        "large": Price.model_validate({"input": 10, "output": 10}),
        "small": Price.model_validate({"input": 1, "output": 1}),
    }
)


class StillClock(Clock):
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.time = START

    def now(self) -> int:
        return self.time


@dataclass(frozen=True)
class Run:
    run_id: str = "run-1"
    case_id: str = "case-1"
    agent: str = "desk"


class Bench:
    """The meters of one deployment, and the effects that meet them."""

    def __init__(self, folder: Path, writer: Writer, clock: StillClock) -> None:
        self.folder, self.writer, self.clock = folder, writer, clock
        self.meters: Meters

    def limit(self, *limits: str, packs: dict[str, str] | None = None) -> Bench:
        """Put these budgets in force, counting from what is stored."""
        texts = packs or {"p": "budgets:\n" + "".join(f"  - {{{limit}}}\n" for limit in limits)}
        loaded = [Pack.parse(HEAD.format(name) + text) for name, text in texts.items()]
        found = Meters.of("x", loaded, writer=self.writer, clock=self.clock, prices=PRICES)
        assert found is not None
        self.meters = found
        return self

    def reserve(self, kind: Any = "tool", name: str = "send", run: Run | None = None, **more: Any) -> Reserved:
        found = drive(self.meters.reserve(run or Run(), kind, name, **more), lambda args: None)
        assert isinstance(found, Reserved)
        return found

    def settle(
        self,
        reservation: Reservation | None,
        *,
        taken: int | None = None,
        cost: int | None = None,
        duration: int = 5,
        ok: bool = True,
    ) -> None:
        """Settle, and write it."""
        assert reservation is not None
        usage = None if taken is None else UsagePart(input_tokens=taken, output_tokens=0, cost_microusd=cost)
        settled = reservation.settle(usage, duration, ok=ok, now=self.clock.now())
        self.writer.submit(settled.write).result()

    def made(self, kind: Any = "tool", name: str = "send", run: Run | None = None) -> bool:
        """Whether a call is let through; then it is made at once."""
        reserved = self.reserve(kind, name, run)
        if reserved.reservation is not None:
            self.settle(reserved.reservation)
        return reserved.reservation is not None

    @property
    def stored(self) -> list[tuple[str, str, int]]:
        with closing(sqlite3.connect(self.folder / FILE)) as connection:
            return connection.execute(
                "SELECT budget, holder, sum(used) FROM meter GROUP BY budget, holder ORDER BY budget, holder"
            ).fetchall()


@contextmanager
def opened(folder: Path, clock: StillClock | None = None) -> Generator[Bench]:
    SQLite(folder).prepare()
    writer = Writer(SQLite(folder))
    yield Bench(folder, writer, clock or StillClock())
    writer.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path) as bench:
        yield bench


CALLS = "id: c, of: calls, limit: 2, per: run, then: deny"


def test_packs_without_limits_have_no_meters(bench: Bench) -> None:
    assert Meters.of("x", [Pack.empty()], writer=bench.writer, clock=bench.clock, prices=PRICES) is None


def test_the_call_beyond_the_limit_is_refused_and_nothing_is_reserved_for_it(bench: Bench) -> None:
    bench.limit(CALLS)
    assert [bench.made() for _ in range(3)] == [True, True, False]
    refused = bench.reserve()
    assert [(hit.rule_id, hit.verdict) for hit in refused.hits] == [("budget:c", "deny")]
    assert "2 of 2 calls are used by this run" in refused.hits[0].reason
    assert bench.stored == [("c:calls:run:", "run-1", 2)]


def test_parallel_calls_are_never_more_than_the_limit(bench: Bench) -> None:
    bench.limit("id: c, of: calls, limit: 7, per: deployment, within: 1h, then: deny")
    with ThreadPoolExecutor(16) as threads:
        passed = [call.result().reservation for call in [threads.submit(bench.reserve) for _ in range(64)]]
    assert sum(reservation is not None for reservation in passed) == 7


def test_what_was_released_is_free_and_releasing_after_settling_changes_nothing(bench: Bench) -> None:
    bench.limit("id: c, of: calls, limit: 1, per: run, then: deny")
    first = bench.reserve().reservation
    assert first is not None
    first.release()
    second = bench.reserve().reservation
    bench.settle(second)
    assert second is not None
    second.release()
    first.release()
    assert not bench.made()
    assert bench.stored == [("c:calls:run:", "run-1", 1)]


def test_a_call_that_one_limit_refuses_takes_nothing_of_another(bench: Bench) -> None:
    bench.limit(
        "id: wide, of: calls, limit: 3, per: run, then: deny", "id: one, of: calls, limit: 1, per: run, then: ask"
    )
    assert [bench.made() for _ in range(4)] == [True, False, False, False]
    assert bench.stored == [("one:calls:run:", "run-1", 1), ("wide:calls:run:", "run-1", 1)]


@pytest.mark.parametrize(
    ("per", "other", "shared"),
    [
        ("run", Run(run_id="run-2"), False),
        ("thread", Run(run_id="run-2", agent="clerk"), True),
        ("thread", Run(case_id="case-2"), False),
        ("agent, within: 1h", Run(run_id="run-2", case_id="case-2"), True),
        ("agent, within: 1h", Run(agent="clerk"), False),
        ("deployment, within: 1h", Run(run_id="run-2", case_id="case-2", agent="clerk"), True),
    ],
)
def test_a_budget_is_shared_by_those_whom_it_is_for(bench: Bench, per: str, other: Run, shared: bool) -> None:
    bench.limit(f"id: c, of: calls, limit: 1, per: {per}, then: deny")
    assert bench.made()
    assert bench.made(run=other) is not shared


def test_deployments_count_apart(bench: Bench) -> None:
    bench.limit(CALLS)
    bench.made()
    packs = [Pack.parse(HEAD.format("p") + f"budgets: [{{{CALLS}}}]\n")]
    other = Meters.of("y", packs, writer=bench.writer, clock=bench.clock, prices=PRICES)
    assert other is not None
    bench.meters = other
    assert [bench.made() for _ in range(3)] == [True, True, False]


def test_counters_go_on_where_they_were_after_a_restart(tmp_path: Path) -> None:
    clock = StillClock()
    with opened(tmp_path, clock) as bench:
        bench.limit("id: c, of: calls, limit: 3, per: agent, within: 1h, then: deny")
        assert bench.made() and bench.made()
    clock.time += 60 * SECOND
    with opened(tmp_path, clock) as bench:
        bench.limit("id: c, of: calls, limit: 3, per: agent, within: 1h, then: deny")
        assert [bench.made() for _ in range(2)] == [True, False]
        assert "free again at 2026-01-01T01:0" in bench.reserve().hits[0].reason


def test_a_settlement_that_was_rolled_back_counts_once_when_it_is_written_again(bench: Bench) -> None:
    bench.limit(CALLS)
    reservation = bench.reserve().reservation
    assert reservation is not None
    settled = reservation.settle(None, 5, ok=True, now=START)

    def fails(transaction: Any) -> None:
        settled.write(transaction)
        raise ValueError("the record could not be appended")

    with pytest.raises(ValueError, match="could not be appended"):
        bench.writer.submit(fails).result()
    assert bench.stored == []
    bench.writer.submit(settled.write).result()
    assert bench.stored == [("c:calls:run:", "run-1", 1)]


def test_calls_reserve_what_the_largest_one_took(bench: Bench) -> None:
    bench.limit("id: t, of: tokens, limit: 20000, per: run, then: deny")
    bench.settle(bench.reserve("model", "large").reservation, taken=9000)
    assert bench.reserve("model", "large").reservation is not None
    refused = bench.reserve("model", "large")
    assert refused.reservation is None
    assert "9,000 more are reserved for calls under way, and this call may take 9,000" in refused.hits[0].reason


def test_money_is_counted_as_the_record_says_and_what_is_not_said_as_reserved(bench: Bench) -> None:
    bench.limit("id: m, of: money, limit: 1, per: run, then: deny")
    bench.settle(bench.reserve("model", "large").reservation, taken=100, cost=1234)
    assert bench.stored == [("m:money:run:", "run-1", 1234)]
    bench.settle(bench.reserve("model", "large").reservation)
    assert bench.stored == [("m:money:run:", "run-1", 1234 + 1234)]


def test_a_failed_call_does_not_make_the_next_one_look_free(bench: Bench) -> None:
    bench.limit("id: t, of: tokens, limit: 5000, per: run, then: deny")
    bench.settle(bench.reserve("model", "large").reservation, ok=False)
    assert [bench.reserve("model", "large").reservation is not None for _ in range(3)] == [True, True, False]


def test_a_model_call_that_failed_took_no_tokens(bench: Bench) -> None:
    bench.limit("id: t, of: tokens, limit: 5000, per: run, then: deny")
    bench.settle(bench.reserve("model", "large").reservation, ok=False)
    assert bench.stored == [("t:tokens:run:", "run-1", 0)]


def test_time_is_counted_in_milliseconds(bench: Bench) -> None:
    bench.limit("id: s, of: seconds, limit: 2, per: run, then: deny")
    bench.settle(bench.reserve().reservation, duration=1500)
    assert bench.stored == [("s:seconds:run:", "run-1", 1500)]
    assert bench.reserve().reservation is None


def test_a_model_without_a_price_is_refused_with_its_name_and_the_remedy(bench: Bench) -> None:
    bench.limit("id: m, of: money, limit: 50, per: run, then: ask")
    refused = bench.reserve("model", "nobody-knows")
    assert refused.reservation is None
    (finding,) = refused.findings
    assert (finding.rule_id, finding.denies) == ("budget:m", True)
    assert "what model 'nobody-knows' costs" in finding.message
    assert '[prices."nobody-knows"]' in finding.message and "gatewright[prices]" in finding.message


def test_what_people_let_pass_is_counted_all_the_same(bench: Bench) -> None:
    bench.limit("id: c, of: calls, limit: 1, per: run, then: ask, approval: {roles: [ops]}")
    bench.made()
    asked = bench.reserve()
    assert [hit.verdict for hit in asked.hits] == ["ask"]
    assert [terms.roles for terms in asked.terms] == [frozenset({"ops"})]
    bench.settle(bench.reserve(over=frozenset({"budget:c"})).reservation)
    assert bench.stored == [("c:calls:run:", "run-1", 2)]


def test_leave_for_one_limit_is_no_leave_for_another(bench: Bench) -> None:
    bench.limit("id: a, of: calls, limit: 1, per: run, then: ask", "id: b, of: calls, limit: 1, per: run, then: deny")
    bench.made()
    assert [hit.rule_id for hit in bench.reserve(over=frozenset({"budget:a"})).hits] == ["budget:b"]


def test_what_was_let_through_before_goes_on_and_is_counted(bench: Bench) -> None:
    bench.limit("id: c, of: calls, limit: 1, per: run, then: terminate")
    bench.made()
    bench.settle(bench.reserve(insist=True).reservation)
    assert bench.stored == [("c:calls:run:", "run-1", 2)]


def test_a_model_call_goes_on_with_another_model_and_pays_its_price(bench: Bench) -> None:
    bench.limit(
        "id: m, of: money, limit: 0.05, per: run, on: {names: [large]}, then: {degrade: 'openai:small'}",
        "id: all, of: money, limit: 0.05, per: run, then: deny",
    )
    bench.settle(bench.reserve("model", "large").reservation, taken=1, cost=45_000)
    degraded = bench.reserve("model", "large")
    assert degraded.model == "openai:small"
    assert [(hit.rule_id, hit.verdict) for hit in degraded.hits] == [("budget:m", "modify")]
    assert degraded.hits[0].reason.endswith("; it goes on with 'openai:small'")
    bench.settle(degraded.reservation, taken=1, cost=4_000)
    assert bench.stored == [("all:money:run:", "run-1", 49_000), ("m:money:run:", "run-1", 45_000)]


def test_a_call_may_be_degraded_more_than_once_and_then_be_refused(bench: Bench) -> None:
    bench.limit(
        "id: a, of: calls, limit: 1, per: run, on: {kinds: model, names: large}, then: {degrade: middle}",
        "id: b, of: calls, limit: 1, per: run, on: {kinds: model, names: middle}, then: {degrade: small}",
        "id: c, of: calls, limit: 1, per: run, on: {kinds: model, names: small}, then: deny",
    )
    for model in (None, "middle", "small"):
        reserved = bench.reserve("model", "large")
        assert reserved.model == model
        bench.settle(reserved.reservation)
    refused = bench.reserve("model", "large")
    assert refused.reservation is None
    assert [hit.verdict for hit in refused.hits] == ["modify", "modify", "deny"]


def test_limits_that_want_different_models_refuse_the_call(bench: Bench) -> None:
    bench.limit(
        "id: a, of: calls, limit: 1, per: run, on: {kinds: model}, then: {degrade: middle}",
        "id: b, of: calls, limit: 1, per: run, on: {kinds: model}, then: {degrade: small}",
    )
    bench.made("model", "large")
    refused = bench.reserve("model", "large")
    assert refused.reservation is None
    assert refused.findings[0].message == (
        "budget:a, budget:b want the call to go on with middle and with small; name one model"
    )
    assert bench.meters.models == {"middle", "small"}


BREAKER = "breakers:\n  - {id: b, on: {names: charge}, failures: 2, within: 60s, rest: 30s, then: deny}\n"


def test_what_fails_too_often_is_left_alone_and_tried_again_after_a_rest(bench: Bench) -> None:
    bench.limit(packs={"p": BREAKER})
    for _ in range(2):
        bench.settle(bench.reserve(name="charge").reservation, ok=False)
    refused = bench.reserve(name="charge")
    assert [(hit.rule_id, hit.verdict) for hit in refused.hits] == [("breaker:b", "deny")]
    assert bench.made(name="refund")
    bench.clock.time += 30 * SECOND
    trial = bench.reserve(name="charge").reservation
    assert trial is not None
    assert bench.reserve(name="charge").reservation is None
    bench.settle(trial)
    assert bench.made(name="charge")


def test_limits_of_several_packs_are_told_apart_as_rules_are(bench: Bench) -> None:
    bench.limit(packs={"p": BREAKER, "q": f"budgets: [{{{CALLS}}}]\n" + BREAKER})
    for _ in range(2):
        bench.settle(bench.reserve(name="charge").reservation, ok=False)
    hits = [hit.rule_id for hit in bench.reserve(name="charge").hits]
    assert hits == ["budget:q/c", "breaker:p/b", "breaker:q/b"]


def test_what_counts_no_longer_is_dropped_from_the_disk(bench: Bench) -> None:
    minute = "id: c, of: calls, limit: 9, per: thread, within: 60s, then: deny"
    bench.limit(minute, CALLS.replace("id: c", "id: r"))
    bench.made(run=Run(case_id="one"))
    bench.clock.time += 61 * SECOND
    bench.made(run=Run(case_id="two"))
    assert bench.stored == [("c:calls:thread:60", "two", 1), ("r:calls:run:", "run-1", 2)]


@pytest.mark.parametrize(
    ("per", "one", "two"), [("thread", Run(case_id="1"), Run(case_id="2")), ("run", Run("1"), Run("2"))]
)
def test_counters_that_nobody_used_lately_leave_memory_and_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, per: str, one: Run, two: Run
) -> None:
    monkeypatch.setattr(counters, "KEPT", 1)
    monkeypatch.setattr(counters, "IDLE", -1.0)
    bench.limit(f"id: c, of: calls, limit: 1, per: {per}, then: deny")
    assert bench.made(run=one)
    assert bench.made(run=two)
    assert not bench.made(run=one)
