"""Expressions that a pack names once and its rules use by name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gatewright.safety import Event, Guard, Pack, PackError
from gatewright.safety.rules.expressions import ExpressionError, bind, compile_value

PACK = """
apiVersion: gatewright/v1
kind: RulePack
name: p
version: 1
definitions:
  limit: "500.0"
  amount: 'double(args.amount)  # in dollars'
  over: 'amount > limit'
rules:
  - id: large
    on: {hook: tool.before, name: pay}
    when: 'has(args.amount) && over'
    then: ask
    reason: '{{ amount }} is above {{ limit }}'
    examples:
      match: [{args: {amount: 501}}]
      pass: [{args: {amount: 500}}, {}]
""".replace("#", "//")


def refused(old: str, new: str) -> str:
    assert old in PACK
    with pytest.raises(PackError) as caught:
        Pack.parse(PACK.replace(old, new))
    return str(caught.value)


def test_conditions_and_reasons_use_definitions_and_those_each_other() -> None:
    event = Event(hook="tool.before", name="pay", args={"amount": 700}, time=datetime(2026, 1, 1, tzinfo=UTC))
    decision = Guard([Pack.parse(PACK)]).evaluate(event)
    assert (decision.verdict, decision.hits[0].reason) == ("ask", "700.0 is above 500.0")


def test_a_definition_that_is_not_reached_is_no_error() -> None:
    expression = compile_value("true || broken", {"args": "map(string, dyn)"}, {"broken": "args.absent"})
    assert expression.value(bind({"args": {}}, {"args": "map(string, dyn)"})) is True


def test_a_definition_counts_among_the_words_of_those_that_use_it() -> None:
    expression = compile_value("known", {"history": "list(map(string, dyn))"}, {"known": "history", "other": "args"})
    assert {"known", "history"} <= expression.words
    assert "args" not in expression.words


def test_names_within_texts_and_fields_are_not_definitions() -> None:
    expression = compile_value("'limit' + args.limit", {"args": "map(string, dyn)"}, {"limit": "args.nothing"})
    assert expression.value(bind({"args": {"limit": "!"}}, {"args": "map(string, dyn)"})) == "limit!"


def test_a_mistake_is_placed_in_what_was_written() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_value("limit > \n  amout", {}, {"limit": "1\n+ 1", "amount": "2"})
    assert (caught.value.line, caught.value.column) == (2, 3)
    assert "did you mean 'amount'?" in str(caught.value)


def test_a_definition_cannot_use_those_after_it() -> None:
    assert "unknown name 'amount'" in refused('"500.0"', '"amount"')


def test_the_length_of_what_is_used_counts() -> None:
    with pytest.raises(ExpressionError, match="with the definitions it uses, the limit is"):
        compile_value("long == 1", {}, {"long": "1" + " + 1" * 2000})


@pytest.mark.parametrize("name", ["args", "history", "seen"])
def test_a_definition_cannot_take_a_name_that_rules_know(name: str) -> None:
    assert f"{name!r} is something that rules know already" in refused("  limit:", f'  {name}: "1"\n  limit:')


def test_a_definition_that_nothing_uses_is_refused() -> None:
    assert "no rule uses 'idle'" in refused("  limit:", '  idle: "1"\n  limit:')


def test_changing_a_definition_changes_the_digest() -> None:
    assert (
        Pack.parse(PACK).digest
        != Pack.parse(PACK.replace("500.0", "500.5").replace("amount: 501", "amount: 501")).digest
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [("args.amount +", "Syntax error"), ("amout * 2", "unknown name 'amout'"), ("1) + (2", "Syntax error")],
)
def test_a_mistake_in_a_definition_is_told_once_and_of_the_definition(value: str, message: str) -> None:
    second = PACK.partition("rules:\n")[2].replace("id: large", "id: also-large")
    text = PACK.replace("double(args.amount)", value) + second
    with pytest.raises(PackError) as caught:
        Pack.parse(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.rule) == (8, "")
    assert message in problem.message


def test_a_definition_is_checked_only_for_the_hooks_that_use_it() -> None:
    other = PACK.partition("rules:\n")[2].replace("id: large", "id: long").replace("tool.before, name: pay", "output")
    other = other.replace("has(args.amount) && over", "text.size() > 500").replace("then: ask", "then: deny")
    other = other.replace("{{ amount }} is above {{ limit }}", "too long")
    other = other.partition("    examples:")[0] + "    examples: {match: [{text: '" + "x" * 501 + "'}], pass: [{}]}\n"
    assert len(Pack.parse(PACK + other).rules) == 2
