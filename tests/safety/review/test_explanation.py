"""Why rules decide as they do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from gatewright.safety.review import drafts, explanation
from gatewright.safety.rules.events import Event, Past

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: test\nversion: 1\ndefinitions: {big: args.amount > 5}\n"


def explained(when: str, args: dict[str, Any], **more: Any) -> explanation.Explanation:
    rule: dict[str, Any] = {
        "id": "limit",
        "on": {"hook": "tool.before", "name": "pay"},
        "when": when,
        "then": "deny",
        "reason": "no",
    }
    rule["examples"] = {"match": [{"args": {"amount": 9, "to": "x"}}], "pass": [{"args": {"amount": 0, "to": "me"}}]}
    tools = {"pay": {"labels": ["egress"], "target": ["to"]}}
    draft = drafts.parse(f"{HEAD}tools: {json.dumps(tools)}\nrules:\n- {json.dumps(rule)}\n")
    return explanation.explain(draft, Event(hook="tool.before", name="pay", args=args, time=NOW, **more))


def shown(found: explanation.Explanation) -> list[tuple[str, bool | None, bool]]:
    (opinion,) = found.rules
    return [(part.text, part.value, part.decisive) for part in opinion.when]


def test_the_clause_that_fails_is_the_decisive_one() -> None:
    found = explained("big && args.to != 'me'", {"amount": 9, "to": "me"})

    assert (found.decision.verdict, found.rules[0].matched) == ("allow", False)
    assert shown(found) == [
        ("big && args.to != 'me'", False, True),
        ("big", True, False),
        ("args.amount > 5", True, False),
        ("args.to != 'me'", False, True),
    ]


def test_all_clauses_of_a_conjunction_that_holds_are_decisive() -> None:
    found = explained("big && args.to != 'me'", {"amount": 9, "to": "you"})

    assert found.decision.verdict == "deny"
    assert {decisive for _text, _value, decisive in shown(found)} == {True}


def test_a_clause_without_a_value_says_why() -> None:
    found = explained("big && args.to != 'me'", {"amount": 9})

    assert (found.decision.verdict, found.rules[0].matched) == ("deny", None)
    (broken,) = [part for part in found.rules[0].when if part.text == "args.to != 'me'"]
    assert broken.value is None
    assert "Key not found" in broken.error


def test_targets_are_shown_with_where_they_come_from() -> None:
    said = Past(kind="human", name="user", result="pay kim, please", time=NOW)

    found = explained("big || args.to == 'x'", {"amount": 9, "to": "kim"}, history=[said])

    assert found.facts["targets"] == [{"path": "to", "value": "kim", "known": True, "source": "user"}]
    assert found.labels == ("egress",)


def test_an_event_that_no_rule_looks_at_has_no_opinions() -> None:
    draft = drafts.parse(f"{HEAD}rules: []\n".replace("definitions: {big: args.amount > 5}\n", ""))

    found = explanation.explain(draft, Event(hook="tool.before", name="pay", args={"a": 1}, time=NOW))

    assert (found.rules, found.decision.verdict) == ((), "allow")
