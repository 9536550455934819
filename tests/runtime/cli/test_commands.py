"""The commands, as a person or a script types them: on a data directory of their own, and beside a running service."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from gatewright.runtime.api import presence

if TYPE_CHECKING:
    from .conftest import Project

PROGRAM = Path(sys.executable).with_name("gatewright")
SMALL = json.dumps({"order": "A-17", "amount": 40})
LARGE = json.dumps({"order": "B-02", "amount": 400})


@pytest.fixture(params=["alone", "beside a service"])
def anywhere(request: pytest.FixtureRequest, project: Project) -> Project:
    """The project, with or without a service running on its data directory."""
    if request.param == "beside a service":
        request.getfixturevalue("serving")()
    return project


def test_a_run_is_started_waited_for_and_shown(anywhere: Project) -> None:
    started = anywhere("run", "start", "clerk", "--input", SMALL, "--json")
    shown = anywhere("run", "show", started.json["id"], "--json")
    listed = anywhere("run", "--json")

    assert (started.code, started.json["status"]) == (0, "succeeded")
    assert shown.json["output"]["answer"] == "40.00 refunded for order A-17"
    assert [run["id"] for run in listed.json] == [started.json["id"]]


def test_a_run_that_waits_is_inconclusive_until_a_person_decides(anywhere: Project) -> None:
    started = anywhere("run", "start", "clerk", "--input", LARGE, "--json")
    (waiting,) = anywhere("approvals", "--json").json
    decided = anywhere("approvals", "approve", waiting["id"], "--by", "ada", "--json")
    watched = anywhere("run", "watch", started.json["id"], "--json")

    assert started.code == 3
    assert f"gatewright approvals show {waiting['id']}" in started.err
    assert (decided.code, decided.json["decided_by"]) == (0, "ada")
    assert watched.code == 0
    assert json.loads(watched.out.splitlines()[-1])["data"]["run"]["status"] == "succeeded"


def test_an_edit_changes_what_is_done(anywhere: Project) -> None:
    started = anywhere("run", "start", "clerk", "--input", "-", "--json", input=LARGE)
    (waiting,) = anywhere("approvals", "list", "--run", started.json["id"], "--json").json
    args = '{"order": "B-02", "amount": 250}'

    edited = anywhere("approvals", "edit", waiting["id"], "--args", args, "--by", "ada")
    anywhere("run", "watch", started.json["id"])

    assert edited.code == 0
    assert "250.00 refunded" in anywhere("run", "show", started.json["id"]).out


def test_rejecting_needs_a_reason(project: Project) -> None:
    project("run", "start", "clerk", "--input", LARGE)
    (waiting,) = project("approvals", "--json").json

    refused = project("approvals", "reject", waiting["id"])
    rejected = project("approvals", "reject", waiting["id"], "--reason", "not today", "--json")

    assert refused.code == 2
    assert "--reason" in refused.err
    assert rejected.json["decision_reason"] == "not today"


def test_an_approval_is_described_with_the_commands_that_decide_it(project: Project) -> None:
    project("run", "start", "clerk", "--input", LARGE)
    (waiting,) = project("approvals", "--json").json

    shown = project("approvals", "show", waiting["id"])

    assert f"gatewright approvals approve {waiting['id']}" in shown.out
    assert '"amount": 400' in shown.out


def test_a_run_that_is_only_queued_is_executed_later(project: Project) -> None:
    queued = project("run", "start", "clerk", "--input", SMALL, "--no-wait", "--json")

    watched = project("run", "watch", queued.json["id"])

    assert (queued.code, queued.json["status"]) == (0, "queued")
    assert "gatewright worker" in queued.err
    assert watched.code == 0


def test_a_cancelled_run_is_a_no(project: Project) -> None:
    started = project("run", "start", "clerk", "--input", LARGE, "--json")

    cancelled = project("run", "cancel", started.json["id"], "--reason", "no longer wanted", "--json")

    assert cancelled.json["status"] == "cancelled"
    assert project("run", "watch", started.json["id"]).code == 1


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["run", "start", "clark", "--input", "{}"], 2, "no deployment 'clark'; did you mean 'clerk'?"),
        (["run", "start", "support", "--input", "{}"], 2, "configured are: clerk"),
        (["run", "list", "--status", "runing"], 2, "'runing' is not one of 'queued'"),
        (["run", "list", "--offset", str(2**63)], 2, "--offset"),
        (["audit", "show", "--kind", "efect"], 2, "'efect' is not one of 'effect'"),
        (["audit", "show", str(2**63)], 2, "is not in the range"),
        (["run", "start", "clerk", "--input", "{"], 2, "is not JSON"),
        (["run", "start", "clerk", "--auto-approve"], 2, "--auto-approve belongs to --episodes"),
        (["run", "show", "nowhere"], 2, "'nowhere'"),
        (["approvals", "approve", "nowhere"], 2, "'nowhere'"),
        (["serve", "--host", "0.0.0.0"], 2, "refusing to listen"),
    ],
)
def test_mistakes_are_told_with_their_exit_code(project: Project, args: list[str], code: int, said: str) -> None:
    project("db", "upgrade")

    result = project(*args)

    assert result.code == code
    assert result.err.startswith(("error: ", "Usage"))
    assert said in result.err


@pytest.mark.parametrize("args", [["run"], ["run", "show", "x"], ["approvals"], ["audit"], ["audit", "export"]])
def test_looking_where_nothing_has_run_leaves_nothing_behind(project: Project, args: list[str]) -> None:
    before = sorted(project.path.iterdir())

    result = project(*args)

    assert result.code == 4
    assert "nothing has run here yet" in result.err
    assert sorted(project.path.iterdir()) == before


@pytest.mark.parametrize("command", [["db", "upgrade"], ["serve", "--port", "0"]])
def test_a_data_directory_that_cannot_be_made_is_named(project: Project, command: list[str]) -> None:
    (project.path / "file").write_text("", "utf-8")

    done = project(*command, "--data-dir", "file/data")

    assert done.code == 4
    assert "file/data' cannot be made: Not a directory; choose another data_dir" in done.err


def test_a_data_directory_is_nobody_elses_to_read(project: Project) -> None:
    project("db", "upgrade", "--data-dir", "mine")

    assert (project.path / "mine").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("args", [["db", "check"], ["db", "upgrade"], ["run"], ["doctor"]])
def test_a_file_that_is_no_database_is_told_with_the_remedy(project: Project, args: list[str]) -> None:
    (project.path / ".gatewright").mkdir()
    (project.path / ".gatewright" / "gatewright.sqlite").write_bytes(b"not a database. " * 1000)

    result = project(*args)

    assert result.code == 4
    assert "restore the file from a backup" in result.err + result.out


def test_a_worker_executes_what_was_queued_and_ends_cleanly(project: Project) -> None:
    queued = project("run", "start", "clerk", "--input", SMALL, "--no-wait", "--json")
    worker = subprocess.Popen([str(PROGRAM), "worker", "--json"], cwd=project.path, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        began = json.loads(worker.stdout.readline())
        while not ended(project.path, queued.json["id"]):
            assert worker.poll() is None
    finally:
        worker.terminate()
        worker.communicate(timeout=60)

    shown = project("run", "show", queued.json["id"], "--json")
    assert began == {"database": str(project.path / ".gatewright")}
    assert worker.returncode == 0
    assert shown.json["output"]["answer"] == "40.00 refunded for order A-17"


def test_a_running_service_keeps_its_own_model(project: Project, serving: Callable[..., str]) -> None:
    serving()

    refused = project("run", "start", "clerk", "--model", "openai:gpt-4o", "--input", SMALL)

    assert refused.code == 2
    assert "has its own model" in refused.err


def ended(folder: Path, run_id: str) -> bool:
    """Whether a run has ended, as the database says while the worker holds the directory."""
    with closing(sqlite3.connect(f"file:{folder}/.gatewright/gatewright.sqlite?mode=ro", uri=True)) as database:
        (status,) = database.execute("select status from run where id = ?", [run_id]).fetchone()
    return status not in ("queued", "running")


def test_the_ledger_is_verified_shown_and_exported(anywhere: Project) -> None:
    anywhere("run", "start", "clerk", "--input", SMALL)
    exported = anywhere("audit", "export", "--output", "ledger.jsonl", "--json")
    records = anywhere("audit", "--kind", "effect", "--json").json
    shown = anywhere("audit", "show", str(records[0]["index"]), "--json")
    lines = [json.loads(line) for line in (anywhere.path / "ledger.jsonl").read_text("utf-8").splitlines()]

    assert [record["record"]["effect"]["name"] for record in records] == ["find_order", "refund"]
    assert shown.json["proof"]["index"] == records[0]["index"]
    assert len(lines) == exported.json["records"] + 1 == lines[0]["ledger"]["size"] + 1
    assert "opened" not in lines[1]


def test_a_ledger_that_holds_passes_and_one_that_was_changed_does_not(project: Project) -> None:
    project("run", "start", "clerk", "--input", SMALL)
    before = project("audit", "verify", "--json")
    with sqlite3.connect(project.path / ".gatewright" / "gatewright.sqlite") as database:
        database.execute("DROP TRIGGER IF EXISTS leaf_no_update")
        database.execute("UPDATE leaf SET body = CAST(replace(body, 'refund', 'refuse') AS BLOB) WHERE id = 1")
    database.close()
    after = project("audit", "verify", "--json")

    assert (before.code, before.json["ok"]) == (0, True)
    assert after.code == 5
    assert 1 in {finding["index"] for finding in after.json["findings"]}


def test_what_was_held_and_is_no_checkpoint_does_not_speak_against_the_ledger(project: Project) -> None:
    project("run", "start", "clerk", "--input", SMALL)
    found = project("audit", "verify", "--held", "held.txt")
    assert found.code == 2
    assert "'held.txt' is no signed checkpoint; write the path of a file that holds one as @FILE" in found.err


def test_the_ledger_of_a_postgresql_database_is_verified_too(
    project: Project, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWRIGHT_DATABASE", database_url)
    project("run", "start", "clerk", "--input", SMALL)
    before = project("audit", "verify", "--json")
    with psycopg.connect(database_url.replace("+psycopg", "")) as database:
        database.execute("ALTER TABLE leaf DISABLE TRIGGER ALL")
        database.execute(
            "UPDATE leaf SET body = convert_to(replace(convert_from(body, 'UTF8'), 'refund', 'refuse'), 'UTF8')"
        )
    after = project("audit", "verify")

    assert (before.code, before.json["ok"], before.json["waiting"]) == (0, True, 0)
    assert before.json["signed"] == before.json["size"] > 0
    assert after.code == 5
    assert "THE LEDGER DOES NOT HOLD" in after.out


def test_the_schema_is_made_and_checked(project: Project) -> None:
    missing = project("db", "check")
    made = project("db", "upgrade", "--json")
    found = project("db", "check", "--json")

    assert missing.code == 4
    assert "gatewright db upgrade" in missing.err
    assert (made.code, found.code) == (0, 0)
    assert found.json["schema"] == made.json["schema"] == found.json["head"]


def change(project: Project, statement: str) -> None:
    """Change the database behind the program's back."""
    with closing(sqlite3.connect(project.path / ".gatewright" / "gatewright.sqlite")) as connection, connection:
        connection.execute(statement)


def test_a_schema_of_a_newer_version_asks_for_that_version(project: Project) -> None:
    project("db", "upgrade")
    change(project, "UPDATE alembic_version SET version_num = '9999'")

    found, sick = project("db", "check"), project("doctor", "--json")

    assert found.code == 4 and "install the newer Gatewright that wrote it" in found.err
    assert sick.code == 4
    assert {finding["check"]: finding["state"] for finding in sick.json}["database"] == "bad"


def test_a_schema_that_was_changed_by_hand_is_not_said_to_be_mended_by_an_upgrade(project: Project) -> None:
    project("db", "upgrade")
    change(project, "DROP TABLE dead_letter")

    found = project("db", "check")

    assert found.code == 1
    assert "dead_letter" in found.out and "go back to a backup" in found.out and "upgrade`" not in found.out


def test_a_healthy_folder_passes_the_doctor(project: Project) -> None:
    result = project("doctor", "--json")

    assert {finding["check"]: finding["state"] for finding in result.json}["configuration"] == "ok"
    assert result.code == (4 if "bad" in {finding["state"] for finding in result.json} else 0)


def test_the_doctor_names_what_is_wrong(project: Project) -> None:
    (project.path / "gatewright.toml").write_text('[deployments.clerk]\ngraph = "gone.py:graph"\n', "utf-8")

    result = project("doctor", "--json")

    assert result.code == 4
    assert next(each["found"] for each in result.json if each["check"] == "deployment clerk").startswith("no file")


def test_a_langgraph_project_runs_as_it_is(project: Project) -> None:
    (project.path / "gatewright.toml").unlink()
    (project.path / "langgraph.json").write_text('{"graphs": {"agent": "./agent.py:graph"}, "store": {}}', "utf-8")

    result = project.program("run", "start", "agent", "--input", LARGE, "--json")

    assert (result.code, result.json["status"]) == (0, "succeeded")
    assert "'store' is not supported" in result.err


def test_the_service_is_told_apart_from_one_that_was_killed(project: Project, serving: Callable[..., str]) -> None:
    serving()
    (file,) = (project.path / ".gatewright").glob(presence.FILES)
    announced = json.loads(file.read_text("utf-8"))

    import os
    import signal

    os.kill(announced["pid"], signal.SIGKILL)
    os.waitid(os.P_PID, announced["pid"], os.WEXITED | os.WNOWAIT)

    assert project("run", "list", "--json").json == []
