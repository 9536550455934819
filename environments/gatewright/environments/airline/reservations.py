"""What the airline's tools do to reservations: book, cancel, change flights, passengers and baggage.

What `operations` says about unchecked arguments holds here: the order of the checks is part of the behaviour.
"""

from __future__ import annotations

import copy
import json
from typing import Any, NamedTuple

from gatewright.environments.rows import Row

from .case import Case

NEW_IDS = ("HATHAT", "HATHAU", "HATHAV")
NOW = "2024-05-15T15:00:00"  # the airline's clock stands still
INSURANCE = 30  # dollars a passenger
BAG = 50  # dollars a bag that is not free
MAX_PAYMENTS = 1_000  # of one reservation: each further cancellation would double their number


class Refusal(Exception):
    """The airline's own answer to a request it does not fulfil; nothing was changed."""


class Seat(NamedTuple):
    """What a flight on one date sells."""

    price: Any  # dollars a passenger
    flight: Row


def _seat(case: Case, wanted: Any, cabin: str, passengers: Any) -> Seat:
    number = wanted["flight_number"]
    if number not in case.flights:
        raise Refusal(f"flight {number} not found")
    flight = case.flights[number]
    if wanted["date"] not in flight["dates"]:
        raise Refusal(f"flight {number} not found on date {wanted['date']}")
    day = flight["dates"][wanted["date"]]
    if day["status"] != "available":
        raise Refusal(f"flight {number} not available on date {wanted['date']}")
    if day["available_seats"][cabin] < len(passengers):
        raise Refusal(f"not enough seats on flight {number}")
    return Seat(day["prices"][cabin], flight)


def _complete(wanted: Any, price: Any, source: Row) -> None:
    wanted["price"] = price
    wanted["origin"] = source["origin"]
    wanted["destination"] = source["destination"]


def _check_payments(owned: Row, payments: Any, total: Any) -> None:
    for payment in payments:
        payment_id, amount = payment["payment_id"], payment["amount"]
        if payment_id not in owned:
            raise Refusal(f"payment method {payment_id} not found")
        if owned[payment_id]["source"] in ("gift_card", "certificate") and owned[payment_id]["amount"] < amount:
            raise Refusal(f"not enough balance in payment method {payment_id}")
    paid = sum(payment["amount"] for payment in payments)
    if paid != total:
        raise Refusal(f"payment amount does not add up, total price is {total}, but paid {paid}")


def book_reservation(
    case: Case,
    user_id: str,
    origin: str,
    destination: str,
    flight_type: str,
    cabin: str,
    flights: Any,
    passengers: Any,
    payment_methods: Any,
    total_baggages: Any,
    nonfree_baggages: Any,
    insurance: str,
) -> str:
    if user_id not in case.users:
        raise Refusal("user not found")
    user = case.users[user_id]
    # The last of the ids is given again and again; a case books no more than that.
    reservation_id = next((new for new in NEW_IDS if new not in case.reservations), NEW_IDS[-1])
    reservation: Row = {
        "reservation_id": reservation_id,
        "user_id": user_id,
        "origin": origin,
        "destination": destination,
        "flight_type": flight_type,
        "cabin": cabin,
        "flights": copy.deepcopy(flights),
        "passengers": passengers,
        "payment_history": payment_methods,
        "created_at": NOW,
        "total_baggages": total_baggages,
        "nonfree_baggages": nonfree_baggages,
        "insurance": insurance,
    }
    total: Any = 0
    for wanted in reservation["flights"]:
        seat = _seat(case, wanted, cabin, passengers)
        _complete(wanted, seat.price, seat.flight)
        total += seat.price * len(passengers)
    if insurance == "yes":
        total += INSURANCE * len(passengers)
    total += BAG * nonfree_baggages

    owned: Row = user["payment_methods"]
    _check_payments(owned, payment_methods, total)
    for payment in payment_methods:
        method = owned[payment["payment_id"]]  # a certificate that is named twice is gone the second time
        if method["source"] == "gift_card":
            method["amount"] -= payment["amount"]
        elif method["source"] == "certificate":
            del owned[payment["payment_id"]]
    case.reservations[reservation_id] = reservation
    user["reservations"].append(reservation_id)
    return json.dumps(reservation)


def _reservation(case: Case, reservation_id: str) -> Row:
    if reservation_id not in case.reservations:
        raise Refusal("reservation not found")
    return case.reservations[reservation_id]


def cancel_reservation(case: Case, reservation_id: str) -> str:
    reservation = _reservation(case, reservation_id)
    if len(reservation["payment_history"]) > MAX_PAYMENTS:
        raise Refusal(f"reservation has more than {MAX_PAYMENTS} payments")
    refunds = [
        {"payment_id": payment["payment_id"], "amount": -payment["amount"]}
        for payment in reservation["payment_history"]
    ]
    reservation["payment_history"].extend(refunds)
    reservation["status"] = "cancelled"
    return json.dumps(reservation)


def _payment_method(case: Case, reservation: Row, payment_id: str, total: Any) -> Row:
    """The customer's payment method, which must be able to bear `total`; a refund is a negative total."""
    owned = case.users[reservation["user_id"]]["payment_methods"]
    if payment_id not in owned:
        raise Refusal("payment method not found")
    method: Row = owned[payment_id]
    if method["source"] == "certificate":
        raise Refusal("certificate cannot be used to update reservation")
    if method["source"] == "gift_card" and method["amount"] < total:
        raise Refusal("gift card balance is not enough")
    return method


def _charge(reservation: Row, payment_id: str, total: Any) -> None:
    if total != 0:
        reservation["payment_history"].append({"payment_id": payment_id, "amount": total})


def update_reservation_flights(case: Case, reservation_id: str, cabin: str, flights: Any, payment_id: str) -> str:
    reservation = _reservation(case, reservation_id)
    travellers = reservation["passengers"]
    total: Any = 0
    flights = copy.deepcopy(flights)
    for wanted in flights:
        kept = [
            booked
            for booked in reservation["flights"]
            if booked["flight_number"] == wanted["flight_number"]
            and booked["date"] == wanted["date"]
            and cabin == reservation["cabin"]
        ]
        if kept:
            total += kept[0]["price"] * len(travellers)
            _complete(wanted, kept[0]["price"], kept[0])
        else:
            seat = _seat(case, wanted, cabin, travellers)
            _complete(wanted, seat.price, seat.flight)
            total += seat.price * len(travellers)
    total -= sum(booked["price"] for booked in reservation["flights"]) * len(travellers)

    method = _payment_method(case, reservation, payment_id, total)
    if method["source"] == "gift_card":
        method["amount"] -= total
    reservation["flights"] = flights  # the cabin stays as it was: so does the recorded airline
    _charge(reservation, payment_id, total)
    return json.dumps(reservation)


def update_reservation_baggages(
    case: Case, reservation_id: str, total_baggages: Any, nonfree_baggages: Any, payment_id: str
) -> str:
    reservation = _reservation(case, reservation_id)
    total = BAG * max(0, nonfree_baggages - reservation["nonfree_baggages"])
    method = _payment_method(case, reservation, payment_id, total)
    reservation["total_baggages"] = total_baggages
    reservation["nonfree_baggages"] = nonfree_baggages
    if method["source"] == "gift_card":
        method["amount"] -= total
    _charge(reservation, payment_id, total)
    return json.dumps(reservation)


def update_reservation_passengers(case: Case, reservation_id: str, passengers: Any) -> str:
    reservation = _reservation(case, reservation_id)
    if len(passengers) != len(reservation["passengers"]):
        raise Refusal("number of passengers does not match")
    reservation["passengers"] = passengers
    return json.dumps(reservation)
