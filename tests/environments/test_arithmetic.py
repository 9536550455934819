from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.environments.arithmetic import allowed, evaluate


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("2 + 2", "4.0"),
        (" 1.005 * 100", "100.5"),
        ("7 // 2 ** 2", "1.0"),
        ("-(3 - 5) / 3", "0.67"),
        ("1000000 * 1000000 * 10000", "1e+16"),
    ],
)
def test_values_are_those_of_pythons_own_evaluation(expression: str, text: str) -> None:
    assert evaluate(expression) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("1/0", "division by zero"),
        ("", "invalid syntax (<string>, line 0)"),
        ("(1", "'(' was never closed (<string>, line 1)"),
        ("1)", "unmatched ')' (<string>, line 1)"),
        ("()", "float() argument must be a string or a real number, not 'tuple'"),
        ("2(3)", "'int' object is not callable"),
        ("(-8) ** .5", "float() argument must be a string or a real number, not 'complex'"),
        (["1", "+"], "eval() arg 1 must be a string, bytes or code object"),
    ],
)
def test_errors_are_those_of_pythons_own_evaluation(expression: Any, text: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # of any class: models read its text only
        evaluate(expression)
    assert str(raised.value) == text


@pytest.mark.parametrize("expression", ["2 x 3", "1,000 + 1"])
def test_other_characters_are_not_allowed(expression: str) -> None:
    assert not allowed(expression)


@pytest.mark.parametrize("expression", ["9**9**9", "9**9**9**9", "2**999999999"])
def test_a_power_that_would_take_minutes_is_refused_at_once(expression: str) -> None:
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        evaluate(expression)


@given(st.text("0123456789+-*/(). ", max_size=40))
def test_every_text_of_allowed_characters_gives_a_number_or_an_exception(expression: str) -> None:
    assert allowed(expression)
    try:
        answer = evaluate(expression)
    except Exception as error:
        assert str(error)
    else:
        assert isinstance(float(answer), float)
