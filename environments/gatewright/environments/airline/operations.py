"""What the airline's tools do, apart from changing reservations.

Arguments come from a model and are not checked before: what goes wrong with them surfaces as the exception that Python
raises, and its text is what the model reads. The order of the checks is therefore part of the behaviour, and so are
rows that were changed before an exception.
"""

from __future__ import annotations

import json
from typing import Any

from gatewright.environments import arithmetic
from gatewright.environments.rows import Row

from .case import Case

AIRPORTS = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}
CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")


def get_user_details(case: Case, user_id: str) -> str:
    return case.users.text(user_id) if user_id in case.users else "Error: user not found"


def get_reservation_details(case: Case, reservation_id: str) -> str:
    # "user" is the recorded airline's wording, which its models have learnt to read.
    return case.reservations.text(reservation_id) if reservation_id in case.reservations else "Error: user not found"


def list_all_airports(case: Case) -> str:
    return json.dumps(AIRPORTS)


def _on_date(flight: Row, date: str) -> Row:
    """The flight as a search shows it: without its calendar, with that date's seats and prices."""
    shown = {name: value for name, value in flight.items() if name != "dates"}
    shown.update(flight["dates"][date])
    return shown


def search_direct_flight(case: Case, origin: str, destination: str, date: str) -> str:
    found = [
        _on_date(flight, date)
        for flight in case.flights.values()
        if flight["origin"] == origin and flight["destination"] == destination
        if date in flight["dates"] and flight["dates"][date]["status"] == "available"
    ]
    return json.dumps(found)


def search_onestop_flight(case: Case, origin: str, destination: str, date: str) -> str:
    found: list[list[Row]] = []
    for first in case.flights.values():
        if first["origin"] != origin:
            continue
        for second in case.dataset.departures.get(first["destination"], []):
            if second["destination"] != destination:
                continue
            overnight = "+1" in first["scheduled_arrival_time_est"]
            # As the recorded airline does it: always May, no leading zero, seats and prices of the first date.
            second_date = f"2024-05-{int(date[-2:]) + 1}" if overnight else date
            if first["scheduled_arrival_time_est"] > second["scheduled_departure_time_est"]:
                continue
            if date not in first["dates"] or second_date not in second["dates"]:
                continue
            if first["dates"][date]["status"] != "available" or second["dates"][second_date]["status"] != "available":
                continue
            found.append([_on_date(first, date) | {"date": date}, _on_date(second, date) | {"date": second_date}])
    return json.dumps(found)


def calculate(case: Case, expression: str) -> str:
    if not arithmetic.allowed(expression):
        return "Error: invalid characters in expression"
    return arithmetic.evaluate(expression)


def think(case: Case, thought: str) -> str:
    return ""


def transfer_to_human_agents(case: Case, summary: str) -> str:
    return "Transfer successful"


def send_certificate(case: Case, user_id: str, amount: Any) -> str:
    if user_id not in case.users:
        return "Error: user not found"
    methods = case.users[user_id]["payment_methods"]
    for payment_id in CERTIFICATES:
        if payment_id not in methods:
            methods[payment_id] = {"source": "certificate", "amount": amount, "id": payment_id}
            return f"Certificate {payment_id} added to user {user_id} with amount {amount}."
    return f"Error: user {user_id} already has {len(CERTIFICATES)} certificates of this case"
