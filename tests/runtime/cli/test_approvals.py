"""Approvals on the command line: for others, several at once, with grants, and alone in an emergency."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.cli.inputs import Time
from gatewright.runtime.people import digest

if TYPE_CHECKING:
    from .conftest import Project, Result

As = Callable[..., "Result"]

LARGE = json.dumps({"order": "B-02", "amount": 400})
PEOPLE = {"ada": ["treasury"], "bob": ["treasury", "break_glass"], "carol": ["ops"], "oscar": ["operator"]}


@pytest.fixture
def terms() -> dict[str, Any]:
    return {"roles": ["treasury"]}


@pytest.fixture(params=["alone", "beside a service"])
def as_(request: pytest.FixtureRequest, project: Project, terms: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> As:
    """Runs a command as one of the people, with or without a service on the data directory."""
    rules = (project.path / "rules.yaml").read_text("utf-8")
    written = f"then: ask\n    approval: {json.dumps(terms)}\n"
    (project.path / "rules.yaml").write_text(rules.replace("then: ask\n", written), "utf-8")
    with (project.path / "gatewright.toml").open("a") as file:
        for name, roles in PEOPLE.items():
            file.write(f'\n[people.{name}]\nroles = {json.dumps(roles)}\ntoken_sha256 = "{digest(name)}"\n')
    if request.param == "beside a service":
        request.getfixturevalue("serving")()

    def run(name: str, *args: str, input: str | None = None) -> Result:
        monkeypatch.setenv("GATEWRIGHT_TOKEN", name)
        return project(*args, input=input)

    return run


def waiting(as_: As, name: str = "oscar") -> str:
    """A new request, of a run that this person starts."""
    run = as_(name, "run", "start", "clerk", "--input", LARGE, "--json").json
    return str(run["waiting_for"][0])


def test_what_is_mine_is_listed_with_how_far_it_is(as_: As) -> None:
    approval = waiting(as_)

    table = as_("ada", "approvals", "list", "--mine").out

    assert approval in table
    assert "0 of 1, next treasury" in table
    assert as_("carol", "approvals", "list", "--mine", "--json").json == []
    assert [view["id"] for view in as_("carol", "approvals", "--role", "treasury", "--json").json] == [approval]
    assert as_("carol", "approvals", "--after", approval, "--json").json == []


def test_whoever_lacks_the_role_is_told_so(as_: As) -> None:
    refused = as_("carol", "approvals", "approve", waiting(as_))

    assert refused.code == 2
    assert "needs the role 'treasury'" in refused.err


def test_a_delegate_votes_and_the_giver_revokes(as_: As) -> None:
    given = as_("ada", "approvals", "delegate", "carol", "--until", "2d", "--reason", "holiday", "--json").json
    listed = as_("oscar", "approvals", "delegations", "--person", "carol", "--json").json
    voted = as_("carol", "approvals", "approve", waiting(as_), "--for", "ada", "--json").json
    stranger = as_("carol", "approvals", "revoke", given["id"])
    revoked = as_("ada", "approvals", "revoke", given["id"], "--json").json
    after = as_("carol", "approvals", "approve", waiting(as_), "--for", "ada")

    assert [(one["by"], one["to"], one["reason"]) for one in listed] == [("ada", "carol", "holiday")]
    assert (voted["votes"][0]["by"], voted["votes"][0]["on_behalf_of"]) == ("carol", "ada")
    assert (stranger.code, revoked["active"], after.code) == (2, False, 2)
    assert as_("ada", "approvals", "delegations", "--json").json == []
    assert len(as_("ada", "approvals", "delegations", "--all", "--json").json) == 1


def test_a_grant_is_given_listed_and_revoked_by_an_operator(as_: As) -> None:
    approval = waiting(as_)
    as_("ada", "approvals", "approve", approval, "--grant", "until", "--until", "4h", "--same", "order")
    (grant,) = as_("carol", "approvals", "grants", "--json").json
    table = as_("carol", "approvals", "grants").out
    passed = as_("oscar", "run", "start", "clerk", "--input", LARGE, "--json").json
    revoked = as_("oscar", "approvals", "revoke", grant["id"])
    asked = as_("oscar", "run", "start", "clerk", "--input", LARGE, "--json").json

    assert (grant["by"], grant["args"], grant["reach"]) == ("ada", {"order": "B-02"}, "until")
    assert "all threads" in table
    assert (passed["status"], revoked.code, asked["status"]) == ("succeeded", 0, "waiting")


def test_several_are_decided_each_for_itself(as_: As) -> None:
    approvals = [waiting(as_), waiting(as_)]

    no_reason = as_("ada", "approvals", "batch", "reject", *approvals)
    partly = as_("ada", "approvals", "batch", "reject", approvals[0], "ask-nowhere", "--reason", "no", "--json")
    done = as_("ada", "approvals", "batch", "approve", approvals[1])

    assert (no_reason.code, partly.code, done.code) == (2, 1, 0)
    assert [(each["id"], each["state"]) for each in partly.json] == [(approvals[0], "rejected"), ("ask-nowhere", None)]


def test_an_emergency_wants_a_reason_and_a_yes(as_: As) -> None:
    approval = waiting(as_)
    command = ("approvals", "approve", approval, "--break-glass")

    no_reason = as_("bob", *command, "--yes")
    no = as_("bob", *command, "--reason", "fire", input="n\n")
    no_role = as_("ada", *command, "--reason", "fire", "--yes")
    before = as_("ada", "approvals", "show", approval, "--json").json
    yes = as_("bob", *command, "--reason", "fire", input="y\n")
    shown = as_("ada", "approvals", "show", approval).out

    assert (no_reason.code, no.code, no_role.code, yes.code) == (2, 130, 2, 0)
    assert before["votes"] == []
    assert "approve by bob in an emergency: fire" in shown


def test_a_vote_on_another_action_than_was_shown_is_refused(as_: As) -> None:
    refused = as_("ada", "approvals", "approve", waiting(as_), "--shown", "0" * 64)

    assert refused.code == 1
    assert "look at it again" in refused.err


def test_options_of_a_grant_without_one_are_a_mistake(as_: As) -> None:
    refused = as_("ada", "approvals", "approve", waiting(as_), "--same", "order")

    assert refused.code == 2
    assert "--grant" in refused.err


@given(st.integers(1, 10_000), st.sampled_from(["s", "m", "h", "d"]))
def test_a_span_is_a_time_so_far_ahead(count: int, unit: str) -> None:
    seconds = count * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]

    before = datetime.now(UTC)
    found = Time().convert(f"{count}{unit}", None, None)

    assert before + timedelta(seconds=seconds) <= found <= datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "4", "4 weeks", "-4h", "99999999999d", "2027-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        Time().convert(text, None, None)


def test_a_time_without_a_zone_is_local() -> None:
    found = Time().convert("2027-01-31T18:00", None, None)

    assert (found.tzinfo is not None, found.replace(tzinfo=None)) == (True, datetime(2027, 1, 31, 18))
