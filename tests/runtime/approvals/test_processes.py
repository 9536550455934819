"""Approvals outlive the processes that asked, and are used once whoever races for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError
from gatewright.runtime import clock
from gatewright.runtime.service import Service
from gatewright.safety.approvals.ballots import Voter

House = Any  # of the conftest above, which cannot be imported
SCRIPT = Path(__file__).parent / "parked.py"
GRAPHS = Path(__file__).parent.parent / "graphs"
BOB = Voter(name="bob", authenticated=True)


@contextmanager
def process(*arguments: str | Path) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def line(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def killed_while_parked(house: House, graph: str = "gates:paying", voter: str = "") -> tuple[str, str]:
    """The run and the request that a process left behind which was killed while it waited."""
    file, _, attribute = graph.partition(":")
    arguments = [house.folder / "data", f"{GRAPHS / file}.py:{attribute}", house.folder / "rules.yaml", voter]
    with process("park", *filter(None, arguments)) as started:
        run_id, _, request_id = line(started).partition(" ")
    assert request_id, "the process has ended before"
    return run_id, request_id


def ask(house: House, **approval: Any) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask", "approval": approval})


async def test_votes_outlive_the_process_that_was_killed_while_parked(house: House) -> None:
    ask(house, quorum=2)
    run_id, request_id = killed_while_parked(house, voter="ada")
    async with house.open("gates:paying") as service:
        view = await service.decide(request_id, "approve", voter=BOB)
        run = await service.wait(run_id, timeout=30)

        assert [vote.by for vote in view.votes] == ["ada", "bob"]
        assert (run.status, house.done) == ("succeeded", [["pay", 5]])
        assert (await service.approval(request_id)).state == "consumed"


async def test_two_workers_that_race_to_use_an_approval_use_it_once(house: House) -> None:
    ask(house)
    _run_id, request_id = killed_while_parked(house)
    async with await Service.open(house.config("gates:paying"), execute=False) as service:
        await service.decide(request_id, "approve", voter=BOB)
    folder = house.folder / "data"
    with process("use", folder, request_id) as one, process("use", folder, request_id) as other:
        workers = (one, other)
        assert [line(worker) for worker in workers] == ["ready", "ready"]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()

        assert sorted(line(worker) for worker in workers) == ["refused", "used"]


async def test_arguments_that_were_swapped_after_the_approval_are_not_used(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(house)
    run_id, request_id = killed_while_parked(house, "gates:other_arguments")
    monkeypatch.setenv("TURN", "2")  # the agent asks for another amount when its step is executed again
    async with house.open("gates:other_arguments") as service:
        await service.decide(request_id, "approve", voter=BOB)
        run = await service.wait(run_id, timeout=30)

        assert run.status == "failed"
        assert run.error is not None and run.error.type == "DivergenceError"
        assert house.done == []
        assert (await service.approval(request_id)).state == "approved"  # of nothing that was done


async def test_an_approval_given_under_other_rules_is_void_and_asked_for_anew(house: House) -> None:
    ask(house)
    run_id, first = killed_while_parked(house)
    ask(house, quorum=2)
    async with house.open("gates:paying") as service:
        await service.decide(first, "approve", voter=BOB)
        run = await service.wait(run_id, timeout=30)
        (second,) = await house.waiting(service, run)

        assert (await service.approval(first)).state == "void"
        assert (second.needed, second.given, house.done) == (2, 0, [])


async def test_what_expired_while_no_process_ran_is_not_performed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(house, expires="4h")
    _run_id, request_id = killed_while_parked(house)
    told = clock.Clock.now

    def five_hours_later(self: clock.Clock) -> int:
        return told(self) + 5 * 3600 * clock.MICROSECONDS

    monkeypatch.setattr(clock.Clock, "now", five_hours_later)
    async with house.open("gates:paying") as service:
        with pytest.raises(ConflictError, match="expired"):
            await service.decide(request_id, "approve", voter=BOB)

    assert house.done == []
