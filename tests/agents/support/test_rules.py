from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.agents.support import team
from gatewright.agents.support.changes import CHANGING
from gatewright.agents.support.desk import LOOKING, TRANSFER
from gatewright.safety.rules.events import Event, Past
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack
from gatewright.safety.verdicts import Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _pack() -> Pack:
    assert team.rules is not None
    return Pack.load(team.rules)


PACK = _pack()
GUARD = Guard([PACK])


def tool(name: str, result: Any, *, seconds_ago: float = 60.0, **args: Any) -> Past:
    return Past(kind="tool", name=name, args=args, result=result, time=NOW - timedelta(seconds=seconds_ago))


def read(reservation_id: Any, *amounts: Any) -> Past:
    paid = [{"payment_id": "p", "amount": amount} for amount in amounts]
    return tool("get_reservation_details", {"reservation_id": reservation_id, "payment_history": paid})


def said(text: str, *, seconds_ago: float = 90.0, by: str = "user") -> Past:
    return Past(kind="human", name=by, result=text, time=NOW - timedelta(seconds=seconds_ago))


def judged(name: str, args: dict[str, Any], *history: Past) -> Decision:
    return GUARD.evaluate(Event(hook="tool.before", name=name, agent="changes", args=args, history=history, time=NOW))


def found(name: str, args: dict[str, Any], *history: Past) -> set[str]:
    """The rules that count and match; what went wrong with one of them counts as if it had matched, and is marked."""
    decision = judged(name, args, *history)
    return {hit.rule_id for hit in decision.hits if hit.counts} | {f"! {found.rule_id}" for found in decision.findings}


RESERVATION = {
    "reservation_id": "R1",
    "user_id": "ada_1",
    "origin": "SEA",
    "destination": "SFO",
    "flight_type": "one_way",
    "cabin": "business",
    "flights": [{"origin": "SEA", "destination": "SFO", "flight_number": "F1", "date": "2024-05-20", "price": 400}],
    "passengers": [{"first_name": "Ada", "last_name": "Stone", "dob": "1984-03-12"}],
    "payment_history": [{"payment_id": "credit_card_1", "amount": 400}],
    "created_at": "2024-05-01T10:00:00",
    "total_baggages": 1,
    "nonfree_baggages": 0,
    "insurance": "no",
}
PROFILE = {
    "name": {"first_name": "Ada", "last_name": "Stone"},
    "membership": "gold",
    "payment_methods": {"credit_card_1": {"source": "credit_card", "id": "credit_card_1"}},
    "saved_passengers": [],
    "reservations": ["R1"],
}
OFFER = {"flight_number": "F1", "origin": "SEA", "destination": "SFO", "prices": {"economy": 90}}
CASE = (
    said("Hi, I am ada_1. My flight was delayed and I want compensation."),
    tool("get_user_details", PROFILE, seconds_ago=80.0, user_id="ada_1"),
    tool("get_reservation_details", RESERVATION, seconds_ago=70.0, reservation_id="R1"),
    tool("search_direct_flight", [OFFER], date="2024-05-20"),
    said("Yes, please.", seconds_ago=10.0),
)
FLIGHTS = [{"flight_number": "F1", "date": "2024-05-20"}]
RIGHT: dict[str, dict[str, Any]] = {
    "book_reservation": {
        "user_id": "ada_1",
        "origin": "SEA",
        "destination": "SFO",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": FLIGHTS,
        "passengers": RESERVATION["passengers"],
        "payment_methods": [{"payment_id": "credit_card_1", "amount": 90}],
        "total_baggages": 3,
        "nonfree_baggages": 0,
        "insurance": "no",
    },
    "cancel_reservation": {"reservation_id": "R1"},
    "send_certificate": {"user_id": "ada_1", "amount": 50},
    "update_reservation_baggages": {
        "reservation_id": "R1",
        "total_baggages": 4,
        "nonfree_baggages": 1,
        "payment_id": "credit_card_1",
    },
    "update_reservation_flights": {
        "reservation_id": "R1",
        "cabin": "economy",
        "flights": FLIGHTS,
        "payment_id": "credit_card_1",
    },
    "update_reservation_passengers": {"reservation_id": "R1", "passengers": RESERVATION["passengers"]},
}


def test_the_pack_loads_with_its_examples_and_labels_every_tool_of_the_team() -> None:
    assert set(PACK.labels) == {*CHANGING, *LOOKING, TRANSFER}


def test_only_looking_tools_are_labelled_reads() -> None:
    assert {name for name, labels in PACK.labels.items() if "reads" in labels} == set(LOOKING)


def test_every_rule_asks_and_none_refuses() -> None:
    assert {rule.verdict for rule in PACK.rules} == {"ask"}


@pytest.mark.parametrize("name", [*LOOKING, TRANSFER])
def test_the_desk_needs_nobodys_consent(name: str) -> None:
    assert judged(name, {"anything": 1}).verdict == "allow"


@pytest.mark.parametrize("name", CHANGING)
def test_what_the_policy_allows_needs_nobodys_consent(name: str) -> None:
    assert found(name, RIGHT[name], *CASE) == set()


@pytest.mark.parametrize("name", CHANGING)
def test_nothing_is_changed_for_a_caller_who_is_not_known(name: str) -> None:
    assert found(name, RIGHT[name], said("Hi."), *CASE[1:]) >= {"policy.user-id"}


@pytest.mark.parametrize("name", [name for name in CHANGING if name != "send_certificate"])
def test_nothing_is_booked_or_changed_without_a_yes(name: str) -> None:
    assert found(name, RIGHT[name], *CASE[:-1], said("What would it cost?", seconds_ago=10.0)) == {
        "policy.confirmation"
    }


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("Yes", True),
        ("yes please!", True),
        ("Oui, merci.", True),
        ("Please go ahead.", True),
        ("Everything looks good to me.", True),
        ("No bags. Let\u2019s proceed.", True),
        ("Yes. And what about my other trip?", True),
        ("I confirm", True),
        ("", False),
        ("No", False),
        ("No, don\u2019t proceed.", False),
        ("I do not want to book it", False),
        ("Sure, but tell me the price first", False),
        ("Ok, how do we proceed?", False),
        ("Can you confirm the price?", False),
        ("I am not sure", False),
        ("yesterday", False),
        ("Cancel all my reservations", False),
    ],
)
def test_a_clear_yes(text: str, clear: bool) -> None:
    rules = found("cancel_reservation", {"reservation_id": "R1"}, *CASE[:-1], said(text, seconds_ago=10.0))
    assert rules == (set() if clear else {"policy.confirmation"})


def test_what_a_colleague_answers_is_not_the_customers_yes() -> None:
    history = [*CASE[:-1], said("Yes, please.", seconds_ago=10.0, by="bo")]
    assert found("cancel_reservation", {"reservation_id": "R1"}, *history) == {"policy.confirmation"}


def test_a_delayed_customer_who_changes_nothing_is_compensated_under_observation() -> None:
    decision = judged("send_certificate", RIGHT["send_certificate"], *CASE)
    assert decision.verdict == "allow"
    assert [hit.rule_id for hit in decision.hits] == ["policy.certificate-after-change"]


@pytest.mark.parametrize(
    ("amount", "large"),
    [(100, False), (100.0, False), (100.01, True), ("5", True), (None, True), ([1], True), (True, True)],
)
def test_certificates_above_a_hundred_dollars_are_asked_about(amount: Any, large: bool) -> None:
    assert ("large-certificate" in found("send_certificate", {"user_id": "u", "amount": amount})) is large


@pytest.mark.parametrize("name", ["cancel_reservation", "update_reservation_flights"])
@pytest.mark.parametrize(
    ("history", "large"),
    [
        ([], True),
        ([read("OTHER", 10)], True),
        ([read("R", 500)], False),
        ([read("R", 500.5)], True),
        ([read("R", 10, 10)], False),
        ([read("R", 300, 300)], True),
        ([read("R", 300, 300, -600)], True),
        ([read("R", 10), read("OTHER", 900)], False),
        ([tool("get_reservation_details", "Error: user not found")], True),
        ([read("R", 10), tool("update_reservation_baggages", {"reservation_id": "R"})], True),
        ([read("R", 10), tool("update_reservation_baggages", {"reservation_id": "R", "payment_history": {}})], True),
        ([read("R", "10")], True),
    ],
)
def test_refunds_are_asked_about_unless_known_to_be_small(name: str, history: list[Past], large: bool) -> None:
    assert ("large-refund" in found(name, {"reservation_id": "R"}, *history)) is large


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_arguments_of_any_shape_are_asked_about_and_never_refused_or_let_pass(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(RIGHT)))
    wrong = data.draw(st.sampled_from(sorted(RIGHT[name])))
    value = data.draw(JSON)
    args = RIGHT[name] | {wrong: value} if data.draw(st.booleans()) else {wrong: value}
    decision = judged(name, args, *CASE)
    assert decision.findings == ()
    harmless = args == RIGHT[name] or (wrong == "total_baggages" and value in (0, 1, 2, 3, 4))
    assert decision.verdict == "ask" or harmless


@settings(max_examples=100, deadline=None)
@given(st.lists(JSON, max_size=4), st.sampled_from(sorted(RIGHT)))
def test_other_earlier_results_do_not_disturb(results: list[Any], name: str) -> None:
    others = [tool("think", result, thought=1) for result in results]
    others += [tool("search_onestop_flight", "Error: 'date'", origin="SEA"), tool("get_user_details", "Error: no user")]
    assert found(name, RIGHT[name], *others, *CASE) == set()


def test_a_long_case_stays_within_what_an_evaluation_may_take() -> None:
    offers = [OFFER | {"flight_number": f"F{number}"} for number in range(30)]
    connections = [[OFFER | {"date": "2024-05-20"}, OFFER | {"date": "2024-05-21"}] for _ in range(30)]
    searches = [tool("search_direct_flight", offers, date="2024-05-20") for _ in range(20)]
    searches += [tool("search_onestop_flight", connections, date="2024-05-20") for _ in range(10)]
    reading = [tool("get_reservation_details", RESERVATION | {"reservation_id": f"S{n}"}) for n in range(80)]
    thinking = [tool("think", "", thought="so") for _ in range(80)]
    history = [*thinking, *reading, *searches, *CASE]
    for name in CHANGING:
        assert found(name, RIGHT[name], *history) == set()


def test_the_page_about_the_team_tells_every_rule_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "support-team.md").read_text("utf-8")
    told = set(re.findall(r"`((?:policy\.|large-)[a-z-]+)`", page))
    assert told == {rule.id for rule in PACK.rules}
