"""Conditions taken apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.review import clauses
from gatewright.safety.review.clauses import Clause


def leaves(clause: Clause) -> list[str]:
    return [clause.text] if not clause.parts else [leaf for part in clause.parts for leaf in leaves(part)]


def test_a_condition_is_taken_apart_at_its_operators() -> None:
    found = clauses.parsed("a == 1 && (b || !(c && d)) && !l.exists(x, x.e || x.f)")

    assert (found.operator, len(found.parts)) == ("&&", 3)
    assert leaves(found) == ["a == 1", "b", "c", "d", "!l.exists(x, x.e || x.f)"]


def test_a_choice_is_one_clause() -> None:
    assert clauses.parsed("a || b ? c : d").parts == ()


def test_a_definition_is_followed_behind_a_negation() -> None:
    assert leaves(clauses.parsed("!big && !small", {"big": "args.amount > 5"})) == ["args.amount > 5", "!small"]


def test_a_definition_is_followed() -> None:
    found = clauses.parsed("big && known", {"much": "args.amount > 5", "big": "much || urgent"})

    assert found.parts[0] == Clause(
        "big",
        "=",
        (Clause("much || urgent", "||", (Clause("much", "=", (Clause("args.amount > 5"),)), Clause("urgent"))),),
    )


@given(
    st.recursive(
        st.sampled_from("abcd"),
        lambda inner: (
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda each: f"({' '.join(each)})")
            | inner.map(lambda each: f"!({each})")
        ),
        max_leaves=12,
    )
)
def test_no_variable_is_lost(text: str) -> None:
    assert leaves(clauses.parsed(text)) == [sign for sign in text if sign in "abcd"]
