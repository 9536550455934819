"""`gatewright audit search` and `audit sample`, on a data directory of their own and beside a running service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gatewright.safety.ledger.sampling import commitment

if TYPE_CHECKING:
    from .conftest import Project

NONCE = "2d1f9c0a7be84e55"


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project with three refunds on record, of which one waits for a person."""
    for amount in (40, 60, 400):
        project("run", "start", "clerk", "--input", json.dumps({"order": f"A-{amount}", "amount": amount}))
    return project


@pytest.mark.slow  # starts a service
def test_a_service_and_the_database_itself_find_the_same(recorded: Project, request: pytest.FixtureRequest) -> None:
    asked = ("audit", "search", "--feature", "amount>=60", "--outcome", "ok", "--since", "2026-01-01T00:00Z", "--json")
    alone = recorded(*asked)
    request.getfixturevalue("serving")()
    beside = recorded(*asked)
    assert alone.json == beside.json
    assert [view["opened"]["args"]["amount"] for view in beside.json["records"]] == [60]


def test_records_are_found_by_features_newest_first(recorded: Project) -> None:
    found = recorded("audit", "search", "--feature", "amount<100", "--feature", "amount>=40", "--json")
    refunds = [view["opened"]["args"]["amount"] for view in found.json["records"]]
    assert (found.code, refunds, found.json["before"]) == (0, [60, 40], None)


def test_pages_follow_one_another(recorded: Project) -> None:
    first = recorded("audit", "search", "--kind", "effect", "--limit", "1", "--json").json
    second = recorded("audit", "search", "--kind", "effect", "--before", str(first["before"]), "--json").json
    assert first["records"][0]["index"] > second["records"][0]["index"]
    assert first["before"] == first["records"][0]["index"]


def test_what_is_malformed_is_refused(recorded: Project) -> None:
    assert recorded("audit", "search", "--feature", "amount").code == 2
    assert recorded("audit", "search", "--since", "2026-01-01").code == 2


def test_a_sample_is_repeated_from_nonce_and_checkpoint(project: Project) -> None:
    for amount in (40, 60):
        project("run", "start", "clerk", "--input", json.dumps({"order": "A-1", "amount": amount}))
    committed = project("audit", "sample", "--nonce", NONCE, "--commit", "--json").json
    drawn = project("audit", "sample", "--nonce", NONCE, "--json").json
    assert committed == {"commitment": commitment(NONCE)}
    assert drawn["commitment"] == commitment(NONCE)
    assert drawn == project("audit", "sample", "--nonce", NONCE, "--json").json
    assert set(drawn["indices"]) == set(drawn["strata"]["random"])
    assert drawn["population"] == len(drawn["indices"])  # of so few, all are looked at


def test_a_sample_goes_into_a_pack(project: Project) -> None:
    project("run", "start", "clerk", "--input", json.dumps({"order": "A-1", "amount": 40}))
    drawn = project("audit", "sample", "--nonce", NONCE, "--json")
    (project.path / "sample.json").write_text(drawn.out)
    packed = project("audit", "export", "--sample", "sample.json", "--pack", "pack.zip", "--json")
    assert packed.json["records"] == len(drawn.json["indices"])


def test_a_short_nonce_is_refused(project: Project) -> None:
    assert project("audit", "sample", "--nonce", "abc", "--commit").code == 2
