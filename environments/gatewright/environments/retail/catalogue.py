"""The shop's tools as a model sees them. Names and parameters are those of tau2-bench's retail domain."""

from __future__ import annotations

from gatewright.agents.effects import Label
from gatewright.environments.catalogue import Operation, Schema, one_of, string

from . import operations, orders

_READS: tuple[Label, ...] = ("reads",)
_WRITES: tuple[Label, ...] = ("idempotent",)
_ONCE: tuple[Label, ...] = ("idempotent", "irreversible")

_ORDER = string("The order's id; it begins with '#', as in '#W0000000'.")
_USER = string("The user's id, such as 'sara_doe_496'.")
_PAYMENT = string("The id of one of the user's payment methods, such as 'gift_card_0000000'.")


def _ids(description: str) -> Schema:
    return {"type": "array", "description": description, "items": {"type": "string"}}


_ADDRESS = {
    "address1": string("First line, such as '123 Main St'."),
    "address2": string("Second line, such as 'Apt 1'; may be empty."),
    "city": string("City, such as 'San Francisco'."),
    "state": string("State, such as 'CA'."),
    "country": string("Country, such as 'USA'."),
    "zip": string("Zip code, such as '12345'."),
}
_NEW_ITEMS = "Ids of the items wanted instead: in the same order, each of the same product as the one it replaces."

CATALOGUE: dict[str, Operation] = {
    "calculate": Operation(
        description="Work out an arithmetic expression.",
        parameters={"expression": string("Numbers, + - * /, parentheses and spaces, such as '2 + 2'.")},
        labels=_READS,
        perform=operations.calculate,
    ),
    "cancel_pending_order": Operation(
        description=(
            "Cancel an order that is pending. What was paid goes back: to a gift card at once, otherwise within 5 to "
            "7 business days. Explain this and have the user confirm it first."
        ),
        parameters={"order_id": _ORDER, "reason": one_of("no longer needed", "ordered by mistake")},
        labels=_ONCE,
        perform=orders.cancel_pending_order,
    ),
    "exchange_delivered_order_items": Operation(
        description=(
            "Exchange items of a delivered order for others of the same products. An order can be exchanged or "
            "returned once. Explain the details and have the user confirm them first."
        ),
        parameters={
            "order_id": _ORDER,
            "item_ids": _ids("Ids of the items to exchange; one may be named several times."),
            "new_item_ids": _ids(_NEW_ITEMS),
            "payment_method_id": _PAYMENT,
        },
        labels=_ONCE,
        perform=orders.exchange_delivered_order_items,
    ),
    "find_user_id_by_email": Operation(
        description="Find a user's id by the address of mail.",
        parameters={"email": string("The address, such as 'something@example.com'.")},
        labels=_READS,
        perform=operations.find_user_id_by_email,
    ),
    "find_user_id_by_name_zip": Operation(
        description="Find a user's id by name and zip code, for users who cannot be found by their address of mail.",
        parameters={
            "first_name": string("First name, such as 'John'."),
            "last_name": string("Last name, such as 'Doe'."),
            "zip": string("Zip code, such as '12345'."),
        },
        labels=_READS,
        perform=operations.find_user_id_by_name_zip,
    ),
    "get_order_details": Operation(
        description="Look up an order with its status.",
        parameters={"order_id": _ORDER},
        labels=_READS,
        perform=operations.get_order_details,
    ),
    "get_product_details": Operation(
        description="Look up a product with its variants and what is in stock.",
        parameters={"product_id": string("The product's id, such as '6086499569'; it is not an item's id.")},
        labels=_READS,
        perform=operations.get_product_details,
    ),
    "get_user_details": Operation(
        description="Look up a user with address, payment methods and orders.",
        parameters={"user_id": _USER},
        labels=_READS,
        perform=operations.get_user_details,
    ),
    "list_all_product_types": Operation(
        description="List the names and ids of all products.",
        parameters={},
        labels=_READS,
        perform=operations.list_all_product_types,
    ),
    "modify_pending_order_address": Operation(
        description=(
            "Change where a pending order is shipped to. Explain the change and have the user confirm it first."
        ),
        parameters={"order_id": _ORDER, **_ADDRESS},
        labels=_WRITES,
        perform=orders.modify_pending_order_address,
    ),
    "modify_pending_order_items": Operation(
        description=(
            "Change items of a pending order to others of the same products; possible once for each order. Explain "
            "the change and have the user confirm it first."
        ),
        parameters={
            "order_id": _ORDER,
            "item_ids": _ids("Ids of the items to change; one may be named several times."),
            "new_item_ids": _ids(_NEW_ITEMS),
            "payment_method_id": _PAYMENT,
        },
        labels=_ONCE,
        perform=orders.modify_pending_order_items,
    ),
    "modify_pending_order_payment": Operation(
        description=("Change how a pending order is paid. Explain the change and have the user confirm it first."),
        parameters={"order_id": _ORDER, "payment_method_id": _PAYMENT},
        labels=_WRITES,
        perform=orders.modify_pending_order_payment,
    ),
    "modify_user_address": Operation(
        description="Change a user's default address. Explain the change and have the user confirm it first.",
        parameters={"user_id": _USER, **_ADDRESS},
        labels=_WRITES,
        perform=operations.modify_user_address,
    ),
    "return_delivered_order_items": Operation(
        description=(
            "Ask for the return of items of a delivered order; the user learns by mail how to send them. Explain the "
            "details and have the user confirm them first."
        ),
        parameters={
            "order_id": _ORDER,
            "item_ids": _ids("Ids of the items to return; one may be named several times."),
            "payment_method_id": _PAYMENT,
        },
        labels=_ONCE,
        perform=orders.return_delivered_order_items,
    ),
    "transfer_to_human_agents": Operation(
        description=(
            "Hand the user over to a person: when the user asks for one, or when neither policy nor tools allow what "
            "the user needs."
        ),
        parameters={"summary": string("What the user needs, in short.")},
        labels=_WRITES,
        perform=operations.transfer_to_human_agents,
    ),
}
