from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.scenarios.suites.offices import RULES

from gatewright.runtime.cli import main
from gatewright.scenarios import suites

CLERK = Path(__file__).parents[1] / "suites" / "clerk.py"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, args)), catch_exceptions=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "gatewright.toml").write_text(
        f'[deployments.clerk]\ngraph = "{CLERK}:graph"\nrules = "rules.yaml"\n'
        '[deployments.claims]\nteam = "claims"\n[deployments.support]\nteam = "support"\n'
    )
    return tmp_path


def suite(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_suite_that_does_not_fit_is_a_usage_error(folder: Path) -> None:
    assert run("scenario", "run", "none.yaml").exit_code == 2
    wrong = run("scenario", "run", suite(folder / "s.yaml", "suite: s\nversion: 1\ndeployment: clerk\ncases: []\n"))
    assert wrong.exit_code == 2 and "s.yaml:4: cases: List should have at least 1 item" in wrong.stderr
    text = "suite: s\nversion: 1\ndeployment: clerk\ncases: [{id: one, input: {}}]\n"
    unknown = run("scenario", "run", suite(folder / "s.yaml", text), "--case", "two")
    assert unknown.exit_code == 2 and "the suite has no case 'two'" in unknown.stderr


def test_a_bad_run_becomes_a_suite_with_its_episode_beside_it(folder: Path) -> None:
    started = run("run", "start", "clerk", "--input", '{"amount": 666}', "--json")
    bad = json.loads(started.stdout)["id"]
    made = run("scenario", "from-run", bad, "-o", "bad.yaml", "--json")
    assert made.exit_code == 0
    assert list(json.loads(made.stdout)["checks"]) == ["succeeded", "not-refused-1"]
    (cases,) = suites.read(folder / "bad.yaml").suite.cases
    assert (cases.inputs, cases.severity, cases.episode) == ([{"amount": 666}], "block", "bad.episode.jsonl.gz")
    replayed = run("scenario", "replay", "bad.episode.jsonl.gz", "--mode", "strict", "--json")
    assert replayed.exit_code == 0 and json.loads(replayed.stdout)["episodes"] == {"equal": 1, "total": 1}
    again = run("scenario", "from-run", bad, "-o", "bad.yaml")
    assert again.exit_code == 2 and "there is a file 'bad.yaml' already" in again.stderr


def test_a_run_that_is_not_there_makes_no_suite(folder: Path) -> None:
    run("run", "start", "clerk", "--input", '{"amount": 1}')
    made = run("scenario", "from-run", "run-none", "-o", "bad.yaml")
    assert made.exit_code == 2 and not (folder / "bad.yaml").exists()


@pytest.mark.slow
def test_a_suite_is_run_gone_on_with_and_put_before_the_gate(folder: Path) -> None:
    text = "suite: air\nversion: 1\ndeployment: support\nchecks: {solved: reward == 1.0}\nmetrics: [success, reward]\n"
    air = suite(folder / "air.yaml", text + "cases:\n- conversations: built-in\n")
    first = run("scenario", "run", air, "-o", "base.jsonl", "--trials", "1", "--jobs", "2")
    assert first.exit_code == 0 and "9 of 9" in first.stderr and "100.0 %" in first.stdout
    written = (folder / "base.jsonl").read_bytes()
    assert run("scenario", "run", air, "-o", "base.jsonl").exit_code == 0
    assert (folder / "base.jsonl").read_bytes() == written
    assert run("scenario", "run", air, "-o", "again.jsonl").exit_code == 0
    assert run("scenario", "gate", "base.jsonl", "again.jsonl").exit_code in (0, 3)
    (folder / "gatewright.toml").write_text('[deployments.support]\nteam = "support"\nrules = "rules.yaml"\n')
    writing = "[book_reservation, cancel_reservation, update_reservation_flights, update_reservation_baggages]"
    (folder / "rules.yaml").write_text(
        "apiVersion: gatewright/v1\nkind: RulePack\nname: worse\nversion: 1\nrules:\n- id: none\n"
        f"  on: {{hook: tool.before, names: {writing}}}\n  when: size(args) > 0\n  then: deny\n  reason: planted\n"
        "  examples: {match: [{name: cancel_reservation, args: {reservation_id: A}}],"
        " pass: [{name: cancel_reservation}]}\n"
    )
    other = run("scenario", "run", air, "-o", "base.jsonl")
    assert other.exit_code == 1 and "holds trials of another release" in other.stderr
    assert run("scenario", "run", air, "-o", "worse.jsonl").exit_code == 0
    verdict = run("scenario", "gate", "base.jsonl", "worse.jsonl", "--json")
    assert verdict.exit_code == 1 and "airline-1-0" in verdict.stdout
