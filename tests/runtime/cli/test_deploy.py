"""Stopping deployments and waiving rules on the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gatewright.runtime.cli.desk import Desk
from gatewright.runtime.cli.runs import verdict
from gatewright.runtime.views import RunView

if TYPE_CHECKING:
    from .conftest import Project

SMALL = '{"order": "A-17", "amount": 40}'
REASON = ("--reason", "it books twice", "--by", "kim")


@pytest.fixture(autouse=True)
def _data(project: Project) -> None:
    """Something has run here before."""
    assert project("run", "start", "clerk", "--input", SMALL).code == 0


def test_a_deployment_is_paused_listed_and_resumed(project: Project) -> None:
    assert project("deploy", "--json").json == [{"name": "clerk", "configured": True, "paused": None}]
    paused = project("deploy", "pause", "clerk", *REASON, "--json").json["paused"]
    assert (paused["by"], paused["reason"]) == ("kim", "it books twice")
    assert project("deploy", "list", "--json").json[0]["paused"] == paused
    assert project("deploy", "resume", "clerk", "--by", "lee", "--json").json["paused"] is None


def test_people_read_who_paused_what_and_why(project: Project) -> None:
    assert "active" in project("deploy").out
    assert "paused" in project("deploy", "pause", "clerk", *REASON).out
    shown = project("deploy").out
    assert "paused" in shown and "kim" in shown and "it books twice" in shown


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("pause", "clrk", *REASON), 2, "there is no deployment 'clrk'; did you mean 'clerk'?"),
        (("pause", "clerk"), 2, "Missing option '--reason'"),
        (("resume", "clerk"), 1, "deployment 'clerk' is not paused"),
        (("stop", "clerk"), 2, "no command 'stop' in 'gatewright deploy'"),
    ],
)
def test_what_cannot_be_done_has_its_exit_code_and_remedy(
    project: Project, args: tuple[str, ...], code: int, said: str
) -> None:
    done = project("deploy", *args)
    assert done.code == code
    assert said in done.err


def test_a_waiver_is_made_listed_and_revoked(project: Project) -> None:
    made = project("policy", "waive", "large", "--until", "4h", "--tool", "charge", *REASON, "--json").json
    assert (made["state"], made["rule_id"], made["scope"]["tool"]) == ("active", "large", "charge")
    listed = project("policy", "waivers").out
    assert made["id"] in listed and "tool charge" in listed
    assert project("policy", "revoke", made["id"], "--by", "lee", "--json").json["state"] == "revoked"
    assert "no rule is waived" in project("policy", "waivers").err
    assert project("policy", "waivers", "--all", "--json").json[0]["revoked_by"] == "lee"


def test_a_waiver_for_everything_is_refused(project: Project) -> None:
    done = project("policy", "waive", "large", "--until", "4h", *REASON)
    assert done.code == 2
    assert "name a deployment, agent, thread or tool" in done.err


def test_a_running_service_is_paused_at_once(project: Project, serving: Callable[..., str]) -> None:
    serving()
    assert project("deploy", "pause", "clerk", *REASON, "--json").json["paused"]["by"] == "kim"
    run = project("run", "start", "clerk", "--input", SMALL, "--no-wait", "--json").json
    assert run["status"] == "queued"
    project("deploy", "resume", "clerk", "--by", "lee")
    assert project("run", "watch", run["id"]).code == 0
    assert project("run", "show", run["id"], "--json").json["status"] == "succeeded"
    made = project("policy", "waive", "r", "--until", "4h", "--deployment", "clerk", *REASON, "--json").json
    assert project("policy", "revoke", made["id"], "--by", "lee", "--json").json["state"] == "revoked"
    assert [entry["id"] for entry in project("policy", "waivers", "--all", "--json").json] == [made["id"]]


def test_a_run_that_waits_for_its_deployment_says_what_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    run = RunView(
        id="run-1",
        thread_id="t",
        case_id="t",
        deployment="clerk",
        agent="clerk",
        status="waiting",
        attempt=1,
        waiting_for=["pause:clerk"],
        created_at=datetime.now(UTC),
    )
    assert verdict(Desk(), run) == 3
    assert capsys.readouterr().err == "its deployment is paused: gatewright deploy list\n"
