"""Budgets that several processes share by a PostgreSQL database."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.runtime import spending

from gatewright.agents.errors import UnavailableError
from gatewright.runtime import reservations
from gatewright.runtime.meters import Meters
from gatewright.runtime.store import database
from gatewright.runtime.store.writer import Transaction, Writer
from gatewright.runtime.workers import registry

SCRIPT = Path(__file__).parent / "spending.py"


@pytest.fixture
def url(database_url: str) -> str:
    database.of(database_url, Path()).prepare()
    return database_url


@contextmanager
def opened(url: str, limit: int, *, lease: float = 60.0) -> Generator[tuple[Writer, Meters, str]]:
    """What a process has."""
    writer, meters, worker = spending.opened(url, limit, lease=lease)
    with closing(writer):
        yield writer, meters, worker


def total(writer: Writer, text: str) -> int:
    return int(writer.submit(lambda tx: tx.all(sa.text(f"SELECT coalesce(sum({text}"))).result()[0][0])


def test_four_processes_never_make_more_calls_than_the_limit_and_make_them_all(url: str) -> None:
    limit, runs, processes = 5, 40, 4
    given = [url, *map(str, (limit, runs, processes))]
    done = subprocess.run([sys.executable, str(SCRIPT), *given], stdout=subprocess.PIPE, text=True, check=True)

    assert len(done.stdout.split()) == processes
    with opened(url, limit) as (writer, _meters, _worker):
        used = writer.submit(lambda tx: tx.all(sa.text("SELECT used FROM meter WHERE budget LIKE 'calls:%'"))).result()
        assert used == [(limit,)] * runs
        assert sum(map(int, done.stdout.split())) == limit * runs
        assert total(writer, "amount), 0) FROM reservation") == 0


def test_what_another_process_has_under_way_counts(url: str) -> None:
    with opened(url, 2) as (writer, one, _), opened(url, 2) as (_writer, other, _worker):
        first = spending.begun(one)
        assert first is not None and spending.begun(other) is not None
        assert spending.begun(one) is None and spending.begun(other) is None
        first.release()
        writer.submit(lambda tx: None).result()  # behind the release
        assert spending.begun(other) is not None


def test_what_a_lost_process_had_under_way_is_free_again(url: str) -> None:
    with opened(url, 1, lease=0.0) as (_writer, lost, worker), opened(url, 1) as (writer, other, me):
        assert spending.begun(lost) is not None
        assert spending.begun(other) is None
        found = writer.submit(lambda tx: registry.lose(tx, me=me, alone=False, steady=True)).result()
        assert found == [worker]
        assert spending.begun(other) is not None
        now = reservations.FORGOTTEN
        writer.submit(lambda tx: reservations.prune(tx, now=now)).result()
        assert total(writer, "amount), 0) FROM reservation WHERE budget LIKE 'calls:%'") == 1


def test_what_nobody_ends_of_a_run_that_is_over_is_dropped_after_a_while(url: str) -> None:
    with opened(url, 1) as (writer, meters, _worker):
        assert spending.begun(meters) is not None  # of a run that no process executes
        made = total(writer, "created_at) / 2, 0) FROM reservation")
        writer.submit(lambda tx: reservations.prune(tx, now=made + reservations.FORGOTTEN)).result()
        assert spending.begun(meters) is None
        writer.submit(lambda tx: reservations.prune(tx, now=made + reservations.FORGOTTEN + 1)).result()
        assert spending.begun(meters) is not None


def test_a_call_that_is_given_up_while_it_asks_takes_nothing(url: str) -> None:
    with opened(url, 1) as (writer, meters, _worker):
        course = meters.reserve(spending.Run(), "tool", "send")
        asked = next(course)
        course.close()
        asked.result()  # type: ignore[union-attr]  # it waits for the database
        writer.submit(lambda tx: None).result()
        assert spending.begun(meters) is not None


def test_what_could_not_be_given_back_is_given_back_with_the_next(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url, 2) as (writer, meters, _worker):
        one, other = spending.begun(meters), spending.begun(meters)
        assert one is not None and other is not None

        def away(transaction: Transaction) -> None:
            raise UnavailableError("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(meters._reservations, "_give_back", away)  # pyright: ignore[reportPrivateUsage]
            one.release()
            writer.submit(lambda tx: None).result()
        other.release()
        writer.submit(lambda tx: None).result()
        assert spending.begun(meters) is not None and spending.begun(meters) is not None


def test_one_call_of_several_side_by_side_tries_a_circuit_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = "\nbreakers:\n  - {{id: down, on: {{names: [send]}}, failures: 1, within: 60s, rest: 30s, then: deny}}\n"
    monkeypatch.setattr(spending, "PACK", spending.PACK + breaker)
    passed: list[bool] = []
    with opened(url, 100) as (writer, meters, _worker):
        failing = spending.begun(meters)
        assert failing is not None
        now = meters._clock.now()  # pyright: ignore[reportPrivateUsage]
        writer.submit(failing.settle(None, 1, ok=False, now=now).write).result()
        assert spending.begun(meters) is None
        monkeypatch.setattr(meters._clock, "now", lambda: now + 31_000_000)  # pyright: ignore[reportPrivateUsage]
        calls = [threading.Thread(target=lambda: passed.append(spending.begun(meters) is not None)) for _ in range(8)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
    assert sorted(passed) == [False] * 7 + [True]
