"""Redaction as rules use it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gatewright.safety import Event, Guard, Pack, PackError
from gatewright.safety.verdicts import Decision

_PACK = """
apiVersion: gatewright/v1
kind: RulePack
name: privacy
version: 1
rules:
  - id: no-personal-data-in-results
    on: {{hook: tool.after}}
    when: personal(result).size() > 0
    then: modify
    set: {{result: "{{{{ {change} }}}}"}}
    reason: "results are shown without {{{{ personal(result) }}}}"
    examples:
      match: [{{result: {example}}}]
      pass: [{{result: {{order: 20481123}}}}]
"""


def _judge(result: Any, *, change: str = "redact(result)", example: str = "kim@example.org") -> Decision:
    guard = Guard([Pack.parse(_PACK.format(change=change, example=example))])
    return guard.evaluate(Event(hook="tool.after", name="find", result=result, time=datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("write to kim@example.org", "write to [email]"),
        ({"to": [{"card": 4111111111111111}], "order": 1}, {"to": [{"card": "[card]"}], "order": 1}),
        (["kim@example.org", None, True, 1.5], ["[email]", None, True, 1.5]),
        (4111111111111111, "[card]"),
    ],
)
def test_a_rule_redacts_what_the_agent_is_shown(result: Any, shown: Any) -> None:
    decision = _judge(result)
    assert (decision.verdict, decision.result, decision.findings) == ("modify", shown, ())


@pytest.mark.parametrize("result", ["order 20481123", {"n": 1}, ["a"], 7, 1.5, True, None])
def test_a_result_without_personal_data_is_left_as_it_is(result: Any) -> None:
    decision = _judge(result)
    assert (decision.verdict, decision.result, decision.findings) == ("allow", None, ())


def test_the_reason_names_the_kinds_that_were_found() -> None:
    assert _judge({"a": "kim@example.org", "b": "+49 30 901820"}).reason == (
        'results are shown without ["email", "phone"]'
    )


def test_a_rule_may_redact_some_kinds_only() -> None:
    decision = _judge("kim@example.org 4111111111111111", change="redact(result, ['email'])")
    assert (decision.verdict, decision.result) == ("modify", "[email] 4111111111111111")


def test_an_unknown_kind_in_a_rule_is_refused_when_the_pack_is_loaded() -> None:
    with pytest.raises(PackError, match="unknown kind 'e-mail'"):
        _judge("x", change="redact(result, ['e-mail'])")


def test_a_result_too_large_to_be_looked_through_is_denied() -> None:
    decision = _judge("x" * 200_000)
    assert decision.verdict == "deny"
    assert "131072 at most" in decision.findings[0].message
