"""Why rules decided as they did, on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Project


def index(project: Project) -> str:
    records = project("audit", "--kind", "effect", "--json").json
    return str(next(each["index"] for each in records if each["record"]["effect"]["name"] == "refund"))


def start(project: Project, amount: int) -> None:
    project("run", "start", "clerk", "--input", json.dumps({"order": "A-17", "amount": amount}))


def test_a_record_is_explained_by_the_pack_that_was_in_force(project: Project) -> None:
    start(project, 40)
    rules = project.path / "rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("when: args.amount > 1000", "when: args.amount >= 1001"), "utf-8")

    done = project("policy", "explain", index(project))

    assert done.code == 0, done.err
    assert "tool.before refund -> allow (on record: allow) by clerk@1#" in done.out
    assert "rule 'refund-limit' (deny) does not match\n  * when   false    args.amount > 1000" in done.out
    assert "targets: order = 'A-17' from user" in done.out


def test_a_record_is_explained_by_another_pack(project: Project) -> None:
    start(project, 40)
    text = (project.path / "rules.yaml").read_text("utf-8").replace("args.amount > 100\n", "args.amount > 39\n")
    (project.path / "new.yaml").write_text(text.replace("amount: 40}", "amount: 39}"), "utf-8")

    found = project("policy", "explain", index(project), "--pack", "new.yaml", "--json").json

    before = next(each for each in found if each["hook"] == "tool.before")
    assert (before["verdict"], before["recorded"]) == ("ask", "allow")
    assert [rule["id"] for rule in before["rules"] if rule["matched"]] == ["large-refund"]


def test_an_event_in_a_file_is_explained_by_the_deployments_rules(project: Project) -> None:
    event = {"hook": "tool.before", "name": "refund", "args": {"order": "A-17", "amount": 2000}}
    (project.path / "event.json").write_text(json.dumps(event), "utf-8")

    (found,) = project("policy", "explain", "event.json", "--json").json

    assert found["verdict"] == "deny"
    assert [rule["matched"] for rule in found["rules"]] == [True, True]


def test_what_is_no_event_is_refused_with_a_reason(project: Project) -> None:
    (project.path / "event.json").write_text('{"hook": "tool.befor"}', "utf-8")

    wrong = project("policy", "explain", "event.json")
    missing = project("policy", "explain", "nothing.json")

    assert (wrong.code, "is no event" in wrong.err) == (2, True)
    assert (missing.code, "cannot read 'nothing.json'" in missing.err) == (4, True)


def test_a_record_that_is_not_there_is_named(project: Project) -> None:
    start(project, 40)

    done = project("policy", "explain", "9999")

    assert (done.code, "record 9999 is not there" in done.err) == (2, True)
