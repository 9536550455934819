"""Texts that models were answered with, and what the shop's data are afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewright.environments.domains import Called
from gatewright.environments.retail import RETAIL
from gatewright.environments.retail.case import Case
from gatewright.environments.retail.catalogue import CATALOGUE

if TYPE_CHECKING:
    from tests.environments.retail.conftest import Ask

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["#W1", "m1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def balance(case: Case) -> float:
    return float(case.users.view("ada_stone_1")["payment_methods"]["gift_1"]["balance"])


@pytest.mark.parametrize(
    ("tool", "args", "text"),
    [
        ("calculate", {"expression": "(2 + 1) / 2"}, "1.5"),
        ("calculate", {"expression": "2 x 2"}, "Error: Invalid characters in expression"),
        ("find_user_id_by_email", {"email": "ADA@example.com"}, "ada_stone_1"),
        ("find_user_id_by_email", {"email": "nobody@example.com"}, "Error: User not found"),
        ("find_user_id_by_email", {"email": 7}, "Error: 'int' object has no attribute 'lower'"),
        ("find_user_id_by_name_zip", {"first_name": "ADA", "last_name": "brook", "zip": "73301"}, "ada_brook_2"),
        (
            "find_user_id_by_name_zip",
            {"first_name": "Ada", "last_name": "Stone", "zip": 73301},
            "Error: User not found",
        ),
        ("find_user_id_by_name_zip", {"first_name": "Bob", "last_name": 1, "zip": ""}, "Error: User not found"),
        ("get_order_details", {"order_id": "W1"}, "Error: Order not found"),
        ("get_order_details", {"order_id": ["#W1"]}, "Error: unhashable type: 'list'"),
        ("get_user_details", {"user_id": "x"}, "Error: User not found"),
        ("get_product_details", {"product_id": "m1"}, "Error: Product not found"),
        ("list_all_product_types", {}, '{"Mug": "p1"}'),
        ("transfer_to_human_agents", {"summary": "s"}, "Transfer successful"),
        ("think", {"thought": "hm"}, "Error: Tool 'think' not found."),
        (
            "get_order_details",
            {},
            "Error: RetailTools.get_order_details() missing 1 required positional argument: 'order_id'",
        ),
        (
            "get_order_details",
            {"id": "#W1"},
            "Error: RetailTools.get_order_details() got an unexpected keyword argument 'id'",
        ),
        (
            "get_order_details",
            {"tool_name": "x"},
            "Error: Environment.make_tool_call() got multiple values for argument 'tool_name'",
        ),
        (
            "get_order_details",
            {"requestor": "x"},
            "Error: tau2.environment.environment.Environment.make_tool_call() got multiple values for keyword argument "
            "'requestor'",
        ),
    ],
)
def test_a_call_is_answered_as_the_recorded_shop_answers(
    case: Case, tool: str, args: dict[str, Any], text: str
) -> None:
    assert RETAIL.perform(case, Called(name=tool, args=args)) == text
    assert case.changes() == []


def test_the_customer_has_no_tools(ask: Ask) -> None:
    assert ask("get_order_details", by="user", order_id="#W1") == "Error: User tools not available"


def test_an_order_tells_what_was_not_done_with_it(ask: Ask) -> None:
    shown = json.loads(ask("get_order_details", order_id="#W1"))
    assert list(shown)[-7:] == [
        "cancel_reason",
        "exchange_items",
        "exchange_new_items",
        "exchange_payment_method_id",
        "exchange_price_difference",
        "return_items",
        "return_payment_method_id",
    ]
    assert set(list(shown.values())[-7:]) == {None}


def test_a_cancelled_order_is_refunded_to_a_gift_card_at_once(ask: Ask, case: Case) -> None:
    shown = json.loads(ask("cancel_pending_order", order_id="#W3", reason="no longer needed"))
    assert (shown["status"], shown["cancel_reason"], balance(case)) == ("cancelled", "no longer needed", 30.1)
    assert shown["payment_history"][-1]["transaction_type"] == "refund"
    assert ask("cancel_pending_order", order_id="#W3", reason="no longer needed") == (
        "Error: Non-pending order cannot be cancelled"
    )


def test_a_reason_of_ones_own_is_refused(ask: Ask) -> None:
    assert ask("cancel_pending_order", order_id="#W1", reason="too expensive") == "Error: Invalid reason"


def test_modified_items_are_paid_with_the_difference(ask: Ask, case: Case) -> None:
    args = {"order_id": "#W1", "item_ids": ["m1"], "new_item_ids": ["m2"], "payment_method_id": "gift_1"}
    shown = json.loads(ask("modify_pending_order_items", **args))
    assert [item["item_id"] for item in shown["items"]] == ["m2", "m2"]
    assert shown["status"] == "pending (item modified)"
    assert shown["payment_history"][-1] == {
        "transaction_type": "payment",
        "amount": 12.35 - 10.1,
        "payment_method_id": "gift_1",
    }
    assert balance(case) == 17.75


def test_the_last_variant_gives_its_price_to_all_modified_items(ask: Ask) -> None:
    args = {"order_id": "#W1", "item_ids": ["m2", "m1"], "new_item_ids": ["m1", "m3"], "payment_method_id": "card_1"}
    shown = json.loads(ask("modify_pending_order_items", **args))
    assert [item["price"] for item in shown["items"]] == [900.0, 900.0]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"item_ids": ["m3"], "new_item_ids": ["m1"]}, "m3 not found"),
        ({"item_ids": ["m1", "m1"], "new_item_ids": ["m2", "m2"]}, "m1 not found"),
        ({"new_item_ids": []}, "The number of items to be exchanged should match"),
        ({"new_item_ids": ["m1"]}, "The new item id should be different from the old item id"),
        ({"new_item_ids": ["m4"]}, "New item m4 not found or available"),
        ({"new_item_ids": ["m9"]}, "Variant not found"),
        ({"payment_method_id": "paypal_1"}, "Payment method not found"),
        ({"new_item_ids": ["m3"]}, "Insufficient gift card balance to pay for the new item"),
        ({"order_id": "#W2"}, "Non-pending order cannot be modified"),
        ({"item_ids": None}, "'NoneType' object is not iterable"),
    ],
)
def test_items_that_cannot_be_modified_leave_the_order_alone(
    ask: Ask, case: Case, changed: dict[str, Any], text: str
) -> None:
    args = {"order_id": "#W1", "item_ids": ["m1"], "new_item_ids": ["m2"], "payment_method_id": "gift_1"}
    assert ask("modify_pending_order_items", **args | changed) == f"Error: {text}"
    assert case.changes() == []


def test_an_exchange_is_noted_and_not_yet_paid(ask: Ask, case: Case) -> None:
    args = {"order_id": "#W2", "item_ids": ["m1", "m1"], "new_item_ids": ["m2", "m2"], "payment_method_id": "gift_1"}
    shown = json.loads(ask("exchange_delivered_order_items", **args))
    assert (shown["status"], shown["exchange_price_difference"], balance(case)) == ("exchange requested", 4.5, 20.0)
    again = ask("return_delivered_order_items", order_id="#W2", item_ids=["m1"], payment_method_id="gift_1")
    assert again == "Error: Non-delivered order cannot be returned"


@pytest.mark.parametrize(
    ("method", "text"),
    [("gift_1", '"status": "return requested"'), ("card_1", '"return_items": ["m1"]'), ("card_2", "not found")],
)
def test_a_return_goes_to_the_original_method_or_a_gift_card(ask: Ask, method: str, text: str) -> None:
    assert text in ask("return_delivered_order_items", order_id="#W2", item_ids=["m1"], payment_method_id=method)


def test_another_payment_method_takes_over_and_the_first_is_refunded(ask: Ask, case: Case) -> None:
    shown = json.loads(ask("modify_pending_order_payment", order_id="#W3", payment_method_id="card_1"))
    assert [payment["transaction_type"] for payment in shown["payment_history"]] == ["payment", "payment", "refund"]
    assert balance(case) == 30.1
    again = ask("modify_pending_order_payment", order_id="#W3", payment_method_id="gift_1")
    assert again == "Error: There should be exactly one payment for a pending order"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("card_1", "The new payment method should be different from the current one"),
        ("gift_1", "Insufficient gift card balance to pay for the order"),
    ],
)
def test_a_method_that_cannot_take_over_is_refused(ask: Ask, method: str, text: str) -> None:
    assert ask("modify_pending_order_payment", order_id="#W1", payment_method_id=method) == f"Error: {text}"


def test_an_address_is_found_under_the_new_zip_code_only(ask: Ask) -> None:
    new = {"address1": "2 Oak", "address2": "", "city": "Reno", "state": "NV", "country": "USA", "zip": "89501"}
    shown = json.loads(ask("modify_user_address", user_id="ada_stone_1", **new))
    assert list(shown["address"]) == ["address1", "address2", "city", "country", "state", "zip"]
    name = {"first_name": "Ada", "last_name": "Stone"}
    assert ask("find_user_id_by_name_zip", **name, zip="89501") == "ada_stone_1"
    assert ask("find_user_id_by_name_zip", **name, zip="73301") == "Error: User not found"


def test_an_address_with_something_else_than_text_is_refused_in_the_recorded_words(ask: Ask, case: Case) -> None:
    new = {"address1": "2 Oak", "address2": None, "city": "Reno", "state": "NV", "country": "USA", "zip": "89501"}
    assert ask("modify_pending_order_address", order_id="#W1", **new) == (
        "Error: 1 validation error for UserAddress\naddress2\n"
        "  Input should be a valid string [type=string_type, input_value=None, input_type=NoneType]\n"
        "    For further information visit https://errors.pydantic.dev/2.10/v/string_type"
    )
    assert case.changes() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CATALOGUE)), st.lists(JSON, min_size=7, max_size=7))
def test_whatever_a_model_passes_is_answered_with_text(case: Case, tool: str, values: list[Any]) -> None:
    args = dict(zip(CATALOGUE[tool].parameters, values, strict=False))
    assert isinstance(RETAIL.perform(case, Called(name=tool, args=args)), str)
