"""Testing, comparing and reviewing rule packs on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Project


def test_the_examples_of_a_pack_and_what_they_would_notice_are_shown(project: Project) -> None:
    done = project("policy", "test", "rules.yaml")

    assert done.code == 0
    assert "2 rules; examples that hold: 4" in done.out
    assert "another boundary in `args.amount > 100`" in done.out
    assert done.err == ""


def test_every_example_is_judged_by_the_whole_pack(project: Project) -> None:
    done = project("policy", "test", "rules.yaml", "--json")

    shown = [(each["rule"], each["expected"], each["verdict"], each["rules"]) for each in done.json["examples"]]
    assert ("refund-limit", "pass", "ask", ["large-refund"]) in shown
    assert ("refund-limit", "match", "deny", ["large-refund", "refund-limit"]) in shown


def test_a_share_of_changes_can_be_asked_for(project: Project) -> None:
    assert project("policy", "test", "rules.yaml", "--min-killed", "80").code == 0
    failed = project("policy", "test", "rules.yaml", "--min-killed", "90", "--json")
    assert (failed.code, failed.json["ok"]) == (1, False)
    assert [each["change"] for each in failed.json["mutations"]["survivors"]] == ["boundary"]


def test_an_example_that_fails_is_a_no_with_its_line(project: Project) -> None:
    rules = project.path / "rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("args.amount > 100\n", "args.amount > 500\n"), "utf-8")

    done = project("policy", "test", "rules.yaml", "--json")

    assert (done.code, done.json["ok"]) == (1, False)
    (problem,) = done.json["problems"]
    assert (problem["rule"], problem["message"]) == ("large-refund", "the rule does not match this example")


def test_a_pack_that_is_not_there_is_no_verdict(project: Project) -> None:
    done = project("policy", "test", "nothing.yaml")

    assert done.code == 4
    assert "'nothing.yaml' cannot be read" in done.err


def changed(project: Project, old: str, new: str) -> str:
    rules = (project.path / "rules.yaml").read_text("utf-8")
    assert old in rules
    (project.path / "new.yaml").write_text(rules.replace(old, new), "utf-8")
    return "new.yaml"


def test_a_pack_that_lets_through_what_must_be_stopped_is_refused(project: Project) -> None:
    new = changed(
        project, "name: refund}\n    when: args.amount > 100\n", "name: find_order}\n    when: args.amount > 100\n"
    )

    done = project("policy", "diff", "rules.yaml", new)

    assert done.code == 1
    assert "NO: rule 'large-refund' must ask its example 1 (rules.yaml:18), and the new pack says allow" in done.out
    assert "changed: rule 'large-refund'" in done.out
    (shift,) = [each for each in project("policy", "diff", "rules.yaml", new, "--json").json["shifts"] if each["opens"]]
    assert (shift["rule"], shift["old"], shift["new"]) == ("large-refund", "ask", "allow")


def test_a_stricter_pack_passes(project: Project) -> None:
    done = project("policy", "diff", "rules.yaml", changed(project, "then: ask", "then: deny"))

    assert done.code == 0
    assert 'then: "ask" -> "deny"' in done.out
    assert "looser on 0 of 4 examples" in done.out


def test_packs_that_do_not_load_are_not_compared(project: Project) -> None:
    done = project("policy", "diff", "rules.yaml", changed(project, "args.amount > 1000", "args.amount >"), "--json")

    assert (done.code, done.json["ok"]) == (1, False)
    assert done.json["problems"][0]["file"] == "new.yaml"


def test_a_pack_that_can_be_used_has_its_oversights_named(project: Project) -> None:
    done = project("policy", "lint", "rules.yaml", "--deployment", "clerk")

    assert done.code == 0
    assert "can be used; 1 warnings" in done.out
    assert "rules.yaml:14: rule 'large-refund': `when`: every example holds with another boundary" in done.out


def test_everything_that_is_wrong_is_told_at_once(project: Project) -> None:
    new = changed(project, "    then: ask\n", "    then: ask\n    priority: 3\n")
    text = (project.path / new).read_text("utf-8").replace("then: deny", "then: denied")
    (project.path / new).write_text(text, "utf-8")

    done = project("policy", "lint", new, "--json")

    assert done.code == 1
    assert [problem["rule"] for problem in done.json["problems"]] == ["large-refund", "refund-limit"]


def test_a_deployment_that_is_not_configured_is_named(project: Project) -> None:
    done = project("policy", "lint", "rules.yaml", "--deployment", "clrk")

    assert done.code == 2
    assert "did you mean 'clerk'?" in done.err
