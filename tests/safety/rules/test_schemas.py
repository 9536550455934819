"""Rules are held against the JSON Schemas of the tools that they are about, without false alarms."""

from typing import Any

import pytest

from gatewright.safety.rules import events, expressions, schemas
from gatewright.safety.rules.schemas import Arguments

VARIABLES = events.VARIABLES["tool.before"]
PAY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "address": {"type": "object"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "kind": {"enum": ["a", 1]},
        "either": {"type": ["string", "integer"]},
        "nested": {"$ref": "#/$defs/X"},
    },
}


def complaints(text: str, definitions: dict[str, str] | None = None) -> list[str]:
    taken = schemas.arguments({"pay": PAY}, ["pay"])
    expression = expressions.compile(text, VARIABLES, definitions or {})
    return [str(error) for error in schemas.disagreements(expression, VARIABLES, taken.kinds, definitions or {})]


@pytest.mark.parametrize(
    "text",
    [
        "args.amount > 'x'",
        "args.count == 'three'",
        "args.to > 3",
        "args.urgent > 1",
        "args.urgent == 'yes'",
        "args.tags == 'a'",
        "args.address == 'Berlin'",
        "args.to.x == 1",
        "args.note > 5",
        "has(args.amount) && args.amount == 'x'",
        "args['to'] == 'a' || args.to == 5",
        "args.amount == args.to",
        "!has(args.amount) ||\n  args.amount.startsWith('1')",
    ],
)
def test_what_cannot_be_done_with_an_argument_is_found(text: str) -> None:
    assert complaints(text)


@pytest.mark.parametrize(
    "text",
    [
        "args.amount > 100",
        "args.amount > 100.5",
        "args.amount == 3 || args.amount == 1.5",
        "args.count > 2 && args.amount == 1.5 && args.count == 2.0",
        "args.amount in [1, 2]",
        "args.amount in [1.5, 2.5]",
        "args.amount * 2.0 > 3.0",
        "args.count + 1 > 3",
        "double(args.amount) > 3.0 && string(args.count) == '3'",
        "has(args.to) && args.to.endsWith('@example.com') && size(args.to) > 3",
        "args.to == null || args.to.split('@')[1] == 'x'",
        "args.tags == null || args.tags.exists(t, t == 'a')",
        "args.address.city == 'Berlin' && has(args.address.zip)",
        "args.?amount.orValue(3) > 2",
        "args.urgent && !args.urgent || args.urgent == true",
        "!(type(args.amount) in [int, double]) || args.amount.startsWith('x')",
        "args.kind == 'a' || args.kind == 1",
        "args.either == 'a' || args.either == 1",
        "args.nested.x == 1",
        "args.note == null || args.note == 'x'",
        "'amount' in args && args.all(k, k != 'x')",
        "seen(args.to) || count(args.to, args.amount) > 3",
        "asked_for(args.to)",
    ],
)
def test_what_may_be_true_of_an_argument_is_not_complained_about(text: str) -> None:
    assert complaints(text) == []


def test_definitions_are_known_there_too() -> None:
    large = {"large": "has(args.amount) && args.amount > 100"}

    assert complaints("large && args.to == 'x'", large) == []
    assert complaints("large && args.to == 3", large)


def test_the_place_is_that_in_the_condition() -> None:
    taken = schemas.arguments({"pay": PAY}, ["pay"])
    expression = expressions.compile("has(args.to) &&\n  args.amount == 'x'", VARIABLES)

    (error,) = schemas.disagreements(expression, VARIABLES, taken.kinds, {})

    assert (error.line, error.column) == (2, 15)


def test_tools_that_disagree_leave_an_argument_open() -> None:
    tools = {
        "a": {"properties": {"x": {"type": "string"}, "y": {"type": "integer"}}},
        "b": {"properties": {"x": {"type": "integer"}, "y": {"type": "number"}, "z": {"type": "boolean"}}},
    }

    assert schemas.arguments(tools, ["a", "b"]) == Arguments(
        names=frozenset("xyz"), kinds={"y": "number", "z": "boolean"}
    )


@pytest.mark.parametrize(
    "schema", [None, {}, {"properties": {"x": {}}, "additionalProperties": True}, {"properties": [1]}]
)
def test_a_tool_that_takes_anything_leaves_everything_open(schema: dict[str, Any] | None) -> None:
    tools = {"a": schema, "b": {"properties": {"x": {"type": "string"}}}}

    assert schemas.arguments(tools, ["a", "b"]) == Arguments()
    assert schemas.arguments(tools, []) == Arguments()
