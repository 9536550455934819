"""What the shop's tools do, apart from changing orders.

Arguments come from a model and are not checked before: what goes wrong with them surfaces as the exception that Python
raises, and its text is what the model reads. The order of the checks is therefore part of the behaviour, and so are
rows that were changed before an exception.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from gatewright.environments import arithmetic
from gatewright.environments.rows import Row

from .case import Case

PYDANTIC = "2.10"  # whose address for error texts the recorded conversations have


class Refusal(Exception):
    """The shop's own answer to a request it does not fulfil."""


class UserAddress(BaseModel):
    """An address as it is stored; its name, its fields and their order are part of texts that models read."""

    address1: str
    address2: str
    city: str
    country: str
    state: str
    zip: str


def address(**fields: Any) -> Row:
    """The address as it is stored.

    Raises:
        Refusal: a field is not text.
    """
    try:
        return UserAddress(**fields).model_dump()
    except ValidationError as error:
        text = re.sub(r"(//errors\.pydantic\.dev)/[\d.]+/", rf"\1/{PYDANTIC}/", str(error))
        raise Refusal(text) from error


def order(case: Case, order_id: str) -> Row:
    """The order, to be changed in place."""
    if order_id not in case.orders:
        raise Refusal("Order not found")
    return case.orders[order_id]


def user(case: Case, user_id: str) -> Row:
    """The user, to be changed in place."""
    if user_id not in case.users:
        raise Refusal("User not found")
    return case.users[user_id]


def payment_method(case: Case, user_id: str, payment_method_id: str) -> Row:
    """A payment method of the user, to be changed in place."""
    methods = user(case, user_id)["payment_methods"]
    if payment_method_id not in methods:
        raise Refusal("Payment method not found")
    method: Row = methods[payment_method_id]
    return method


def _unknown_user() -> NoReturn:
    raise Refusal("User not found")


def calculate(case: Case, expression: str) -> str:
    if not arithmetic.allowed(expression):
        raise Refusal("Invalid characters in expression")
    return arithmetic.evaluate(expression)


def find_user_id_by_email(case: Case, email: str) -> str:
    found = case.dataset.by_email.get(email.lower()) or _unknown_user()
    case.users.seen.add(found)
    return found


def find_user_id_by_name_zip(case: Case, first_name: str, last_name: str, zip: str) -> str:
    for user_id in case.dataset.by_first_name.get(first_name.lower(), ()):
        candidate = case.users.view(user_id)
        if candidate["name"]["last_name"].lower() == last_name.lower() and candidate["address"]["zip"] == zip:
            case.users.seen.add(user_id)
            return user_id
    _unknown_user()


def get_order_details(case: Case, order_id: str) -> str:
    if order_id not in case.orders:
        raise Refusal("Order not found")
    return case.orders.text(order_id)


def get_product_details(case: Case, product_id: str) -> str:
    if product_id not in case.products:
        raise Refusal("Product not found")
    return json.dumps(case.products[product_id])


def get_user_details(case: Case, user_id: str) -> str:
    return case.users.text(user_id) if user_id in case.users else _unknown_user()


def list_all_product_types(case: Case) -> str:
    return case.dataset.product_types


def modify_user_address(
    case: Case, user_id: str, address1: Any, address2: Any, city: Any, state: Any, country: Any, zip: Any
) -> str:
    owner = user(case, user_id)
    owner["address"] = address(address1=address1, address2=address2, city=city, state=state, country=country, zip=zip)
    return json.dumps(owner)


def transfer_to_human_agents(case: Case, summary: str) -> str:
    return "Transfer successful"
