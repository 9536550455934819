"""Processes are killed at random, again and again, and everything comes out as if nothing had happened.

The world that the tools act on is a file outside the service (`crash_graphs/graphs.py`); what it holds is compared with
what was asked for, with what people were asked, and with the ledger.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatewright.runtime import ledger
from gatewright.runtime.config import Config
from gatewright.runtime.service import Service
from gatewright.runtime.views import ApprovalView, RecordView

HOST = Path(__file__).parent / "crash_graphs" / "host.py"
GRAPHS = ("sequential", "parallel", "fanout", "nested", "asking", "flaky", "team")
REPEATABLE = frozenset({"notify"})  # tools whose server drops what it has done under the same key


def actions(graph: str, case: str) -> Counter[tuple[str, str]]:
    """What a run of a graph does to the world, each thing once: tool and case."""
    every = {
        "sequential": ["charge", "ship", "charge -fee", "notify", "charge -tax"],
        "parallel": ["charge -0", "ship -1", "charge -2", "ship -3", "notify -close"],
        "fanout": ["charge -0", "charge -1", "charge -2", "notify -close"],
        "nested": ["ship -inside", "charge -inside", "notify -close"],
        "asking": ["transfer", "charge -before", "charge -after", "notify -close"],
        "flaky": ["fetch", "charge", "notify -close"],
        "team": ["charge -front", "charge -one", "charge -two"],
    }
    split = (entry.partition(" ") for entry in every[graph])
    return Counter({(tool, case + more): 1 for tool, _, more in split})


def jobs(rounds: range) -> list[dict[str, str]]:
    """One run of each graph for each round; two rounds share their threads."""
    return [
        {"id": f"{graph}-{number}", "deployment": graph, "thread": f"{graph}-thread-{number // 2}"}
        for number in rounds
        for graph in GRAPHS
    ]


class Host:
    """The process that forks the processes that are killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self, folder: Path, work: Sequence[dict[str, str]], *, bare: bool = False) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "jobs": list(work), "bare": bare}) + "\n")
        word, _, number = self.line().partition(" ")
        assert word == "pid"
        return int(number)

    def line(self) -> str:
        assert self._process.stdout is not None
        found = self._process.stdout.readline().strip()
        assert found, "the host has ended"
        return found

    def until(self, marks: int) -> int | None:
        """Wait for so many marks of the world; gives the exit code if the process ended before."""
        while marks:
            line = self.line()
            if line.startswith("exit"):
                return int(line.removeprefix("exit "))
            marks -= 1
        return None

    def kill(self, process: int) -> int:
        """Kill and give the exit code."""
        os.kill(process, signal.SIGKILL)
        code = self.until(sys.maxsize)
        assert code is not None
        return code

    def finish(self) -> int:
        """Wait for the process to end; gives its exit code."""
        code = self.until(sys.maxsize)
        assert code is not None
        return code

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HOST.parent)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@dataclass
class Findings:
    """What the world, the people and the ledger say about what was to be done."""

    lost: list[tuple[str, str]] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)
    unexpected: list[tuple[str, str]] = field(default_factory=list)
    retried: list[tuple[str, str]] = field(default_factory=list)  # begun again although nobody had said so
    unrecorded: list[tuple[str, str]] = field(default_factory=list)


def examine(
    world: Sequence[dict[str, str]],
    wanted: Counter[tuple[str, str]],
    requests: Sequence[ApprovalView] = (),
    records: Sequence[RecordView] | None = None,
) -> Findings:
    """Compare. A thing that may be repeated counts once for each idempotency key."""
    found = Findings()
    happened = Counter((line["tool"], line["case"]) for line in world if line["event"] == "happened")
    begun = Counter((line["tool"], line["case"]) for line in world if line["event"] == "begun")
    refused = Counter((line["tool"], line["case"]) for line in world if line["event"] == "refused")
    keys = Counter({(line["tool"], line["case"], line["key"]) for line in world if line["key"]})
    found.lost = sorted(wanted - happened)
    found.repeated = sorted(thing for thing in happened if happened[thing] > 1)
    found.repeated += sorted((tool, case) for (tool, case), n in Counter(k[:2] for k in keys).items() if n > 1)
    found.unexpected = sorted(set(happened) - set(wanted))
    allowed = Counter(
        (request.action["name"], request.action["args"]["case"])
        for request in requests
        if request.kind == "unknown" and request.decision == "approve"
    )
    for thing, times in begun.items():
        if thing[0] not in REPEATABLE and times > 1 + refused[thing] + allowed[thing]:
            found.retried.append(thing)
    if records is not None:
        recorded = {
            (record.record["effect"]["name"], record.opened["args"]["case"])
            for record in records
            if record.record["effect"]["kind"] == "tool" and record.record["outcome"] == "ok"
        }
        found.unrecorded = sorted(set(happened) - recorded)
    return found


def world_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "world.jsonl").read_text("utf-8").splitlines()]


@dataclass
class End:
    """A data directory after everything has ended. `outcomes` are those of each thread's runs, in their order."""

    outcomes: dict[str, list[tuple[str, Any]]]
    states: dict[str, Any]
    requests: list[ApprovalView]
    records: list[RecordView]


def end_of(folder: Path) -> End:
    async def read() -> End:
        settings: Config = importlib.import_module("host").config(folder)
        async with await Service.open(settings, execute=False) as service:
            outcomes: dict[str, list[tuple[str, Any]]] = {}
            for run in reversed(await service.runs(limit=10_000)):
                outcomes.setdefault(run.thread_id, []).append((run.status, run.output))
            return End(
                outcomes,
                {thread: await service.thread_state(thread) for thread in outcomes},
                await service.approvals(state=None, limit=10_000),
                await service.records(kind="effect", limit=100_000),
            )

    return asyncio.run(read())


def torment(host: Host, folder: Path, *, kills: int, seed: int) -> tuple[list[dict[str, str]], int]:
    """Kill the service `kills` times while it works, then let it end; gives the work that it had, and the kills."""
    chance = random.Random(seed)
    rounds, killed = 6, 0
    work = jobs(range(rounds))
    while killed < kills:
        process = host.start(folder, work)
        if chance.random() < 0.1:
            time.sleep(chance.uniform(0.0, 0.3))  # while it starts, recovers, accepts
        else:
            code = host.until(chance.randint(1, 6))
            if code is not None:
                assert code == 0
                rounds += 2
                work = jobs(range(rounds))
                continue
            time.sleep(chance.choice([0.0, chance.uniform(0.0, 0.003), chance.uniform(0.0, 0.03)]))
        code = host.kill(process)
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
    process = host.start(folder, work)
    assert host.finish() == 0
    return work, killed


def check(host: Host, tmp_path: Path, *, kills: int, seed: int, database: str = "") -> None:
    """Compare what was disturbed, on a PostgreSQL database if one is given, with what was not, on SQLite."""
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    disturbed.mkdir()
    undisturbed.mkdir()
    if database:
        (disturbed / "database").write_text(database, "utf-8")
    work, killed = torment(host, disturbed, kills=kills, seed=seed)
    host.start(undisturbed, work)
    assert host.finish() == 0

    assert killed >= kills
    wanted: Counter[tuple[str, str]] = Counter()
    for job in work:
        wanted += actions(job["deployment"], job["id"])
    assert examine(world_of(undisturbed), wanted) == Findings()
    end, expected = end_of(disturbed), end_of(undisturbed)
    assert examine(world_of(disturbed), wanted, end.requests, end.records) == Findings()

    assert end.outcomes == expected.outcomes
    assert end.states == expected.states
    unknown = [request for request in end.requests if request.kind == "unknown"]
    assert unknown, "no process was killed while the outcome of an effect was open"
    assert all(request.action["name"] not in REPEATABLE for request in unknown)
    found = ledger.verify(disturbed / "data", url=database)
    assert found.ok, found.bad
    assert found.size == found.signed


@pytest.mark.timeout(280)
def test_killed_a_hundred_times_everything_ends_as_if_undisturbed(host: Host, tmp_path: Path) -> None:
    check(host, tmp_path, kills=100, seed=1)


@pytest.mark.timeout(280)
def test_killed_again_and_again_on_postgresql_everything_ends_as_if_undisturbed(
    host: Host, tmp_path: Path, database_url: str
) -> None:
    check(host, tmp_path, kills=12, seed=1, database=database_url)  # each time, the dead process' lease must end first


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_killed_a_thousand_times_everything_ends_as_if_undisturbed(host: Host, tmp_path: Path, seed: int) -> None:
    check(host, tmp_path, kills=100, seed=seed)


def test_the_examination_sees_that_bare_langgraph_repeats_effects(host: Host, tmp_path: Path) -> None:
    work = [job for job in jobs(range(2)) if job["deployment"] in ("sequential", "parallel", "fanout")]
    for _ in range(5):
        process = host.start(tmp_path, work, bare=True)
        assert host.until(2) is None  # one thing was begun and has happened
        host.kill(process)
    host.start(tmp_path, work, bare=True)
    assert host.finish() == 0

    wanted: Counter[tuple[str, str]] = Counter()
    for job in work:
        wanted += actions(job["deployment"], job["id"])
    found = examine(world_of(tmp_path), wanted)
    assert found.repeated
    assert found.retried
    assert (found.lost, found.unexpected) == ([], [])


def test_the_examination_sees_what_was_lost_and_what_was_not_recorded() -> None:
    wanted = actions("sequential", "a")
    world = [
        {"event": event, "tool": tool, "case": case, "key": ""}
        for tool, case in wanted
        if tool != "ship"
        for event in ("begun", "happened")
    ]
    found = examine(world, wanted, (), ())
    assert found.lost == [("ship", "a")]
    assert len(found.unrecorded) == len(wanted) - 1
