"""A waiver keeps a rule's match from counting, for a time and within a scope, and nothing else."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.safety.rules.events import Event
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack
from gatewright.safety.rules.waivers import Scope, Waiver, covering

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: desk\nversion: 1\n"


def rule(id: str, then: str, when: str = "args.amount > 100", **more: Any) -> Any:
    return {
        "id": id,
        "on": {"hook": "tool.before", "name": "pay"},
        "when": when,
        "then": then,
        "reason": f"because of {id}",
        "examples": {"match": [{"args": {"amount": 1000}}], "pass": [{"args": {"amount": 0}}]},
    } | more


GUARD = Guard(
    [
        Pack.parse(
            HEAD
            + "rules: "
            + json.dumps(
                [
                    rule("large", "deny"),
                    rule("ask", "ask", approval={"roles": ["lead"]}),
                    rule("cap", "modify", set={"args.amount": 100}),
                    rule("urgent", "deny", "args.amount > 0 && args.?urgent.orValue(false) == true")
                    | {
                        "examples": {
                            "match": [{"args": {"amount": 1, "urgent": True}}],
                            "pass": [{"args": {"amount": 0}}],
                        }
                    },
                ]
            )
        )
    ]
)


def event(amount: Any = 500, **more: Any) -> Event:
    given: dict[str, Any] = {"deployment": "d", "agent": "a", "thread_id": "t", "args": {"amount": amount}} | more
    return Event(hook="tool.before", name="pay", time=NOW, **given)


def waiver(rule_id: str = "large", **more: Any) -> Waiver:
    given: dict[str, Any] = {"id": f"w-{rule_id}", "scope": Scope(tool="pay"), "until": NOW + timedelta(hours=1)} | more
    return Waiver(rule_id=rule_id, by="kim", reason="audited by hand", **given)


def test_a_waived_match_is_reported_and_does_not_count() -> None:
    decision = GUARD.evaluate(event(), [waiver()])

    assert decision.verdict == "ask"
    assert [(hit.rule_id, hit.waived) for hit in decision.hits] == [("ask", None), ("cap", None), ("large", "w-large")]
    assert decision.reason == "because of ask"


def test_a_waived_question_leaves_no_terms_and_a_waived_change_nothing() -> None:
    decision = GUARD.evaluate(event(), [waiver("large"), waiver("ask"), waiver("cap")])

    assert (decision.verdict, decision.terms, decision.args) == ("allow", None, None)
    assert len(decision.hits) == 3


def test_what_goes_wrong_with_a_rule_cannot_be_waived() -> None:
    decision = GUARD.evaluate(
        event("much"), [waiver("large"), waiver("ask"), waiver("cap"), waiver("urgent", scope=Scope(agent="a"))]
    )

    assert decision.verdict == "deny"
    assert {finding.rule_id for finding in decision.findings} >= {"large", "ask", "cap"}


@pytest.mark.parametrize(
    "more",
    [
        {"until": NOW},
        {"until": NOW - timedelta(seconds=1)},
        {"until": (NOW - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=9)))},
        {"scope": Scope(tool="refund")},
        {"scope": Scope(tool="pay", agent="other")},
        {"scope": Scope(deployment="other")},
        {"scope": Scope(thread="other")},
    ],
)
def test_a_waiver_that_is_over_or_for_something_else_does_not_count(more: dict[str, Any]) -> None:
    assert GUARD.evaluate(event(), [waiver(**more)]).verdict == "deny"


def test_the_waiver_that_ends_last_is_named() -> None:
    longer = waiver(id="longer", until=NOW + timedelta(days=1), scope=Scope(deployment="d", agent="a", thread="t"))

    found = covering([waiver(), longer, waiver("ask")], "large", event())

    assert found is longer


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"scope": Scope()}, "for everything"),
        ({"until": datetime(2026, 1, 1)}, "time zone"),
        ({"id": " "}, "no 'id'"),
        ({"rule_id": ""}, "no 'rule_id'"),
    ],
)
def test_a_waiver_says_what_for_whom_and_until_when(more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        waiver(**more)
