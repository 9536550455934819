"""Forms from JSON schemas: what is shown can be sent back unchanged, and the schema judges what comes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.console import forms

REFUND: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "title": "Order", "description": "As printed on the bill."},
        "amount": {"type": "number", "maximum": 500},
        "count": {"type": "integer"},
        "cabin": {"enum": ["economy", "business"]},
        "insured": {"type": "boolean"},
        "legs": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["order", "amount"],
    "additionalProperties": False,
}

ARGS = st.fixed_dictionaries(
    {
        "order": st.text(alphabet=st.characters(exclude_characters="\r"), min_size=1),
        "amount": st.floats(max_value=500, allow_nan=False, allow_infinity=False),
    },
    optional={
        "count": st.integers(-(2**63), 2**64 - 1),
        "cabin": st.sampled_from(["economy", "business"]),
        "insured": st.booleans(),
        "legs": st.lists(st.text()),
        "note": st.text(alphabet=st.characters(exclude_characters="\r"), min_size=1).filter(lambda text: text.strip()),
    },
)


def sent(form: list[forms.Field]) -> dict[str, str]:
    """What a browser sends of a form that nobody touched."""
    return {field.name: field.text for field in form}


@given(ARGS)
def test_a_form_that_nobody_touched_gives_the_value_that_it_showed(args: dict[str, Any]) -> None:
    assert forms.read(REFUND, sent(forms.fields(REFUND, args))) == forms.Reading(args, {})


def test_controls_follow_the_types() -> None:
    controls = {field.label: field.control for field in forms.fields(REFUND, {})}

    assert controls == {
        "Order": "text",
        "amount": "number",
        "count": "number",
        "cabin": "choice",
        "insured": "choice",
        "legs": "json",
        "note": "text",
    }


def test_long_text_gets_room() -> None:
    assert forms.fields(REFUND, {"order": "x" * 61})[0].control == "area"


def test_a_value_beyond_the_schema_is_refused_at_its_field() -> None:
    reading = forms.read(REFUND, {"value.order": "A-17", "value.amount": "501"})

    assert list(reading.errors) == ["value.amount"]
    assert "500" in reading.errors["value.amount"]


def test_a_required_number_that_is_missing_is_told() -> None:
    assert forms.read(REFUND, {"value.order": "A-17"}).errors == {"": "'amount' is a required property"}


@pytest.mark.parametrize("text", ["lots", "1e", "[1", "Infinity or so"])
def test_what_is_not_a_number_is_refused_at_its_field(text: str) -> None:
    assert list(forms.read(REFUND, {"value.order": "A", "value.amount": text}).errors) == ["value.amount"]


def test_line_ends_of_browsers_become_plain_ones() -> None:
    schema = {"type": "string"}

    assert forms.read(schema, {"value": "one\r\ntwo"}).value == "one\ntwo"


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "yes", "yes"),
        ({"type": "boolean"}, "true", True),
        ({"enum": ["happened", "did not happen"]}, '"happened"', "happened"),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({}, "[1, 2]", [1, 2]),
    ],
)
def test_an_answer_of_any_type_is_one_field(schema: dict[str, Any], text: str, value: Any) -> None:
    assert [field.name for field in forms.fields(schema)] == ["value"]
    assert forms.read(schema, {"value": text}) == forms.Reading(value, {})


def test_an_answer_that_was_not_given_is_told() -> None:
    assert forms.read({"type": "boolean"}, {"value": ""}).errors == {"value": "is needed"}


def test_a_broken_schema_is_told_and_does_not_let_anything_pass() -> None:
    assert "schema is broken" in forms.read({"type": "nonsense"}, {"value": "1"}).errors[""]


def test_defaults_are_shown() -> None:
    schema = {"type": "object", "properties": {"cabin": {"enum": ["economy"], "default": "economy"}}}

    assert forms.fields(schema, {})[0].text == json.dumps("economy")


def test_a_form_is_shown_again_as_it_was_sent() -> None:
    again = forms.echo(forms.fields(REFUND, {"amount": 400}), {"value.amount": "lots"})

    assert next(field.text for field in again if field.name == "value.amount") == "lots"
