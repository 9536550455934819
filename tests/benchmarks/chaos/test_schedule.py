"""What is disturbed when."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmarks.chaos.schedule import FIRST, LEASE, Fault, plan
from hypothesis import given
from hypothesis import strategies as st


def whole(seed: int, seconds: float = 120.0) -> list[Fault]:
    return plan(seed, seconds, workers=4, serves=2, kafka=True, postgresql=True, cut=0)


@given(st.integers(0, 10_000))
def test_the_same_seed_gives_the_same_faults(seed: int) -> None:
    assert whole(seed) == whole(seed)


def test_another_seed_gives_other_faults() -> None:
    assert whole(1) != whole(2)


@given(st.integers(0, 10_000), st.sampled_from([60.0, 120.0, 600.0]))
def test_kafka_is_killed_twice_and_postgresql_once(seed: int, seconds: float) -> None:
    kinds = Counter(fault.kind for fault in whole(seed, seconds))
    assert (kinds["kill kafka"], kinds["kill postgresql"], kinds["kill serve"]) == (2, 1, 2)


@given(st.integers(0, 10_000))
def test_faults_come_in_order_within_the_time_after_a_beginning_in_peace(seed: int) -> None:
    faults = whole(seed)
    assert faults == sorted(faults)
    assert all(FIRST <= fault.at < 120.0 for fault in faults)


@given(st.integers(0, 10_000))
def test_a_worker_has_one_fault_at_a_time(seed: int) -> None:
    until: dict[int, float] = {}
    for fault in whole(seed):
        if fault.kind.endswith("worker"):
            assert until.get(fault.target, 0.0) <= fault.at
            until[fault.target] = fault.at + fault.lasts


@given(st.integers(0, 10_000))
def test_zombies_sleep_past_their_lease(seed: int) -> None:
    zombies = [fault for fault in whole(seed) if fault.kind in ("stop worker", "cut worker")]
    assert all(fault.lasts > LEASE for fault in zombies)
    assert all(fault.target == 0 for fault in zombies if fault.kind == "cut worker")


def test_workers_die_every_few_seconds_and_some_sleep_or_are_cut_off() -> None:
    kinds = Counter(fault.kind for seed in range(50) for fault in whole(seed))
    assert kinds["kill worker"] > 50 * 120 / 10
    assert kinds["stop worker"] > 50
    assert kinds["cut worker"] > 50


@pytest.mark.parametrize("seed", range(5))
def test_without_workers_those_that_serve_are_killed(seed: int) -> None:
    faults = plan(seed, 60.0, workers=0, serves=1)
    assert {fault.kind for fault in faults} == {"kill serve"}
    assert {fault.target for fault in faults} == {0}


def test_without_a_network_of_its_own_no_worker_is_cut_off() -> None:
    faults = plan(3, 600.0, workers=4, serves=2)
    assert not [fault for fault in faults if fault.kind not in ("kill worker", "stop worker", "kill serve")]
