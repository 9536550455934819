from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.environments.airline.arithmetic import calculate


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("2 + 2", "4.0"),
        (" 1.005 * 100", "100.5"),
        ("7 // 2 ** 2", "1.0"),
        ("-(3 - 5) / 3", "0.67"),
        ("1000000 * 1000000 * 10000", "1e+16"),
        ("1/0", "Error: division by zero"),
        ("2 x 3", "Error: invalid characters in expression"),
        ("1,000 + 1", "Error: invalid characters in expression"),
        ("", "Error: invalid syntax (<string>, line 0)"),
        ("(1", "Error: '(' was never closed (<string>, line 1)"),
        ("1)", "Error: unmatched ')' (<string>, line 1)"),
        ("()", "Error: float() argument must be a string or a real number, not 'tuple'"),
        ("2(3)", "Error: 'int' object is not callable"),
        ("(-8) ** .5", "Error: float() argument must be a string or a real number, not 'complex'"),
        (["1", "+"], "Error: eval() arg 1 must be a string, bytes or code object"),
    ],
)
def test_answers_are_those_of_the_recorded_airline(expression: Any, text: str) -> None:
    assert calculate(expression) == text


@pytest.mark.parametrize("expression", ["9**9**9", "9**9**9**9", "2**999999999"])
def test_a_power_that_would_take_minutes_is_refused_at_once(expression: str) -> None:
    assert calculate(expression) == "Error: int too large to convert to float"


@given(st.text("0123456789+-*/(). ", max_size=40))
def test_every_text_of_allowed_characters_is_answered(expression: str) -> None:
    answer = calculate(expression)
    assert answer.startswith("Error: ") or isinstance(float(answer), float)
