"""The world outside performs what reaches it and notes every call."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.chaos import outside
from benchmarks.chaos.processes import ROOT

BAGS = {"reservation_id": "GWR007", "total_baggages": 2, "nonfree_baggages": 1, "payment_id": "gift_card_1"}
CERTIFICATE = {"user_id": "hugo_brandt_1008", "amount": 50}


@pytest.fixture
def airline(tmp_path: Path) -> Generator[outside.Airline]:
    airline = outside.Airline(tmp_path / "record")
    yield airline
    airline.close()


def call(airline: outside.Airline, tool: str, args: dict[str, Any], *, key: str, case: str = "a") -> str:
    return airline.call(tool, args, case=case, key=key, run=f"run of {case}", by="worker")


def test_a_tool_that_knows_keys_performs_once_for_each(airline: outside.Airline, tmp_path: Path) -> None:
    first = call(airline, "update_reservation_baggages", BAGS, key="one")
    assert call(airline, "update_reservation_baggages", BAGS, key="one") == first
    call(airline, "update_reservation_baggages", BAGS, key="two")
    noted, _ = outside.recorded(tmp_path / "record")
    assert [one.performed for one in noted] == [True, False, True]
    assert [one.number for one in noted] == [1, 2, 3]
    assert noted[0].args == BAGS


def test_a_tool_that_knows_no_keys_performs_whatever_reaches_it(airline: outside.Airline, tmp_path: Path) -> None:
    results = [call(airline, "send_certificate", CERTIFICATE, key="one") for _ in range(2)]
    assert results[0] != results[1], "the second certificate is another one"
    noted, _ = outside.recorded(tmp_path / "record")
    assert [one.performed for one in noted] == [True, True]
    assert [one.result for one in noted] == results


def test_what_only_reads_is_not_noted(airline: outside.Airline, tmp_path: Path) -> None:
    assert "Hugo" in call(airline, "get_user_details", {"user_id": "hugo_brandt_1008"}, key="")
    assert outside.recorded(tmp_path / "record") == ([], [])


def test_cases_keep_their_changes_apart(airline: outside.Airline) -> None:
    call(airline, "send_certificate", CERTIFICATE, key="one", case="a")
    assert [name.partition(" ")[0] for name in airline.rows("a")] == ["users"]
    assert airline.rows("b") == {}


@pytest.fixture
def served(tmp_path: Path) -> Generator[Path]:
    place = tmp_path / "s"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.chaos.outside", str(place), str(tmp_path / "record")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield place
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


async def test_callers_at_the_same_time_get_their_own_answers(served: Path, tmp_path: Path) -> None:
    async def send(number: int) -> Any:
        question = {
            "asks": "call",
            "tool": "send_certificate",
            "args": CERTIFICATE,
            "case": f"case-{number}",
            "key": "",
            "run": "",
            "by": "",
        }
        return await asyncio.to_thread(outside.asked, served, question)

    results = await asyncio.gather(*(send(number) for number in range(20)))
    assert len(set(results)) == 1, "each is the first certificate of its case"
    step = {"asks": "mark", "key": "k", "sequence": 1, "once": "one", "by": "worker"}
    for _ in range(2):
        await asyncio.to_thread(outside.asked, served, step)
    noted, marks = outside.recorded(tmp_path / "record")
    assert sorted(one.case for one in noted) == sorted(f"case-{number}" for number in range(20))
    assert [one.number for one in noted] == list(range(1, 21))
    assert [(mark.key, mark.sequence, mark.performed) for mark in marks] == [("k", 1, True), ("k", 1, False)]
    rows = await asyncio.to_thread(outside.asked, served, {"asks": "rows", "case": "case-0"})
    assert json.loads(next(iter(rows.values())))["payment_methods"]
