"""Sums and flat lists in rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.rules import lists
from gatewright.safety.rules.expressions import EvaluationError, Variables, bind, compile_value

ARGS: Variables = {"args": "map(string, dyn)"}


def value(text: str, **args: Any) -> Any:
    return compile_value(text, ARGS).value(bind({"args": args}, ARGS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(args.some)", 6.5),
        ("sum([])", 0.0),
        ("sum(args.rows.map(row, row.price))", 3.0),
        ("sum(args.rows.map(row, double(row.price)))", 3.0),
        ("sum([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])", 1.0),
        ("flatten(args.nested)", [1, 2, [3], "four"]),
        ("sum(flatten([[1, 2], [3]]))", 6.0),
        ("flatten(args.nested).size()", 4),
        ("flatten(args.rows.map(row, [row])).exists(row, row.price == 2)", True),
    ],
)
def test_lists_are_added_up_and_flattened(text: str, expected: Any) -> None:
    rows = [{"price": 1}, {"price": 2}]
    assert value(text, some=[1, 2, 3.5], nested=[[1, 2], [[3]], "four"], rows=rows) == expected


@pytest.mark.parametrize("some", [["1"], [True], [None], [[1]], [{}], "12", 5, None, [10**308] * 3])
def test_what_cannot_be_added_has_no_value(some: Any) -> None:
    with pytest.raises(EvaluationError):
        value("sum(args.some)", some=some)


@given(st.lists(st.integers(-(2**53), 2**53)))
def test_a_sum_does_not_depend_on_the_order(numbers: list[int]) -> None:
    assert lists.total(numbers) == lists.total(sorted(numbers))


@given(st.lists(st.lists(st.integers())))
def test_flattening_keeps_every_element_in_order(nested: list[list[int]]) -> None:
    assert lists.flat(nested) == [element for inner in nested for element in inner]
