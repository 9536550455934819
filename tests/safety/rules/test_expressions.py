"""What rules rely on in CEL and in its binding: these tests must pass before another version is pinned."""

import datetime
import subprocess
import sys
from typing import Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.safety.rules import expressions, templates

VARIABLES: expressions.Variables = {
    "tool.name": "string",
    "labels": "list(string)",
    "args": "map(string, dyn)",
    "result": "dyn",
    "history": "list(map(string, dyn))",
    "time": "timestamp",
    "text": "string",
}
VALUES: dict[str, Any] = {
    "tool.name": "send_money",
    "labels": ["egress", "irreversible"],
    "args": {"amount": 250.5, "count": 3, "to": "kim@example.com", "tags": ["a", {"b": None}], "urgent": True},
    "result": {"status": "ok", "total": 12},
    "history": [{"kind": "tool", "name": "login", "ok": True}, {"kind": "tool", "name": "read", "ok": False}],
    "time": datetime.datetime(2026, 5, 4, 23, 30, tzinfo=datetime.UTC),
    "text": "Grüße, refund now",
}


def evaluate(condition: str, /, **values: Any) -> bool:
    return expressions.compile(condition, VARIABLES).evaluate(expressions.bind(VALUES | values, VARIABLES))


@pytest.mark.parametrize(
    "text",
    [
        "tool.name == 'send_money' && args.amount > 250",
        "args.count == 3.0 && args.count < 3.5",
        "double(args.count) + 0.5 == 3.5",
        "'egress' in labels",
        "has(args.to) && !has(args.cc)",
        "args.?cc.orValue('none') == 'none'",
        "args.tags[1].b == null",
        "args.to.endsWith('@example.com') && args.to.matches('^[a-z]+@')",
        "args.to.split('@')[1].upperAscii() == 'EXAMPLE.COM'",
        "args.urgent == true && args.urgent != 1",
        "args.amount != '250.5'",
        "history.exists(h, h.name == 'login' && h.ok) && size(history.filter(h, h.ok == false)) == 1",
        "type(result) == map && result.total > 10",
        "time > timestamp('2026-05-04T22:00:00Z') && time.getHours('Europe/Berlin') == 1",
        "cel.bind(limit, 200.0, args.amount > limit)",
        "math.greatest(args.amount, 300.0) == 300.0",
        "text.contains('refund') && text.size() == 17",
        "args.missing == 1 || true",
    ],
)
def test_a_condition_holds_as_cel_defines_it(text: str) -> None:
    assert evaluate(text) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("args.missing == 1", "missing"),
        ("args.to > 1", "No matching overloads"),
        ("args.count + 1.0 > 2.0", "No matching overloads"),
        ("args.amount.currency == 'EUR'", "SELECT"),
        ("args.count / 0 == 1", "divide by zero"),
        ("args.count * 9223372036854775807 > 1", "overflow"),
        ("int(args.to) == 1", "cannot convert"),
        ("args.tags[7] == 1", "Index error"),
        ("result.status == 'ok' && result.nope", "nope"),
    ],
)
def test_a_condition_without_a_value_raises_instead_of_being_true(text: str, why: str) -> None:
    with pytest.raises(expressions.EvaluationError, match=why):
        evaluate(text)


def test_an_error_that_cannot_change_the_outcome_is_not_raised() -> None:
    assert evaluate("args.missing == 1 && false") is False


def test_loops_end_at_the_step_limit() -> None:
    ten = "[1,2,3,4,5,6,7,8,9,10]"
    nested = f"{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, {ten}.all(e, a + b + c + d + e > 0)))))"

    with pytest.raises(expressions.EvaluationError, match="[Bb]udget"):
        evaluate(nested)


def test_a_regular_expression_that_backtracks_elsewhere_takes_linear_time() -> None:
    assert evaluate("text.matches('^(a+)+$')", text="a" * 50_000 + "!") is False


@pytest.mark.parametrize("value", [2**70, (1, 2), {1, 2}, object()])
def test_data_that_is_not_json_raises_when_it_is_read(value: Any) -> None:
    with pytest.raises(expressions.EvaluationError):
        evaluate("args.x == 1", args={"x": value})


def test_data_that_no_expression_reads_is_never_converted() -> None:
    assert evaluate("tool.name == 'send_money'", args={"x": object()})


def test_text_that_utf8_cannot_hold_raises() -> None:
    with pytest.raises(expressions.EvaluationError):
        evaluate("text == 'a'", text="\udc00")


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("tool.nmae == 'a'", 1, 5, "unknown name 'tool.nmae'; did you mean 'tool.name'"),
        ("tool.name == 'a' &&\n  zzz == 1", 2, 3, "unknown name 'zzz'; known here: args, history"),
        ("agrs.amount > 3", 1, 5, "unknown name 'agrs.amount'; did you mean 'args.amount'"),
        ("tool.name == 3", 1, 11, "no matching overload"),
        ("args.amount > ", 1, 15, "Syntax error"),
        ("((", 1, 3, "Syntax error"),
        ("tool.name.startswith('a')", 1, 21, "unknown name 'startswith'"),
        ("args[0] == 1", 1, 5, "no matching overload"),
    ],
)
def test_a_faulty_expression_is_refused_with_its_place(text: str, line: int, column: int, why: str) -> None:
    with pytest.raises(expressions.ExpressionError) as caught:
        expressions.compile(text, VARIABLES)

    assert why in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("text", ["size(labels)", "tool.name", "args.urgent", "[true]"])
def test_a_condition_that_is_not_boolean_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a rule needs bool"):
        expressions.compile(text, VARIABLES)


def test_an_endless_text_is_refused() -> None:
    with pytest.raises(UsageError, match="the limit is 4000"):
        expressions.compile("true || " * 1_000 + "true", VARIABLES)


def test_nesting_beyond_what_the_parser_bears_is_refused() -> None:
    with pytest.raises(UsageError):
        expressions.compile("(" * 500 + "true" + ")" * 500, VARIABLES)


def test_references_are_the_literal_fields_of_a_variable() -> None:
    text = "args.to == 'args.no' && has(args.cc) && args['b c'] == args.?d.orValue(1) // args.e\n"
    text += "&& history.exists(h, h.args.f == 1)"
    expression = expressions.compile(text, VARIABLES)

    assert [r.field for r in expression.references("args")] == ["to", "cc", "b c", "d"]


def test_values_come_back_as_json() -> None:
    expression = expressions.compile_value(
        "{'a': args.tags, 'at': time, 'for': duration('90s'), 'n': args.count * 2}", VARIABLES
    )

    assert expression.value(expressions.bind(VALUES, VARIABLES)) == {
        "a": ["a", {"b": None}],
        "at": "2026-05-04T23:30:00Z",
        "for": 90.0,
        "n": 6,
    }


def test_the_keys_of_a_value_come_back_in_order() -> None:
    keys = [f"k{at}" for at in range(10)]
    entries = ", ".join(f"'{key}': 1" for key in reversed(keys))
    expression = expressions.compile_value(f"{{'z': {{{entries}}}, 'a': 1}}", VARIABLES)

    value = expression.value(expressions.bind(VALUES, VARIABLES))

    assert (list(value), list(value["z"])) == (["a", "z"], keys)


def test_a_value_that_json_cannot_hold_raises() -> None:
    expression = expressions.compile_value("b'abc'", VARIABLES)

    with pytest.raises(expressions.EvaluationError, match="no JSON value"):
        expression.value(expressions.bind(VALUES, VARIABLES))


def test_a_template_fills_its_holes() -> None:
    template = templates.compile("{{ tool.name }} of {{args.amount}} with {{ args.tags }}", VARIABLES)

    assert template.render(expressions.bind(VALUES, VARIABLES)) == 'send_money of 250.5 with ["a", {"b": null}]'


def test_a_template_that_is_one_hole_keeps_the_type() -> None:
    assert templates.compile("{{ args.count }}", VARIABLES).value(expressions.bind(VALUES, VARIABLES)) == 3


NULLS = """
from gatewright.safety.rules import expressions
variables = {"args": "map(string, dyn)"}
made = expressions.compile_value("args", variables)
bound = expressions.bind({"args": {"rows": [None] * 1000}}, variables)
for _ in range(500):
    made.value(bound)
print("alive")
"""


def test_converting_nulls_does_not_end_the_process() -> None:
    found = subprocess.run([sys.executable, "-c", NULLS], capture_output=True, text=True, timeout=120)

    assert (found.returncode, found.stdout.strip()) == (0, "alive"), found.stderr
