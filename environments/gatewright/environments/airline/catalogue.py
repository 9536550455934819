"""The airline's tools as a model sees them: names, descriptions and argument schemas.

Taken from tau-bench's airline domain (MIT, (c) 2024 Sierra), so that recorded conversations meet the tools they had.
"""

from __future__ import annotations

from gatewright.environments.catalogue import Operation, Schema, one_of, string, typed

from . import operations, reservations

TRANSFER = "transfer_to_human_agents"


def _array(description: str, **fields: Schema) -> Schema:
    item = {"type": "object", "properties": fields, "required": list(fields)}
    return {"type": "array", "description": description, "items": item}


_USER = string("The ID of the user to book the reservation, such as 'sara_doe_496'.")
_RESERVATION = string("The reservation ID, such as 'ZFA04Y'.")
_CABIN = one_of("basic_economy", "economy", "business")
_FLIGHT_NUMBER = string("Flight number, such as 'HAT001'.")
_FLIGHT_DATE = string("The date for the flight in the format 'YYYY-MM-DD', such as '2024-05-01'.")
_ORIGIN = string("The origin city airport in three letters, such as 'JFK'.")
_DESTINATION = string("The destination city airport in three letters, such as 'LAX'.")
_PASSENGERS = _array(
    "An array of objects containing details about each passenger.",
    first_name=string("The first name of the passenger, such as 'Noah'."),
    last_name=string("The last name of the passenger, such as 'Brown'."),
    dob=string("The date of birth of the passenger in the format 'YYYY-MM-DD', such as '1990-01-01'."),
)
_PAYMENT_ID = string(
    "The payment id stored in user profile, such as 'credit_card_7815826', 'gift_card_7815826', 'certificate_7815826'."
)


CATALOGUE: dict[str, Operation] = {
    "book_reservation": Operation(
        description="Book a reservation.",
        parameters={
            "user_id": _USER,
            "origin": string("The IATA code for the origin city, such as 'SFO'."),
            "destination": string("The IATA code for the destination city, such as 'JFK'."),
            "flight_type": one_of("one_way", "round_trip"),
            "cabin": _CABIN,
            "flights": _array(
                "An array of objects containing details about each piece of flight.",
                flight_number=_FLIGHT_NUMBER,
                date=_FLIGHT_DATE,
            ),
            "passengers": _PASSENGERS,
            "payment_methods": _array(
                "An array of objects containing details about each payment method.",
                payment_id=_PAYMENT_ID,
                amount=typed("number", "The amount to be paid."),
            ),
            "total_baggages": typed("integer", "The total number of baggage items included in the reservation."),
            "nonfree_baggages": typed("integer", "The number of non-free baggage items included in the reservation."),
            "insurance": one_of("yes", "no"),
        },
        labels=("idempotent",),
        perform=reservations.book_reservation,
    ),
    "calculate": Operation(
        description="Calculate the result of a mathematical expression.",
        parameters={
            "expression": string(
                "The mathematical expression to calculate, such as '2 + 2'. The expression can contain numbers, "
                "operators (+, -, *, /), parentheses, and spaces."
            )
        },
        labels=("reads",),
        perform=operations.calculate,
    ),
    "cancel_reservation": Operation(
        description="Cancel the whole reservation.",
        parameters={"reservation_id": _RESERVATION},
        labels=("idempotent", "irreversible"),
        perform=reservations.cancel_reservation,
    ),
    "get_reservation_details": Operation(
        description="Get the details of a reservation.",
        parameters={"reservation_id": string("The reservation id, such as '8JX2WO'.")},
        labels=("reads",),
        perform=operations.get_reservation_details,
    ),
    "get_user_details": Operation(
        description="Get the details of an user.",
        parameters={"user_id": string("The user id, such as 'sara_doe_496'.")},
        labels=("reads",),
        perform=operations.get_user_details,
    ),
    "list_all_airports": Operation(
        description="List all airports and their cities.",
        parameters={},
        labels=("reads",),
        perform=operations.list_all_airports,
    ),
    "search_direct_flight": Operation(
        description="Search direct flights between two cities on a specific date.",
        parameters={
            "origin": _ORIGIN,
            "destination": _DESTINATION,
            "date": string("The date of the flight in the format 'YYYY-MM-DD', such as '2024-01-01'."),
        },
        labels=("reads",),
        perform=operations.search_direct_flight,
    ),
    "search_onestop_flight": Operation(
        description="Search direct flights between two cities on a specific date.",
        parameters={
            "origin": _ORIGIN,
            "destination": _DESTINATION,
            "date": string("The date of the flight in the format 'YYYY-MM-DD', such as '2024-05-01'."),
        },
        labels=("reads",),
        perform=operations.search_onestop_flight,
    ),
    "send_certificate": Operation(
        description="Send a certificate to a user. Be careful!",
        parameters={"user_id": _USER, "amount": typed("number", "Certificate amount to send.")},
        labels=("idempotent", "irreversible"),
        perform=operations.send_certificate,
    ),
    "think": Operation(
        description=(
            "Use the tool to think about something. It will not obtain new information or change the database, but "
            "just append the thought to the log. Use it when complex reasoning is needed."
        ),
        parameters={"thought": string("A thought to think about.")},
        labels=("reads",),
        perform=operations.think,
    ),
    TRANSFER: Operation(
        description=(
            "Transfer the user to a human agent, with a summary of the user's issue. Only transfer if the user "
            "explicitly asks for a human agent, or if the user's issue cannot be resolved by the agent with the "
            "available tools."
        ),
        parameters={"summary": string("A summary of the user's issue.")},
        labels=("idempotent",),
        perform=operations.transfer_to_human_agents,
    ),
    "update_reservation_baggages": Operation(
        description="Update the baggage information of a reservation.",
        parameters={
            "reservation_id": _RESERVATION,
            "total_baggages": typed(
                "integer", "The updated total number of baggage items included in the reservation."
            ),
            "nonfree_baggages": typed(
                "integer", "The updated number of non-free baggage items included in the reservation."
            ),
            "payment_id": _PAYMENT_ID,
        },
        labels=("idempotent",),
        perform=reservations.update_reservation_baggages,
    ),
    "update_reservation_flights": Operation(
        description="Update the flight information of a reservation.",
        parameters={
            "reservation_id": _RESERVATION,
            "cabin": _CABIN,
            "flights": _array(
                "An array of objects containing details about each piece of flight in the ENTIRE new reservation. "
                "Even if the a flight segment is not changed, it should still be included in the array.",
                flight_number=_FLIGHT_NUMBER,
                date=_FLIGHT_DATE,
            ),
            "payment_id": _PAYMENT_ID,
        },
        labels=("idempotent",),
        perform=reservations.update_reservation_flights,
    ),
    "update_reservation_passengers": Operation(
        description="Update the passenger information of a reservation.",
        parameters={"reservation_id": _RESERVATION, "passengers": _PASSENGERS},
        labels=("idempotent",),
        perform=reservations.update_reservation_passengers,
    ),
}
