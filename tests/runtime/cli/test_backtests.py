"""Other rules over what has been recorded, on the command line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Project


def start(project: Project, amount: int, order: str = "A-17") -> None:
    project("run", "start", "clerk", "--input", json.dumps({"order": order, "amount": amount}))


def decide(project: Project, verb: str) -> None:
    (waiting,) = project("approvals", "--json").json
    decided = project("approvals", verb, waiting["id"], "--by", "ada", "--reason", "I looked")
    assert decided.code == 0, decided.err
    project("run", "watch", waiting["run_id"])


def pack(project: Project, old: str, new: str, name: str = "new.yaml") -> str:
    rules = (project.path / "rules.yaml").read_text("utf-8")
    assert old in rules
    (project.path / name).write_text(rules.replace(old, new), "utf-8")
    return name


@pytest.fixture
def history(project: Project) -> Project:
    """Five refunds: three small ones, one that people approved and one that they refused."""
    for amount in (40, 50, 60):
        start(project, amount)
    for order, verb in (("B-02", "approve"), ("C-40", "reject")):
        start(project, 400, order)
        decide(project, verb)
    return project


def test_the_same_pack_gives_the_recorded_verdicts(history: Project) -> None:
    done = history("policy", "backtest", "rules.yaml", "--json")

    found = done.json
    assert (done.code, found["changes"]["count"], found["lost"]["events"]) == (0, 0, 0)
    assert found["same_pack"]["events"] > 0 == found["same_pack"]["deviations"]
    assert (found["cases"], found["asks"]["old"]) == (5, {"count": 2, "per_100_cases": 40.0, "per_day": 2.0})


def test_a_pack_that_lets_through_what_people_refused_is_told(history: Project) -> None:
    done = history("policy", "backtest", pack(history, "then: ask", "then: allow"))

    assert done.code == 1
    assert "2 verdicts change\n    ask -> allow: 2" in done.out
    assert "NO: 1 event that people refused would go through" in done.out
    assert "people said reject" in done.out
    assert "2 -> 0 (40.0 -> 0.0 per 100 cases" in done.out


def test_a_stricter_pack_asks_people_more(history: Project) -> None:
    new = pack(history, "args.amount > 100\n", "args.amount > 45\n")

    found = history("policy", "backtest", new, "--json")

    assert found.code == 0
    assert found.json["asks"]["new"]["count"] == 4
    assert {(each["old"], each["new"], each["name"]) for each in found.json["changes"]["events"]} == {
        ("allow", "ask", "refund")
    }
    rules = {rule["id"]: rule for rule in found.json["rules"]}
    assert (rules["large-refund"]["hits"], rules["large-refund"]["looked"]) == (4, 5)
    assert rules["refund-limit"]["hits"] == 0


def test_a_changed_verdict_names_its_record(history: Project) -> None:
    new = pack(history, "then: ask", "then: deny")
    changes = history("policy", "backtest", new, "--json").json["changes"]["events"]

    records = [history("audit", "show", str(change["position"]), "--json").json for change in changes]
    assert [record["record"]["effect"]["name"] for record in records] == ["refund", "refund"]


def test_a_rule_that_never_matched_is_named(history: Project) -> None:
    assert "rule 'refund-limit' never matched of 5 events" in history("policy", "backtest", "rules.yaml").out


@pytest.mark.parametrize("other", ["active", "rules.yaml"])
def test_two_packs_are_compared_on_the_same_events(history: Project, other: str) -> None:
    found = history("policy", "backtest", pack(history, "then: ask", "then: deny"), "--against", other, "--json").json

    assert found["against"].startswith("clerk@1#")
    assert found["changes"]["count"] == 2


def test_it_works_beside_a_running_service(history: Project, serving: Callable[..., str]) -> None:
    serving()

    assert history("policy", "backtest", "rules.yaml").code == 0


def test_cases_are_chosen(history: Project) -> None:
    assert history("policy", "backtest", "rules.yaml", "--limit", "2", "--json").json["cases"] == 2
    assert history("policy", "backtest", "rules.yaml", "--since", "1h", "--json").json["cases"] == 5
    assert history("policy", "backtest", "rules.yaml", "--since", "2999-01-01", "--json").code == 3
    unknown = history("policy", "backtest", "rules.yaml", "--case", "none")
    assert (unknown.code, "no case 'none'" in unknown.err) == (2, True)


def test_erased_values_are_counted_and_not_guessed(history: Project) -> None:
    (file,) = (history.path / ".gatewright").glob("*.sqlite")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM sealed WHERE leaf = (SELECT min(id) FROM leaf WHERE kind = 'effect')")

    whole = history("policy", "backtest", "rules.yaml", "--limit", "4", "--json").json
    found = history("policy", "backtest", "rules.yaml", "--json").json

    assert (whole["lost"]["events"], found["lost"]["events"], found["lost"]["cases"]) == (0, 1, 1)
    assert len(found["lost"]["listed"]) == 1
    assert "1 event of 1 case: values erased" in history("policy", "backtest", "rules.yaml").out


def test_without_a_ledger_there_is_nothing_to_judge(project: Project) -> None:
    done = project("policy", "backtest", "rules.yaml")

    assert done.code == 4
    assert "there is no ledger" in done.err


def test_a_pack_on_trial_is_reported_from_the_record(project: Project) -> None:
    pack(project, "then: ask", "then: deny", "candidate.yaml")
    settings = (project.path / "gatewright.toml").read_text("utf-8")
    assert 'rules = "rules.yaml"' in settings
    (project.path / "gatewright.toml").write_text(
        settings.replace('rules = "rules.yaml"', 'rules = "rules.yaml"\nshadow = "candidate.yaml"'), "utf-8"
    )
    start(project, 40)
    start(project, 400, "B-02")
    decide(project, "approve")

    found = project("policy", "shadow", "--json").json

    assert [(each["old"], each["new"], each["name"]) for each in found["changes"]["events"]] == [
        ("ask", "deny", "refund")
    ]
    assert found["verdicts"] == [
        {"old": "allow", "new": "allow", "events": 1},
        {"old": "ask", "new": "deny", "events": 1},
    ]


def test_no_pack_on_trial_is_inconclusive(history: Project) -> None:
    assert history("policy", "shadow").code == 3
