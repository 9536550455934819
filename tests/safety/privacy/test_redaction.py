import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import LimitError, UsageError
from gatewright.safety.privacy import redaction
from gatewright.safety.privacy.redaction import Found

_TABLE: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "data" / "personal.yaml").read_text("utf-8"))
_MARKED = [(kind, text) for kind, texts in _TABLE.items() if kind != "nothing" for text in texts]


def _unmarked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its marks, and the places that were marked."""
    plain, places, start = "", [], 0
    for character in text:
        if character == "«":
            start = len(plain)
        elif character == "»":
            places.append((start, len(plain)))
        else:
            plain += character
    return plain, places


@pytest.mark.parametrize(("kind", "marked"), _MARKED)
def test_personal_data_is_found_exactly_where_it_stands(kind: str, marked: str) -> None:
    text, places = _unmarked(marked)
    assert [(found.kind, found.start, found.end) for found in redaction.find(text)] == [(kind, *at) for at in places]


@pytest.mark.parametrize("text", _TABLE["nothing"])
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert redaction.find(text) == []


def test_every_kind_has_examples() -> None:
    assert {kind for kind, _ in _MARKED} == redaction.KINDS


def test_texts_at_any_depth_and_keys_are_redacted() -> None:
    value = {"to": ["kim@example.org", {"note": "call +49 30 901820"}], "kim@example.org": 1, "n": 1.5, "ok": True}
    assert redaction.redact(value) == {
        "to": ["[email]", {"note": "call [phone]"}],
        "[email]": 1,
        "n": 1.5,
        "ok": True,
    }


def test_a_number_that_reads_as_a_card_is_redacted() -> None:
    value = {"card": 4111111111111111, "as_float": 4111111111111111.0, "order": 20481123}
    assert redaction.redact(value) == {"card": "[card]", "as_float": "[card]", "order": 20481123}


def test_keys_that_become_alike_are_numbered() -> None:
    assert redaction.redact({"a@b.org": 1, "c@d.org": 2, "e@f.org": 3}) == {
        "[email]": 1,
        "[email] 2": 2,
        "[email] 3": 3,
    }


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("password", "correcthorse", "secret"),
        ("db_password", "correcthorse", "secret"),
        ("apiKey", "correcthorse", "secret"),
        ("bsn", "111222333", "national_id"),
        ("customer_ssn", 219099998, "national_id"),
        ("phone", "5552671234", "phone"),
        ("mobile_phone", 5552671234, "phone"),
    ],
)
def test_a_key_says_what_a_bare_value_is(key: str, value: Any, kind: str) -> None:
    assert redaction.redact({key: value}) == {key: f"[{kind}]"}
    assert redaction.redact({"order": value}) == {"order": value}


def test_only_the_kinds_asked_for_are_redacted() -> None:
    text = "kim@example.org 4111 1111 1111 1111"
    assert redaction.masked(text, ["email"]) == "[email] 4111 1111 1111 1111"


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown kind 'e-mail'"):
        redaction.redact("x", ["e-mail"])  # type: ignore[list-item]  # what a rule could write


def test_the_kinds_in_a_value_are_named_once_and_sorted() -> None:
    assert redaction.kinds({"a": ["x@y.org", "z@y.org"], "b": "4111111111111111"}) == ["card", "email"]


def test_overlapping_finds_are_one_and_named_by_the_longest() -> None:
    text = "https://kim:4111111111111111@example.org"
    assert redaction.find(text, ["email", "card"]) == [Found("email", 12, 40)]


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: Any = "kim@example.org"
    for _ in range(200):
        value = [value]
    with pytest.raises(LimitError, match="128 levels"):
        redaction.redact(value)
    with pytest.raises(LimitError, match="128 levels"):
        redaction.kinds(value)


def test_a_value_that_is_too_large_is_refused_and_not_half_looked_at() -> None:
    value = ["x" * redaction.LIMIT, "kim@example.org"]
    with pytest.raises(LimitError, match="131072 at most"):
        redaction.kinds(value)
    with pytest.raises(LimitError, match="131072 at most"):
        redaction.redact(value)


_PIECES = st.sampled_from(
    [
        "kim@example.org", "+49 30 901820", "4111111111111111", "4111 1111 ", "1111 1111", "DE89370400440532013000",
        "219-09-9998", "bsn ", "111222333", "password=", "hunter2", "@", ".", "-", " ", "+", "(", ")", "0", "1", "٤",
        "\u200b", "a", "é", "[", "]", "eyJ", "sk-", "://", ":", "'", '"', "=", "10.0.0.7", "\n", "x" * 70,
    ]
)  # fmt: skip
_TEXTS = st.lists(_PIECES | st.text(max_size=3), max_size=14).map("".join)


@given(_TEXTS)
def test_nothing_is_found_in_what_was_redacted(text: str) -> None:
    assert redaction.find(redaction.masked(text)) == []


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS | st.sampled_from(["password", "phone"]), inner),
    max_leaves=8,
)


@given(_VALUES)
def test_redacting_again_changes_nothing(value: Any) -> None:
    once = redaction.redact(value)
    assert redaction.redact(once) == once
    assert redaction.kinds(once) == []


@given(st.text(string.ascii_letters + " ,.!?", max_size=200))
def test_words_alone_are_kept(text: str) -> None:
    kept = set(redaction.KINDS) - {"email", "ip", "secret", "national_id"}
    assert redaction.masked(text, kept) == text
