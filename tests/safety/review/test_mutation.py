"""Small changes of conditions, and whether the examples of a pack notice them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gatewright.safety.review import drafts, mutation

HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: test\nversion: 1\n"


def tried(rule: dict[str, Any], **more: Any) -> mutation.Mutations:
    whole = {"id": "limit", "on": {"hook": "tool.before", "name": "pay"}, "then": "deny", "reason": "no", **rule}
    keys = "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items())
    draft = drafts.parse(f"{HEAD}{keys}rules:\n- {json.dumps(whole)}\n")
    return mutation.outcome(mutation.trials(draft))


def test_examples_that_hold_both_sides_of_a_limit_notice_every_change() -> None:
    examples = {"match": [{"args": {"amount": 6}}], "pass": [{"args": {"amount": 5}}]}

    found = tried({"when": "args.amount > 5", "examples": examples})

    assert (found.tried, found.survivors, found.killed) == (3, (), 1.0)


def test_a_boundary_and_a_clause_that_no_example_tries_survive() -> None:
    rule = {
        "when": "args.amount > 5 && args.to != 'me'",
        "examples": {"match": [{"args": {"amount": 9, "to": "you"}}], "pass": [{"args": {"amount": 1, "to": "you"}}]},
    }

    found = tried(rule)

    assert [(each.change, each.part, each.line) for each in found.survivors] == [
        ("boundary", "args.amount > 5", 6),
        ("clause", "args.to != 'me'", 6),
    ]
    assert "add an example with exactly this limit" in str(found.survivors[0])
    assert found.killed == pytest.approx(1 - 2 / found.tried)


def test_an_unless_that_no_example_needs_survives() -> None:
    rule = {
        "when": "args.amount > 5",
        "unless": "seen('sign')",
        "examples": {"match": [{"args": {"amount": 6}}], "pass": [{"args": {"amount": 5}}]},
    }

    assert [(each.place, each.change) for each in tried(rule).survivors] == [("unless", "whole")]


def test_a_definition_is_changed_for_all_rules_that_use_it() -> None:
    rule = {
        "when": "big && !small",
        "examples": {"match": [{"args": {"amount": 6}}], "pass": [{"args": {"amount": 1}}]},
    }

    found = tried(rule, definitions={"limit": "5", "small": "args.amount < 2", "big": "args.amount > limit && !small"})

    places = {(each.place, each.change, each.part) for each in found.survivors}
    assert ("definitions.big", "boundary", "args.amount > limit") in places
    assert ("definitions.big", "clause", "!small") in places
    assert {each.rule for each in found.survivors if each.place.startswith("definitions.")} == {""}


def test_a_pack_without_conditions_has_nothing_to_change() -> None:
    found = tried({"examples": {"match": [{}]}})

    assert (found.tried, found.killed) == (0, 1.0)
