"""JSON that comes in through a door."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime import jsontext

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(jsontext.SMALLEST, jsontext.LARGEST) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


@given(VALUES)
def test_every_value_that_can_be_stored_is_read_as_it_is(value: Any) -> None:
    assert jsontext.parse(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b'{"a": -Infinity}',
        b"[1e999]",
        b"18446744073709551616",
        b'"\\ud800"',
        "\ud800",
        b'"\xff"',
        b"[" * 300 + b"]" * 300,
        b"9" * 10_000,
        b"",
        b"{a: 1}",
    ],
)
def test_what_could_not_be_stored_or_shown_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="."):
        jsontext.parse(text)
