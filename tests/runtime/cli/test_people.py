"""People on the command line: making a token, signing in with it, and acting under no other name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Project

LARGE = json.dumps({"order": "B-02", "amount": 400})


@pytest.fixture
def tokens(project: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The tokens of two people, put into the configuration as the command says."""
    made: dict[str, str] = {}
    for name, role in (("Ada L.", "treasury"), ("oscar", "operator")):
        said = project("people", "token", name, "--role", role).out
        made[name] = next(line for line in said.splitlines() if line.startswith("gw_"))
        with (project.path / "gatewright.toml").open("a") as file:
            file.write("\n" + said[said.index("[people.") :])
    monkeypatch.delenv("GATEWRIGHT_TOKEN", raising=False)
    return made


@pytest.fixture(params=["alone", "beside a service"])
def anywhere(request: pytest.FixtureRequest, project: Project, tokens: dict[str, str]) -> Project:
    project("db", "upgrade")
    if request.param == "beside a service":
        request.getfixturevalue("serving")()
    return project


def test_a_token_is_shown_once_with_lines_that_are_a_configuration(project: Project) -> None:
    said = project("people", "token", 'Ädä "L."', "--role", "treasury", "--role", "ops")
    lines = said.out[said.out.index("[people.") :]

    person = tomllib.loads(lines)["people"]['Ädä "L."']

    assert person["roles"] == ["treasury", "ops"]
    assert len(person["token_sha256"]) == 64
    assert person["token_sha256"] not in said.out[: said.out.index("[people.")]


def test_a_new_token_keeps_the_roles(project: Project, tokens: dict[str, str]) -> None:
    again = project("people", "token", "oscar", "--json").json

    assert again["roles"] == ["operator"]
    assert again["token"] != tokens["oscar"]


@pytest.mark.parametrize(
    ("args", "said"),
    [(["service"], "is no name of a person"), (["a", "--role", "B B"], "'a' has a role 'B B'"), ([" "], "is no name")],
)
def test_what_cannot_be_configured_gets_no_token(project: Project, args: list[str], said: str) -> None:
    refused = project("people", "token", *args)

    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_people_are_listed_without_what_proves_them(project: Project, tokens: dict[str, str]) -> None:
    listed = project("people", "--json").json

    assert listed == [{"name": "Ada L.", "roles": ["treasury"]}, {"name": "oscar", "roles": ["operator"]}]


def test_whoami_says_whose_token_is_sent(
    anywhere: Project, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = anywhere("whoami")
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["Ada L."])
    ada = anywhere("whoami", "--json")
    monkeypatch.setenv("GATEWRIGHT_TOKEN", "guess")
    guess = anywhere("whoami")

    assert (nobody.code, guess.code) == (1, 1)
    assert "GATEWRIGHT_TOKEN" in nobody.err
    assert ada.json == {"kind": "person", "name": "Ada L.", "roles": ["treasury"], "operates": False}


def test_without_people_nobody_is_known(project: Project) -> None:
    assert project("whoami", "--json").json["kind"] == "anyone"


def test_a_decision_carries_the_name_of_the_token_and_no_other(
    anywhere: Project, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["oscar"])
    anywhere("run", "start", "clerk", "--input", LARGE)
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["Ada L."])
    (waiting,) = anywhere("approvals", "--json").json

    spoofed = anywhere("approvals", "approve", waiting["id"], "--by", "oscar")
    decided = anywhere("approvals", "approve", waiting["id"], "--json")

    assert spoofed.code == 1
    assert "the token is that of 'Ada L.'" in spoofed.err
    assert decided.json["decided_by"] == "Ada L."


def test_runs_are_cancelled_by_operators(
    anywhere: Project, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["Ada L."])
    run = anywhere("run", "start", "clerk", "--input", LARGE, "--json").json

    refused = anywhere("run", "cancel", run["id"])
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["oscar"])
    cancelled = anywhere("run", "cancel", run["id"], "--json")

    assert refused.code == 1
    assert "needs the role 'operator'" in refused.err
    assert cancelled.json["status"] == "cancelled"


def test_the_console_may_be_reached_from_elsewhere_where_people_sign_in(
    project: Project, tokens: dict[str, str], serving: Callable[..., str]
) -> None:
    assert serving("--host", "0.0.0.0").startswith("http://127.0.0.1:")


def test_whoever_started_a_run_does_not_approve_what_it_asks_for(
    anywhere: Project, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["Ada L."])
    anywhere("run", "start", "clerk", "--input", LARGE)
    (waiting,) = anywhere("approvals", "--json").json

    refused = anywhere("approvals", "approve", waiting["id"])

    assert refused.code == 2
    assert "'Ada L.' started the run" in refused.err
    assert anywhere("approvals", "list", "--mine", "--json").json == []


def test_where_people_are_known_no_program_approves(
    anywhere: Project, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (anywhere.path / "episodes.json").write_text("[]")
    command = ("run", "start", "clerk", "--episodes", "episodes.json", "--auto-approve")

    nobody = anywhere(*command)
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["Ada L."])
    ada = anywhere(*command)

    assert (nobody.code, ada.code) == (1, 1)
    assert "people are configured here: leave it out" in ada.err


def test_messages_are_sent_anew_by_operators(
    anywhere: Project, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["Ada L."])
    refused = anywhere("notices", "retry", "notice-1")
    monkeypatch.setenv("GATEWRIGHT_TOKEN", tokens["oscar"])
    unknown = anywhere("notices", "retry", "notice-1")

    assert (refused.code, unknown.code) == (1, 2)
    assert "needs the role 'operator'" in refused.err
