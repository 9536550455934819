from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.scenarios.suites.offices import RULES, Office, held

from gatewright.scenarios import gate, suites
from gatewright.scenarios.gate import Trial, trials

PROGRAM = Path(sys.executable).with_name("gatewright")


def plain(row: Trial) -> Trial:
    """A row without what is different each time."""
    return row.model_copy(update={"latency": None})


def test_a_process_that_dies_fails_its_own_trial_and_what_was_done_is_not_done_again(desk: Office) -> None:
    cases = ("{id: before, input: {amount: 1}}", "{id: fine, input: {amount: 1}}", "{id: dies, input: {do: die}}")
    prepared = desk.prepared("cases:\n" + "".join(f"- {case}\n" for case in cases))
    output, told = desk.folder / "base.jsonl", list[int]()
    done = Trial(case="before", trial=0, success=True, note="done before")
    trials.write(output, trials.table("base", [done], prepared.header.about))
    table = suites.run(prepared, output, step=told.append)
    before, fine, dead = table.trials
    assert (before, fine.success) == (done, True)
    assert dead.success is False and dead.note == "error: the process that ran it ended with exit code 3"
    assert told == [1, 1, 1]
    assert trials.read(output).trials == table.trials


@pytest.mark.slow
def test_a_trial_that_nobody_can_end_is_ended_with_its_process(desk: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.scenarios.suites.crew.GRACE", 15.0)
    prepared = desk.prepared("cases:\n- {id: hangs, input: {do: block}, seconds: 0.5}\n- {id: fine, input: {}}\n")
    hung, fine = suites.run(prepared, None).trials
    assert hung.note == "error: it could not be ended after 0.5 s, the limit of the case"
    assert fine.success is True


@pytest.mark.slow
async def test_fifty_claims_come_out_the_same_with_one_job_and_with_three(desk: Office) -> None:
    prepared = desk.prepared("seed: 11\ncases:\n- generate: {count: 50}\n", deployment="claims")
    alone = await held(desk.config, prepared, prepared.tasks)
    together = suites.run(prepared, None, jobs=3).trials
    assert [plain(row) for row in together] == [plain(row) for row in alone]


@pytest.mark.slow
def test_a_run_that_is_killed_is_gone_on_with_and_ends_as_if_it_had_not_been(desk: Office) -> None:
    suite = desk.suite("seed: 3\ncases:\n- generate: {count: 30}\n", deployment="claims")
    (desk.folder / "gatewright.toml").write_text('[deployments.claims]\nteam = "claims"\n')
    output = desk.folder / "base.jsonl"
    command = [str(PROGRAM), "scenario", "run", str(suite), "-o", str(output)]
    for _ in range(2):
        lines = _lines(output)
        with subprocess.Popen(
            [*command, "--json"], cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as run:
            while run.poll() is None and _lines(output) < lines + 4:
                time.sleep(0.02)
            assert run.poll() is None
            os.kill(run.pid, signal.SIGKILL)
    ended = subprocess.run([*command, "--json"], cwd=desk.folder, capture_output=True, check=True)
    rows = [Trial.model_validate(row) for row in json.loads(ended.stdout)["trials"]]
    undisturbed = suites.run(suites.prepare(suites.read(suite), desk.config, name="base"), None).trials
    assert [plain(row) for row in rows] == [plain(row) for row in undisturbed]


@pytest.mark.slow
async def test_the_gate_does_not_fail_the_same_release_and_names_what_a_worse_one_broke(desk: Office) -> None:
    cases = "".join(f"- {{id: r{n}, input: {{amount: {n}}}}}\n" for n in range(60, 90))
    suite = f"cases:\n{cases}checks:\n  paid: effects.exists(e, e.name == 'refund' && e.outcome == 'ok')\n"
    base, again = gate.table("base", await desk.tried(suite)), gate.table("again", await desk.tried(suite))
    same = gate.judge(base, again, gate.Gate())
    assert same.outcome in ("pass", "inconclusive") and not same.comparison.changed("broken")
    desk.rules(RULES.replace("args.amount == 666.0", "args.amount >= 75.0"))
    worse = gate.judge(base, gate.table("worse", await desk.tried(suite)), gate.Gate())
    assert worse.outcome == "fail"
    assert {case.name for case in worse.comparison.changed("broken")} == {f"r{n}" for n in range(75, 90)}


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
