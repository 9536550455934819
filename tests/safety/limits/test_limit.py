"""What packs may say about budgets and breakers, and how limits join the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gatewright.safety.limits import joined
from gatewright.safety.rules.packs import Pack
from gatewright.safety.rules.sources import PackError
from gatewright.safety.verdicts import Decision, RuleHit, Verdict

HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: p\nversion: 1\n"
BUDGET = "id: a, of: calls, limit: 3, per: run, then: deny"
BREAKER = "id: a, on: {names: charge}, failures: 5, within: 60s, rest: 30s, then: deny"


def pack(text: str, tools: Mapping[str, Any] | None = None) -> Pack:
    return Pack.parse(HEAD + text, tools=tools)


def problems(text: str, tools: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(PackError) as caught:
        pack(text, tools)
    return str(caught.value)


def test_a_pack_carries_its_budgets_and_breakers() -> None:
    found = pack(f"budgets: [{{{BUDGET}}}]\nbreakers: [{{{BREAKER}}}]\n")
    assert [budget.rule_id for budget in found.budgets] == ["budget:a"]
    assert [breaker.rule_id for breaker in found.breakers] == ["breaker:a"]


def test_a_pack_on_trial_limits_nothing() -> None:
    found = pack(f"mode: shadow\nbudgets: [{{{BUDGET}}}]\nbreakers: [{{{BREAKER}}}]\n")
    assert (found.budgets, found.breakers) == ((), ())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("of: call", "'call' is not known; did you mean 'calls'?"),
        ("limit: 5 USD", "'5 USD' is not a number; `of` says what it counts"),
        ("limit: true", "True is not a number"),
        ("limit: 0", "greater than 0"),
        ("limit: 2.5", "a limit of 2.5 calls is finer than is counted; whole numbers are"),
        ("per: day", "'day' is no holder of a budget; write `per: deployment` and `within: 1d`"),
        ("per: agent", "per agent without `within` would never be free again; add for example `within: 1d`"),
        ("within: 60", "60 has no unit; write for example '60s'"),
        ("within: soon", "'soon' is not a duration; write for example 90s"),
        ("then: stop", "'stop' is not known; known here: ask, deny, terminate, or {degrade: MODEL}"),
        ("then: denny", "'denny' is not known; did you mean 'deny'?"),
        ("then: {degrade: gpt}", "only a model call can go on with another model; write `on: {kinds: [model]}`"),
        ("approval: {roles: ops}", "`approval` says who decides where `then: ask`; remove it, or ask"),
        ("on: {name: x}", "unknown field 'name'; did you mean 'names'?"),
        ("on: {kinds: human}", "'human' is not known; known here: decision, function, message, model, tool"),
        ("withn: 60s", "unknown field 'withn'; did you mean 'within'?"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused_with_the_remedy(written: str, said: str) -> None:
    name = written.partition(":")[0]
    kept = [part for part in BUDGET.split(", ") if not part.startswith(f"{name}:")]
    found = problems(f"budgets:\n  - {{{', '.join([*kept, written])}}}\n")
    assert found.startswith("<text>:6:")
    assert said in found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("on: {}", "looks at every effect; say with `on:` what fails together"),
        ("failures: 0", "greater than or equal to 1"),
        ("rest: 30", "30 has no unit; write for example '30s'"),
        ("then: degrade", "'degrade' is not known; known here: ask, deny, terminate"),
        ("approval: {roles: ops}", "`approval` says who decides where `then: ask`"),
    ],
)
def test_a_breaker_that_cannot_be_meant_is_refused_with_the_remedy(written: str, said: str) -> None:
    name = written.partition(":")[0]
    kept = [part for part in BREAKER.split(", ") if not part.startswith(f"{name}:")]
    assert said in problems(f"breakers:\n  - {{{', '.join([*kept, written])}}}\n")


def test_an_id_given_twice_is_refused() -> None:
    found = problems(f"budgets:\n  - {{{BUDGET}}}\n  - {{{BUDGET}}}\n")
    assert found == "<text>:7: the id 'a' is taken by another one of the budgets; choose another"


def test_a_tool_that_does_not_exist_is_refused() -> None:
    written = f"budgets:\n  - {{{BUDGET}, on: {{kinds: tool, names: [charge, chrge]}}}}\n"
    assert "there is no tool 'chrge'; did you mean 'charge'?" in problems(written, {"charge": None})


def test_a_name_that_looks_like_a_misspelt_tool_is_refused_and_another_is_taken_for_a_model() -> None:
    text = problems(f"breakers:\n  - {{{BREAKER}}}\n", {"charges": None})
    assert "there is no tool 'charge'; did you mean 'charges'? (if it is a model, a function or an agent" in text
    assert pack(f"breakers:\n  - {{{BREAKER}}}\n", {"book": None}).breakers


def hit(verdict: Verdict, id: str = "budget:a") -> RuleHit:
    return RuleHit(rule_id=id, verdict=verdict, reason=f"{verdict} by {id}")


@pytest.mark.parametrize("verdict", ["deny", "terminate"])
def test_a_limit_that_refuses_is_stronger_than_rules_that_let_pass(verdict: Verdict) -> None:
    rules = Decision(verdict="modify", hits=(hit("modify", "r"),), args={"x": 1}, pack="p")
    decision = joined(rules, [hit(verdict)])
    assert (decision.verdict, decision.args, decision.reason) == (verdict, None, f"{verdict} by budget:a")
    assert [found.rule_id for found in decision.hits] == ["budget:a", "r"]


def test_a_limit_that_asks_keeps_what_rules_changed_and_asks_with_terms() -> None:
    decision = joined(Decision(verdict="modify", args={"x": 1}, pack="p"), [hit("ask")])
    assert (decision.verdict, decision.args) == ("ask", {"x": 1})
    assert decision.terms is not None


def test_a_weaker_limit_changes_nothing_but_the_hits() -> None:
    rules = Decision(verdict="deny", hits=(hit("deny", "r"),), pack="p")
    assert joined(rules, [hit("ask")]).verdict == "deny"
    assert joined(rules, [hit("ask")]).terms is None
