"""What changes between two rule packs, as it is written and on the examples."""

from __future__ import annotations

import json
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.review import comparison, drafts
from gatewright.safety.review.drafts import Draft

HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: test\nversion: 1\n"


def rule(limit: int, then: str = "deny", id: str = "limit", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "on": {"hook": "tool.before", "name": "pay"},
        "when": f"args.amount > {limit}",
        "then": then,
        "reason": f"more than {limit}",
        "examples": {"match": [{"args": {"amount": limit + 1}}], "pass": [{"args": {"amount": limit}}]},
        **more,
    }


def pack(*rules: dict[str, Any], **more: Any) -> Draft:
    keys = "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items())
    return drafts.parse(f"{HEAD}{keys}rules: {json.dumps(rules)}\n")


def shown(found: comparison.Comparison) -> list[tuple[str, str, str]]:
    return [(shift.of, shift.old, shift.new) for shift in found.shifts]


def test_a_higher_limit_opens_what_must_be_denied() -> None:
    found = comparison.compare(pack(rule(5)), pack(rule(9)))

    assert shown(found) == [("old", "deny", "allow"), ("new", "deny", "allow")]
    (opened,) = found.opened
    assert (opened.sample.event.args, opened.direction, opened.reason) == ({"amount": 6}, "looser", "no rule matches")


def test_a_lower_limit_is_stricter_and_opens_nothing() -> None:
    found = comparison.compare(pack(rule(9)), pack(rule(5)))

    assert {shift.direction for shift in found.shifts} == {"stricter"}
    assert found.opened == ()


def test_asking_instead_of_denying_is_looser_and_still_stops() -> None:
    found = comparison.compare(pack(rule(5)), pack(rule(5, "ask")))

    assert [(shift.old, shift.new, shift.direction) for shift in found.shifts] == [("deny", "ask", "looser")]
    assert found.opened == ()


def closing(id: str, *options: str) -> dict[str, Any]:
    return rule(5, "modify", id=id, on={"hook": "decision.before", "name": "triage"}, close=options)


def test_examples_without_options_have_those_that_any_rule_closes() -> None:
    one, both = pack(closing("a", "pay")), pack(closing("a", "pay", "check"), closing("b", "refuse"))

    assert {both.guard.evaluate(sample.event).verdict for sample in both.samples()} == {"modify", "allow"}
    found = comparison.compare(one, both)
    assert (found.examples, shown(found)) == (2, [])


def test_another_rule_may_stop_what_a_removed_one_did() -> None:
    found = comparison.compare(pack(rule(5)), pack(rule(5, "ask", id="other")))

    assert [(entry.kind, entry.name) for entry in found.entries] == [("removed", "limit"), ("added", "other")]
    assert found.opened == ()


def test_what_goes_on_changed_where_it_was_stopped_is_opened() -> None:
    changing = rule(5, "modify", set={"args.amount": 5})

    assert len(comparison.compare(pack(rule(5)), pack(changing)).opened) == 1


def test_a_pack_on_trial_stops_nothing_and_so_opens_everything() -> None:
    assert len(comparison.compare(pack(rule(5)), pack(rule(5), mode="shadow")).opened) == 1
    assert comparison.compare(pack(rule(5), mode="shadow"), pack()).opened == ()


def test_a_label_that_is_lost_opens_what_a_rule_about_it_stopped() -> None:
    about: dict[str, Any] = {
        "id": "final",
        "on": {"hook": "tool.before", "labels": ["irreversible"]},
        "then": "ask",
        "reason": "it is final",
        "examples": {"match": [{"name": "pay"}]},
    }
    old = pack(about, tools={"pay": {"labels": ["irreversible", "egress"]}})
    other: dict[str, Any] = {**about, "examples": {"match": [{"name": "wire"}]}}
    new = pack(other, tools={"pay": {"labels": ["egress"]}, "wire": {"labels": ["irreversible"]}})

    found = comparison.compare(old, new)

    (lost,) = [entry for entry in found.entries if entry.part == "tool" and entry.kind == "changed"]
    assert lost.fields == (comparison.FieldChange("labels", ["irreversible", "egress"], ["egress"]),)
    assert [(shift.sample.event.name, shift.old, shift.new) for shift in found.opened] == [("pay", "ask", "allow")]


def test_every_part_of_a_pack_is_compared() -> None:
    budget = {"id": "day", "of": "calls", "limit": 5, "per": "run", "then": "deny"}
    old = pack(rule(5), budgets=[budget])
    new = pack(rule(6), budgets=[{**budget, "limit": 9}], defaults={"unlabelled": "ask"})

    found = {(entry.part, entry.name): entry for entry in comparison.compare(old, new).entries}

    assert found[("budget", "day")].fields == (comparison.FieldChange("limit", 5, 9),)
    assert found[("pack", "test")].fields == (comparison.FieldChange("defaults", None, {"unlabelled": "ask"}),)
    assert [change.field for change in found[("rule", "limit")].fields] == ["when", "reason", "examples"]


limits = st.integers(0, 4)
refusing: st.SearchStrategy[Literal["ask", "deny", "terminate"]] = st.sampled_from(["ask", "deny", "terminate"])


@given(limits, refusing)
def test_a_pack_does_not_differ_from_itself(limit: int, then: str) -> None:
    draft = pack(rule(limit, then))

    found = comparison.compare(draft, draft)

    assert (found.entries, found.shifts, found.opened) == ((), (), ())


@given(limits, refusing, limits, refusing)
def test_a_rule_more_never_loosens(limit: int, then: str, other: int, also: str) -> None:
    found = comparison.compare(pack(rule(limit, then)), pack(rule(limit, then), rule(other, also, id="more")))

    assert {shift.direction for shift in found.shifts} <= {"stricter"}
    assert found.opened == ()


@given(limits, refusing, limits, refusing)
def test_back_again_is_the_opposite(limit: int, then: str, other: int, also: str) -> None:
    one, two = pack(rule(limit, then)), pack(rule(other, also))

    there = {(str(each.sample.event), each.old, each.new) for each in comparison.compare(one, two).shifts}
    back = {(str(each.sample.event), each.new, each.old) for each in comparison.compare(two, one).shifts}

    assert there == back
