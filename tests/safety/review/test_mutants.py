"""Small changes of an expression."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.review import mutants
from gatewright.safety.rules import expressions

NAMES = ("a", "b", "c", "d")
VARIABLES: expressions.Variables = dict.fromkeys(NAMES, "bool")


def texts(text: str, change: mutants.Change) -> list[str]:
    return [" ".join(each.text.split()) for each in mutants.of(text) if each.change == change]


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ("a && b && c", "clause", ["b && c", "a && c", "a && b"]),
        (
            "a && b || c && d",
            "clause",
            ["b || c && d", "a || c && d", "c && d", "a && b", "a && b || d", "a && b || c"],
        ),
        ("a && (b || c)", "clause", ["(b || c)", "a", "a && ( c)", "a && (b )"]),
        ("l.exists(x, x.a && x.b)", "clause", ["l.exists(x, x.b)", "l.exists(x, x.a )"]),
        ("!a && !(b || c)", "negation", ["a && !(b || c)", "!a && (b || c)"]),
        ("a == b || c in [1, 2]", "comparison", ["!(a == b )|| c in [1, 2]", "a == b || !(c in [1, 2])"]),
        ("x > 5 && y <= 3", "boundary", ["x >= 5 && y <= 3", "x > 5 && y < 3"]),
        ("a ? x < 1 : y >= 2", "comparison", ["a ? !(x < 1 ): y >= 2", "a ? x < 1 : !(y >= 2)"]),
        ("x.?y.orValue(1) > 2", "comparison", ["!(x.?y.orValue(1) > 2)"]),
        ("x == 'a && b'  // and && this", "clause", []),
    ],
)
def test_an_expression_is_changed_at_every_place_of_a_kind(
    text: str, change: mutants.Change, expected: list[str]
) -> None:
    assert sorted(texts(text, change)) == sorted(expected)


conditions = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.one_of(
        inner.map(lambda each: f"!({each})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: "(" + " && ".join(each) + ")"),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: "(" + " || ".join(each) + ")"),
        st.tuples(inner, inner).map(lambda each: f"({each[0]} == {each[1]})"),
    ),
    max_leaves=8,
)


@given(conditions)
def test_every_change_of_a_condition_is_another_condition(text: str) -> None:
    for mutant in mutants.of(text):
        assert mutant.text != text
        assert expressions.compile(mutant.text, VARIABLES).type == "BOOL"


@given(conditions)
def test_every_operand_comparison_and_negation_has_its_change(text: str) -> None:
    found = [mutant.change for mutant in mutants.of(text)]
    chains = text.count("(") - text.count("!") - text.count("==")
    distinct = {mutant.text for mutant in mutants.of(text)}

    assert found.count("negation") == text.count("!(")
    assert found.count("comparison") == text.count("==")
    assert len(distinct) == len(found)
    # an operand that stands beside its like is dropped with the same result, which is listed once
    assert found.count("clause") <= text.count("&&") + text.count("||") + chains
