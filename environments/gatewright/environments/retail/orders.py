"""What the shop's tools do to orders: cancel, modify, exchange and return.

What `operations` says about unchecked arguments holds here: the order of the checks is part of the behaviour.
"""

from __future__ import annotations

import json
from typing import Any

from gatewright.environments.rows import Row

from .case import Case
from .operations import Refusal, address, order, payment_method, user

REASONS = frozenset({"no longer needed", "ordered by mistake"})


def _is_gift_card(method: Row) -> bool:
    return bool(method["source"] == "gift_card")


def _credit(method: Row, amount: Any) -> None:
    """Put `amount` on the method if it is a gift card; others are credited outside of the shop's data."""
    if _is_gift_card(method):
        method["balance"] = round(method["balance"] + amount, 2)


def _payment(kind: str, amount: Any, payment_method_id: str) -> Row:
    return {"transaction_type": kind, "amount": float(amount), "payment_method_id": payment_method_id}


def _check_items(changed: Row, item_ids: Any, complaint: str) -> None:
    """An item may be named as often as the order has it."""
    present = [item["item_id"] for item in changed["items"]]
    for item_id in item_ids:
        if item_ids.count(item_id) > present.count(item_id):
            raise Refusal(complaint.format(item_id))


def _item(changed: Row, item_id: Any) -> Row:
    """The first item of the order with that id."""
    for item in changed["items"]:
        if item["item_id"] == item_id:
            found: Row = item
            return found
    raise Refusal(f"Item {item_id} not found")


def _variant(case: Case, item: Row, new_item_id: Any) -> Row:
    """The variant of the item's product with that id, which must be in stock."""
    if item["product_id"] not in case.products:
        raise Refusal("Product not found")
    variants = case.products[item["product_id"]]["variants"]
    if new_item_id not in variants:
        raise Refusal("Variant not found")
    variant: Row = variants[new_item_id]
    if not variant["available"]:
        raise Refusal(f"New item {new_item_id} not found or available")
    return variant


def cancel_pending_order(case: Case, order_id: str, reason: str) -> str:
    cancelled = order(case, order_id)
    if cancelled["status"] != "pending":
        raise Refusal("Non-pending order cannot be cancelled")
    if reason not in REASONS:
        raise Refusal("Invalid reason")
    refunds: list[Row] = []
    for payment in cancelled["payment_history"]:
        refunds.append(_payment("refund", payment["amount"], payment["payment_method_id"]))
        _credit(payment_method(case, cancelled["user_id"], payment["payment_method_id"]), payment["amount"])
    cancelled["status"] = "cancelled"
    cancelled["cancel_reason"] = reason
    cancelled["payment_history"].extend(refunds)
    return json.dumps(cancelled)


def exchange_delivered_order_items(
    case: Case, order_id: str, item_ids: Any, new_item_ids: Any, payment_method_id: str
) -> str:
    exchanged = order(case, order_id)
    if exchanged["status"] != "delivered":
        raise Refusal("Non-delivered order cannot be exchanged")
    _check_items(exchanged, item_ids, "Number of {} not found.")
    if len(item_ids) != len(new_item_ids):
        raise Refusal("The number of items to be exchanged should match.")
    difference: Any = 0
    for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
        item = _item(exchanged, item_id)
        difference += _variant(case, item, new_item_id)["price"] - item["price"]
    difference = round(difference, 2)
    method = payment_method(case, exchanged["user_id"], payment_method_id)
    if _is_gift_card(method) and method["balance"] < difference:
        raise Refusal("Insufficient gift card balance to pay for the price difference")
    exchanged["status"] = "exchange requested"
    exchanged["exchange_items"] = sorted(item_ids)
    exchanged["exchange_new_items"] = sorted(new_item_ids)
    exchanged["exchange_payment_method_id"] = payment_method_id
    exchanged["exchange_price_difference"] = difference
    return json.dumps(exchanged)


def modify_pending_order_address(
    case: Case, order_id: str, address1: Any, address2: Any, city: Any, state: Any, country: Any, zip: Any
) -> str:
    modified = order(case, order_id)
    if "pending" not in modified["status"]:
        raise Refusal("Non-pending order cannot be modified")
    modified["address"] = address(
        address1=address1, address2=address2, city=city, state=state, country=country, zip=zip
    )
    return json.dumps(modified)


def modify_pending_order_items(
    case: Case, order_id: str, item_ids: Any, new_item_ids: Any, payment_method_id: str
) -> str:
    modified = order(case, order_id)
    if modified["status"] != "pending":
        raise Refusal("Non-pending order cannot be modified")
    _check_items(modified, item_ids, "{} not found")
    if len(item_ids) != len(new_item_ids):
        raise Refusal("The number of items to be exchanged should match")
    difference: Any = 0
    variant: Row = {}
    for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
        if item_id == new_item_id:
            raise Refusal("The new item id should be different from the old item id")
        item = _item(modified, item_id)
        variant = _variant(case, item, new_item_id)
        difference += variant["price"] - item["price"]
    method = payment_method(case, modified["user_id"], payment_method_id)
    if _is_gift_card(method) and method["balance"] < difference:
        raise Refusal("Insufficient gift card balance to pay for the new item")
    kind = "payment" if difference > 0 else "refund"
    modified["payment_history"].append(_payment(kind, abs(difference), payment_method_id))
    _credit(method, -difference)
    for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
        item = _item(modified, item_id)
        # The last variant's price and options go to every item: so does the recorded shop.
        item.update(item_id=new_item_id, price=variant["price"], options=dict(variant["options"]))
    modified["status"] = "pending (item modified)"
    return json.dumps(modified)


def modify_pending_order_payment(case: Case, order_id: str, payment_method_id: str) -> str:
    modified = order(case, order_id)
    if "pending" not in modified["status"]:
        raise Refusal("Non-pending order cannot be modified")
    method = payment_method(case, modified["user_id"], payment_method_id)
    history = modified["payment_history"]
    if len(history) != 1 or history[0]["transaction_type"] != "payment":
        raise Refusal("There should be exactly one payment for a pending order")
    before, amount = history[0]["payment_method_id"], history[0]["amount"]
    if before == payment_method_id:
        raise Refusal("The new payment method should be different from the current one")
    if _is_gift_card(method) and method["balance"] < amount:
        raise Refusal("Insufficient gift card balance to pay for the order")
    history.extend([_payment("payment", amount, payment_method_id), _payment("refund", amount, before)])
    _credit(method, -amount)
    _credit(payment_method(case, modified["user_id"], before), amount)
    return json.dumps(modified)


def return_delivered_order_items(case: Case, order_id: str, item_ids: Any, payment_method_id: str) -> str:
    returned = order(case, order_id)
    if returned["status"] != "delivered":
        raise Refusal("Non-delivered order cannot be returned")
    user(case, returned["user_id"])
    method = payment_method(case, returned["user_id"], payment_method_id)
    if not _is_gift_card(method) and payment_method_id != returned["payment_history"][0]["payment_method_id"]:
        raise Refusal("Payment method should be the original payment method")
    _check_items(returned, item_ids, "Some item not found")
    returned["status"] = "return requested"
    returned["return_items"] = sorted(item_ids)
    returned["return_payment_method_id"] = payment_method_id
    return json.dumps(returned)
