"""Texts that models were answered with; each was compared with the recorded environment's own code."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.environments.airline import calls, dataset
from gatewright.environments.airline.case import Case
from gatewright.environments.airline.catalogue import CATALOGUE
from gatewright.environments.rows import NoOverlay

ADA, CARD, GIFT, CERTIFICATE = "ada_stone_1001", "credit_card_2001", "gift_card_3001", "certificate_4001"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def case() -> Case:
    return Case(dataset.load(dataset.BUILT_IN), NoOverlay())


def booking(case: Case, **changed: Any) -> dict[str, Any]:
    price = case.flights["GW103"]["dates"]["2024-05-17"]["prices"]["economy"]
    plain = {
        "user_id": ADA,
        "origin": "SFO",
        "destination": "DEN",
        "flight_type": "one_way",
        "cabin": "economy",
        "flights": [{"flight_number": "GW103", "date": "2024-05-17"}],
        "passengers": [{"first_name": "Ada", "last_name": "Stone", "dob": "1984-03-12"}],
        "payment_methods": [{"payment_id": CARD, "amount": price}],
        "total_baggages": 0,
        "nonfree_baggages": 0,
        "insurance": "no",
    }
    return plain | changed


def paying(*payments: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"payment_id": payment_id, "amount": amount} for payment_id, amount in payments]


@pytest.mark.parametrize(
    ("tool", "args", "text"),
    [
        ("get_user_details", {"user_id": "nobody"}, "Error: user not found"),
        ("get_user_details", {"user_id": ["x"]}, "Error: unhashable type: 'list'"),
        ("get_user_details", {"user_id": "\ud800"}, "Error: user not found"),
        ("get_reservation_details", {"reservation_id": "NOPE"}, "Error: user not found"),
        ("cancel_reservation", {"reservation_id": "NOPE"}, "Error: reservation not found"),
        ("cancel_reservation", {}, "Error: CancelReservation.invoke() missing 1 required positional argument: "
            "'reservation_id'"),
        ("send_certificate", {}, "Error: SendCertificate.invoke() missing 2 required positional arguments: "
            "'user_id' and 'amount'"),
        ("search_direct_flight", {}, "Error: SearchDirectFlight.invoke() missing 3 required positional arguments: "
            "'origin', 'destination', and 'date'"),
        ("think", {"thought": "", "more": 1}, "Error: Think.invoke() got an unexpected keyword argument 'more'"),
        ("think", {"data": 1}, "Error: tau_bench.envs.airline.tools.think.Think.invoke() got multiple values for "
            "keyword argument 'data'"),
        ("think", {"thought": 5}, ""),
        ("no_such_tool", {}, "Unknown action no_such_tool"),
        ("transfer_to_human_agents", {"summary": "s"}, "Transfer successful"),
        ("search_direct_flight", {"origin": ["SFO"], "destination": "SEA", "date": 3}, "[]"),
        ("search_onestop_flight", {"origin": "SFO", "destination": "XXX", "date": 3}, "[]"),
    ],
)  # fmt: skip
def test_unusual_calls_are_answered_like_the_recorded_ones(
    case: Case, tool: str, args: dict[str, Any], text: str
) -> None:
    assert calls.perform(case, tool, args) == text


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"user_id": "nobody"}, "Error: user not found"),
        ({"flights": [{"flight_number": "GW999", "date": "2024-05-17"}]}, "Error: flight GW999 not found"),
        (
            {"flights": [{"flight_number": "GW103", "date": "2024-06-01"}]},
            "Error: flight GW103 not found on date 2024-06-01",
        ),
        (
            {"flights": [{"flight_number": "GW103", "date": "2024-05-14"}]},
            "Error: flight GW103 not available on date 2024-05-14",
        ),
        ({"passengers": [{}] * 30}, "Error: not enough seats on flight GW103"),
        ({"cabin": "first"}, "Error: 'first'"),
        ({"flights": "GW103"}, "Error: string indices must be integers, not 'str'"),
        ({"payment_methods": paying(("credit_card_9", 1))}, "Error: payment method credit_card_9 not found"),
        (
            {"payment_methods": paying((CERTIFICATE, 100_000))},
            f"Error: not enough balance in payment method {CERTIFICATE}",
        ),
        (
            {"payment_methods": paying((GIFT, "5"))},
            "Error: '<' not supported between instances of 'int' and 'str'",
        ),
        ({"nonfree_baggages": "1"}, "Error: unsupported operand type(s) for +=: 'int' and 'str'"),
    ],
)
def test_a_booking_that_cannot_be_made_says_why(case: Case, changed: dict[str, Any], text: str) -> None:
    assert calls.perform(case, "book_reservation", booking(case, **changed)) == text
    assert case.changes() == []


def test_a_booking_must_be_paid_to_the_dollar(case: Case) -> None:
    total = booking(case)["payment_methods"][0]["amount"] + 30 + 50
    args = booking(case, insurance="yes", nonfree_baggages=1, payment_methods=paying((CARD, 1.5)))
    expected = f"Error: payment amount does not add up, total price is {total}, but paid 1.5"
    assert calls.perform(case, "book_reservation", args) == expected


def test_a_booking_uses_up_a_certificate_and_draws_on_a_gift_card(case: Case) -> None:
    total = booking(case)["payment_methods"][0]["amount"]
    before = case.users[ADA]["payment_methods"][GIFT]["amount"]
    args = booking(case, payment_methods=paying((CERTIFICATE, 20), (GIFT, 10), (CARD, total - 30)))
    booked = json.loads(calls.perform(case, "book_reservation", args))
    assert booked["reservation_id"] == "HATHAT"
    assert booked["flights"][0]["origin"] == "SFO"
    assert CERTIFICATE not in case.users[ADA]["payment_methods"]
    assert case.users[ADA]["payment_methods"][GIFT]["amount"] == before - 10
    assert case.users[ADA]["reservations"][-1] == "HATHAT"


def test_a_certificate_named_twice_is_lost_though_the_booking_fails(case: Case) -> None:
    total = booking(case)["payment_methods"][0]["amount"]
    args = booking(case, payment_methods=paying((CERTIFICATE, 50), (CERTIFICATE, 40), (CARD, total - 90)))
    assert calls.perform(case, "book_reservation", args) == f"Error: '{CERTIFICATE}'"
    assert [change.key for change in case.changes()] == [ADA]
    assert CERTIFICATE not in case.users[ADA]["payment_methods"]


def test_new_reservations_get_three_ids_and_then_the_last_again(case: Case) -> None:
    ids = [json.loads(calls.perform(case, "book_reservation", booking(case)))["reservation_id"] for _ in range(4)]
    assert ids == ["HATHAT", "HATHAU", "HATHAV", "HATHAV"]


def test_cancelling_reverses_every_payment(case: Case) -> None:
    cancelled = json.loads(calls.perform(case, "cancel_reservation", {"reservation_id": "GWR010"}))
    amounts = [payment["amount"] for payment in cancelled["payment_history"]]
    assert amounts[2:] == [-amount for amount in amounts[:2]]
    assert cancelled["status"] == "cancelled"


def test_cancelling_again_and_again_doubles_the_payments_up_to_a_limit(case: Case) -> None:
    texts = [calls.perform(case, "cancel_reservation", {"reservation_id": "GWR001"}) for _ in range(30)]
    assert len(json.loads(texts[3])["payment_history"]) == 16
    assert texts[-1] == "Error: reservation has more than 1000 payments"


def flight_change(case: Case, **changed: Any) -> dict[str, Any]:
    kept = [
        {"flight_number": each["flight_number"], "date": each["date"]}
        for each in case.reservations["GWR001"]["flights"]
    ]
    return {"reservation_id": "GWR001", "cabin": "economy", "flights": kept, "payment_id": CARD} | changed


def test_keeping_all_flights_costs_nothing(case: Case) -> None:
    before = copy.deepcopy(case.reservations["GWR001"])
    after = json.loads(calls.perform(case, "update_reservation_flights", flight_change(case)))
    assert after["payment_history"] == before["payment_history"]


def test_another_cabin_is_charged_and_not_noted_on_the_reservation(case: Case) -> None:
    flight = case.reservations["GWR001"]["flights"][0]
    price = case.flights["GW102"]["dates"][flight["date"]]["prices"]["business"]
    after = json.loads(calls.perform(case, "update_reservation_flights", flight_change(case, cabin="business")))
    assert after["payment_history"][-1] == {"payment_id": CARD, "amount": price - flight["price"]}
    assert after["cabin"] == "economy"


@pytest.mark.parametrize(
    ("payment_id", "text"),
    [
        ("credit_card_9", "Error: payment method not found"),
        (CERTIFICATE, "Error: certificate cannot be used to update reservation"),
        (GIFT, "Error: gift card balance is not enough"),
    ],
)
def test_a_change_needs_a_card_that_can_bear_it(case: Case, payment_id: str, text: str) -> None:
    args = {"reservation_id": "GWR001", "total_baggages": 99, "nonfree_baggages": 99, "payment_id": payment_id}
    assert calls.perform(case, "update_reservation_baggages", args) == text
    assert case.changes() == []


def test_fewer_paid_bags_are_not_refunded(case: Case) -> None:
    args = {"reservation_id": "GWR020", "total_baggages": 2, "nonfree_baggages": 2, "payment_id": "credit_card_2010"}
    more = json.loads(calls.perform(case, "update_reservation_baggages", args))
    fewer = json.loads(calls.perform(case, "update_reservation_baggages", args | {"nonfree_baggages": 0}))
    assert more["payment_history"][-1]["amount"] == 100
    assert fewer["payment_history"] == more["payment_history"]


def test_the_number_of_passengers_stays(case: Case) -> None:
    args = {"reservation_id": "GWR001", "passengers": []}
    text = calls.perform(case, "update_reservation_passengers", args)
    assert text == "Error: number of passengers does not match"


def test_a_fourth_certificate_is_refused(case: Case) -> None:
    texts = [calls.perform(case, "send_certificate", {"user_id": ADA, "amount": 1.0}) for _ in range(4)]
    assert texts[2] == f"Certificate certificate_3221324 added to user {ADA} with amount 1.0."
    assert texts[3] == f"Error: user {ADA} already has 3 certificates of this case"


def test_a_connection_that_lands_the_next_day_leaves_on_the_next_day(case: Case) -> None:
    late = {"flight_number": "L1", "origin": "AAA", "destination": "BBB"}
    late |= {"scheduled_departure_time_est": "22:00:00", "scheduled_arrival_time_est": "01:00:00+1"}
    early = {"flight_number": "E1", "origin": "BBB", "destination": "CCC"}
    early |= {"scheduled_departure_time_est": "05:00:00", "scheduled_arrival_time_est": "06:00:00"}
    free = {"status": "available", "available_seats": {}, "prices": {}}
    flights = {
        "L1": late | {"dates": {"2024-05-17": free}},
        "E1": early | {"dates": {"2024-05-17": free, "2024-05-18": free}},
    }
    travelling = Case(dataset.Dataset(flights=flights, reservations={}, users={}), NoOverlay())
    route = {"origin": "AAA", "destination": "CCC"}
    [[first, second]] = json.loads(calls.perform(travelling, "search_onestop_flight", route | {"date": "2024-05-17"}))
    assert (first["date"], second["date"]) == ("2024-05-17", "2024-05-18")
    odd = calls.perform(travelling, "search_onestop_flight", route | {"date": "May"})
    assert odd == "Error: invalid literal for int() with base 10: 'ay'"


@given(tool=st.sampled_from(sorted(CATALOGUE)), data=st.data())
def test_whatever_a_model_asks_for_gives_text_and_leaves_the_shared_data_alone(tool: str, data: st.DataObject) -> None:
    base = dataset.load(dataset.BUILT_IN)
    before = json.dumps([base.reservations, base.users])
    args = {name: data.draw(JSON | st.sampled_from([ADA, "GWR001", CARD]), name) for name in CATALOGUE[tool].parameters}
    assert isinstance(calls.perform(Case(base, NoOverlay()), tool, args), str)
    assert json.dumps([base.reservations, base.users]) == before
