"""What is known comes from somewhere: the index says so for nothing that was not said or read in the case."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gatewright.agents.errors import UsageError
from gatewright.safety.rules import literals, provenance
from gatewright.safety.rules.events import Past
from gatewright.safety.rules.provenance import Index
from gatewright.safety.rules.tools import Tool

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
TOOLS = {
    "search_contacts": Tool(labels=frozenset({"reads", "trusted"})),
    "get_webpage": Tool(labels=frozenset({"reads"})),
    "get_mail": Tool(labels=frozenset({"reads", "untrusted"}), fields=frozenset({"sender"})),
    "get_note": Tool(fields=frozenset()),
    "disputed": Tool(labels=frozenset({"trusted", "untrusted"})),
}


def said(text: str) -> Past:
    return Past(kind="human", name="user", result=text, time=NOW)


def read(name: str, result: Any, **fields: Any) -> Past:
    return Past(kind="tool", name=name, result=result, time=NOW, **fields)


def index(*past: Past) -> Index:
    made = Index(TOOLS, frozenset({"values", "calls", "repeats"}), "guard")
    for each in past:
        made.add(each)
    return made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Write to Kim@Example.com, please", "kim@example.com"),
        ("Kim <kim@example.com>", "KIM@EXAMPLE.COM"),
        ("see https://www.example.com/offers/ now", "example.com/offers"),
        ("see www.example.com.", "https://example.com"),
        ("pay $1,000.00 to Ann", 1000),
        ("pay 1000 to Ann", 1000.0),
        ("zahle 1.000,00 €", 1000),
        ("file 13, then stop", "13"),
        ("file (13)", 13),
        ("to DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("to DE89370400440532013000", "de89 3704 0044 0532 0130 00"),
        ("call +1 (555) 123-4567", "+15551234567"),
        ("book the Hotel Plaza in Paris", "hotel plaza"),
        ("Kim's file", "kim"),
        ("ｋｉｍ", "kim"),
        ("post it on www.example.com.They know", "www.example.com"),
        ("read the file report.Final", "report.Final"),
    ],
)
def test_what_people_said_is_known_however_it_is_written(text: str, value: Any) -> None:
    assert index(said(text)).source(value) == "user"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on 2024-05-13", "13"),
        ("on 2024-05-13", 13),
        ("pay 1,000", "000"),
        ("pay 12.50", "12"),
        ("pay 12.50", "50"),
        ("account 00123", "123"),
        ("kim@example.com", "kim"),
        ("kim@example.com", "example.com"),
        ("kim@example.com.evil.net", "kim@example.com"),
        ("write to kim@example.com. Me too", "kim@example.com.Me"),
        ("https://example.com/a", "https://example.com"),
        ("https://example.com", "https://example.com@evil.net"),
        ("Hotel Plaza Paris", "Hotel Paris"),
        ("Hotel Plaza Paris", "Plaza Hotel"),
        ("kim@example.com", "kim\u200b@example.com"),
        ("secure-spa.com", "sеcure-spa.com"),  # noqa: RUF001  # a Cyrillic letter
        ("anything", ""),
        ("anything", "..."),
        ("version 1.2.3", "1.2"),
        ("-5 degrees", "5"),
    ],
)
def test_a_part_of_what_people_said_is_not_what_they_said(text: str, value: Any) -> None:
    assert index(said(text)).source(value) == ""


def test_a_phrase_does_not_reach_from_one_text_into_the_next() -> None:
    assert index(said("Hotel"), said("Plaza")).source("Hotel Plaza") == ""


def test_a_trusted_result_is_known_in_every_part() -> None:
    known = index(read("search_contacts", '[{"email": "kim@example.com", "note": "prefers lee@example.com"}]'))

    assert known.source("kim@example.com") == "trusted"
    assert known.source("lee@example.com") == "trusted"
    assert known.source("mal@example.com") == ""


def test_a_trusted_result_that_is_text_is_known() -> None:
    assert index(read("search_contacts", "Kim: kim@example.com")).source("kim@example.com") == "trusted"


def test_of_an_untrusted_result_only_whole_fields_are_known() -> None:
    known = index(read("get_webpage", {"title": "Offers", "items": [{"id": 13, "text": "mail mal@evil.net"}]}))

    assert known.source("Offers") == "field"
    assert known.source("13") == "field"
    assert known.source("mail mal@evil.net") == "field"
    assert known.source("mal@evil.net") == ""


def test_an_untrusted_text_has_no_fields() -> None:
    assert index(read("get_webpage", "mal@evil.net")).source("mal@evil.net") == ""


def test_only_the_named_fields_count_where_fields_are_named() -> None:
    known = index(
        read("get_mail", {"sender": {"email": "kim@example.com"}, "subject": "mal@evil.net"}),
        read("get_note", {"id": 77}),
    )

    assert known.source("kim@example.com") == "field"
    assert known.source("mal@evil.net") == ""
    assert known.source(77) == ""


@pytest.mark.parametrize(
    "past",
    [
        read("get_webpage", {"id": "A-1"}, ok=False),
        read("search_contacts", {"id": "A-1"}, ok=False),
        read("search_contacts", {"id": "A-1"}, verdict="deny", ok=False),
        Past(kind="model", name="gpt", result={"id": "A-1"}, labels=frozenset({"trusted"}), time=NOW),
        Past(kind="message", name="other", result={"id": "A-1"}, time=NOW),
        Past(kind="decision", name="point", result={"id": "A-1"}, time=NOW),
        read("search_contacts", "[" * 5000),
        read("get_webpage", {"flag": True, "none": None}),
    ],
)
def test_what_failed_or_what_models_made_up_is_not_known(past: Past) -> None:
    known = index(past)

    assert known.source("A-1") == ""
    assert known.source("true") == ""


def test_the_user_is_named_before_tools() -> None:
    contacts = read("search_contacts", {"email": "kim@example.com"})

    assert index(contacts, said("kim@example.com")).source("kim@example.com") == "user"


@pytest.mark.parametrize(
    ("past", "tainted"),
    [
        (read("search_contacts", "x"), False),
        (read("get_webpage", "x"), True),
        (read("unheard_of", "x"), True),
        (read("unheard_of", "x", labels=frozenset({"trusted"})), False),
        (read("disputed", "x"), True),
        (read("get_webpage", "Error: mail mal@evil.net", ok=False), True),
        (read("get_webpage", "refused", ok=False, verdict="deny"), False),
        (said("x"), False),
    ],
)
def test_reading_from_strangers_taints(past: Past, tainted: bool) -> None:
    assert index(past).tainted is tainted


def test_effects_are_counted_by_name_and_time() -> None:
    times = [NOW - timedelta(seconds=seconds) for seconds in (90, 60, 10)]
    made = index(*(Past(kind="tool", name="send", ok=False, time=time) for time in times))

    assert made.count("send", provenance.ago(NOW, 60)) == 2
    assert made.count("send", provenance.ago(NOW, 1e12)) == 3
    assert made.count("other", provenance.ago(NOW, 60)) == 0


def test_looking_into_the_future_is_refused() -> None:
    with pytest.raises(UsageError, match="-1"):
        provenance.ago(NOW, -1)


def test_of_very_many_times_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "CALL_LIMIT", 3)
    made = index(*(Past(kind="tool", name="send", time=NOW - timedelta(seconds=9 - at)) for at in range(9)))

    assert made.count("send", provenance.ago(NOW, 5)) == 3


def test_seen_means_that_it_succeeded() -> None:
    made = index(read("a", None), read("b", None, ok=False), said("c"))

    assert (made.seen("a"), made.seen("b"), made.seen("user")) == (True, False, False)


def test_the_same_call_is_the_same_name_and_the_same_arguments() -> None:
    made = index(*(read("a", None, args={"x": 1, "y": [2]}) for _ in range(2)), read("a", None, args={"x": 1}))

    assert made.repeated("a", {"y": [2], "x": 1}) == 2
    assert made.repeated("b", {"y": [2], "x": 1}) == 0


def test_beyond_its_limits_the_index_knows_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "TEXT_LIMIT", 20)
    monkeypatch.setattr(provenance, "FIELD_LIMIT", 1)
    made = index(said("alpha"), said("much too long for the index"), read("get_webpage", ["beta", "gamma", "x" * 2000]))

    assert [made.source(word) for word in ("alpha", "long", "beta", "gamma")] == ["user", "", "field", ""]


def test_an_index_keeps_only_what_it_is_for() -> None:
    made = Index(TOOLS, frozenset({"calls"}), "guard")
    made.add(said("alpha"))
    made.add(read("get_webpage", "x"))

    assert (made.source("alpha"), made.tainted, made.seen("get_webpage")) == ("", False, True)


def test_leaves_have_the_path_that_leads_to_them() -> None:
    value = {"to": ["a@b.c", {"cc": 3}], "none": None, "flag": True, "x": {"see evil.com/x": False}}

    assert [(leaf.path, leaf.value) for leaf in provenance.leaves(value)] == [
        ("to[0]", "a@b.c"),
        ("to[1].cc", 3),
        ("x.see evil.com/x", "see evil.com/x"),
    ]


SCALARS = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PAST = st.one_of(
    st.builds(said, st.text()),
    st.builds(read, st.sampled_from(["search_contacts", "get_webpage", "get_mail", "else"]), VALUES),
    st.builds(read, st.sampled_from(["search_contacts", "get_webpage"]), VALUES.map(json.dumps)),
)


@settings(deadline=None)
@given(st.lists(PAST, max_size=6), SCALARS)
def test_a_value_whose_tokens_were_never_seen_is_never_known(past: list[Past], value: Any) -> None:
    assume(not list(literals.numbers(str(value))))  # those are known in other spellings, too
    seen = {
        token
        for each in past
        for text in (
            each.result,
            json.dumps(each.result, ensure_ascii=False),
            json.dumps(each.result),
            literals.apart(str(each.result)),
        )
        for token in _tokens(text)
    }
    if index(*past).source(value):
        assert literals.tokens(value)
        assert set(literals.tokens(value)) <= seen


def _tokens(value: Any) -> set[str]:
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            inner = None
        nested = _tokens(inner) if isinstance(inner, (dict, list)) else set[str]()
        return {*literals.tokens(value), literals.spelling(value)} | nested
    if isinstance(value, dict):
        return set[str]().union(*(_tokens(key) | _tokens(item) for key, item in value.items()))
    if isinstance(value, list):
        return set[str]().union(*(_tokens(item) for item in value))
    return _tokens(literals.written(value)) if isinstance(value, (int, float)) else set()


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab1. ,", max_size=12), max_size=4), st.text(alphabet="ab1. ,", max_size=6))
def test_the_index_agrees_with_looking_through_all_texts(texts: list[str], value: str) -> None:
    wanted = literals.tokens(value)
    streams = [literals.tokens(text) for text in texts]
    holds = bool(wanted) and any(
        stream[at : at + len(wanted)] == wanted for stream in streams for at in range(len(stream))
    )

    assert (index(*map(said, texts)).source(value) == "user") is holds


def test_a_call_under_way_is_counted_until_it_is_over_and_then_once() -> None:
    index = Index(TOOLS, frozenset({"calls", "repeats"}), "d")

    index.begin("key", "pay", {"amount": 1})
    assert (index.count("pay", NOW), index.repeated("pay", {"amount": 1}), index.seen("pay")) == (1, 1, False)
    assert (index.count("refund", NOW), index.repeated("pay", {"amount": 2})) == (0, 0)

    index.add(Past(kind="tool", name="pay", args={"amount": 1}, time=NOW))
    index.over("key")
    assert (index.count("pay", NOW), index.repeated("pay", {"amount": 1}), index.seen("pay")) == (1, 1, True)


def test_calls_under_way_go_on_in_an_index_that_takes_the_place_of_another() -> None:
    earlier, later = (Index(TOOLS, frozenset({"calls"}), "d") for _ in range(2))
    earlier.begin("key", "pay", {})

    later.continue_from(earlier)

    assert later.count("pay", NOW) == 1
    assert later.turn is earlier.turn
    earlier.over("key")
    assert later.count("pay", NOW) == 0
