"""Warnings about rule packs that can be used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gatewright.safety.review import drafts, mutation, oversights
from gatewright.safety.rules.schemas import Tools

HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: test\nversion: 1\n"
EXAMPLES = {"match": [{"args": {"amount": 6}}], "pass": [{"args": {"amount": 5}}]}


def rule(id: str, then: str = "deny", on: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    found = {"id": id, "on": {"hook": "tool.before", **(on or {"name": "pay"})}, "then": then, "reason": "no"}
    return {**found, "when": "args.amount > 5", "examples": EXAMPLES, **more}


def always(id: str, then: str = "deny", **more: Any) -> dict[str, Any]:
    return {**{k: v for k, v in rule(id, then, **more).items() if k != "when"}, "examples": {"match": [{}]}}


def warned(
    *rules: dict[str, Any], tools: Tools | None = None, described: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    text = f"{HEAD}tools: {json.dumps(described or {})}\nrules: {json.dumps(rules)}\n"
    draft = drafts.parse(text, tools=tools)
    return [(problem.rule, problem.message) for problem in oversights.warnings(draft)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rule("a"), rule("b")),
        (rule("a", "deny"), rule("b", "ask")),
        (rule("a"), rule("b", when="args.amount   >   5")),
        (rule("a", on={"names": ["pay", "wire"]}), rule("b")),
        (rule("a", on={"labels": ["egress"]}), rule("b", on={"labels": ["egress", "irreversible"]})),
        (always("a"), rule("b")),
    ],
)
def test_a_rule_that_another_always_overrules_decides_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    for rules in ((one, other), (other, one)):
        found = [rule for rule, message in warned(*rules) if message.startswith("decides nothing")]
        expected = rules[1]["id"] if one["then"] == other["then"] and _alike(one, other) else "b"
        assert found == [expected]


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["on"] == other["on"] and ("when" in one) == ("when" in other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rule("a", "ask"), rule("b", "ask", approval={"quorum": 2})),
        (rule("a", mode="shadow"), rule("b")),
        (rule("a", "modify", set={"args.amount": 1}), rule("b", "modify", set={"args.urgent": False})),
        (rule("a", on={"name": "wire"}), rule("b")),
        (rule("a", unless="seen('sign')"), rule("b")),
        (rule("a", when="args.amount > 5 && agent == ''"), rule("b")),
    ],
)
def test_a_rule_that_decides_something_of_its_own_is_left_alone(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not [message for _rule, message in warned(one, other) if message.startswith("decides nothing")]


def test_a_tool_of_the_deployment_without_labels_is_named() -> None:
    tools: Tools = {"pay": None, "find": None, "look": None}

    found = warned(rule("a"), tools=tools, described={"pay": {"labels": ["irreversible"]}, "find": {}})

    assert [message for _rule, message in found if "no labels" in message] == [
        "the tool 'find' has no labels; say under `tools:` what it does",
        "the tool 'look' has no labels; say under `tools:` what it does",
    ]


def test_calls_that_no_rule_looks_at_are_named_unless_they_only_read() -> None:
    described = {"wire": {"labels": ["irreversible"]}, "find": {"labels": ["reads"]}, "pay": {"labels": ["egress"]}}

    found = warned(rule("a"), tools={"pay": None, "wire": None, "find": None}, described=described)

    assert found == [("", "no rule looks at calls of 'wire', so every one is allowed; it has no `reads`")]


def test_what_no_example_tries_is_among_the_warnings() -> None:
    draft = drafts.parse(f"{HEAD}rules:\n- {json.dumps(rule('a', when='args.amount > 5 && agent == agent'))}\n")

    found = oversights.warnings(draft, mutation.outcome(mutation.trials(draft)).survivors)

    assert ("a", 6) in {(problem.rule, problem.line) for problem in found}
    assert any("`agent == agent`" in problem.message for problem in found)
