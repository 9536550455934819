"""A small shop, in memory and on disk, and where the recorded one is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.needs import shared_data

from gatewright.environments.domains import Called
from gatewright.environments.retail import RETAIL
from gatewright.environments.retail.case import Case
from gatewright.environments.rows import NoOverlay

ADDRESS = {
    "address1": "1 Elm St",
    "address2": "",
    "city": "Austin",
    "country": "USA",
    "state": "TX",
    "zip": "73301",
}


def _variant(item_id: str, price: float, *, available: bool = True) -> dict[str, Any]:
    return {"item_id": item_id, "options": {"size": item_id[-1]}, "available": available, "price": price}


def _item(item_id: str, price: float) -> dict[str, Any]:
    return {"name": "Mug", "product_id": "p1", "item_id": item_id, "price": price, "options": {"size": item_id[-1]}}


def _order(order_id: str, status: str, method: str, *items: dict[str, Any]) -> dict[str, Any]:
    total = round(sum(item["price"] for item in items), 2)
    return {
        "order_id": order_id,
        "user_id": "ada_stone_1",
        "address": ADDRESS,
        "items": list(items),
        "status": status,
        "fulfillments": [],
        "payment_history": [{"transaction_type": "payment", "amount": total, "payment_method_id": method}],
    }


SHOP = {
    "products": {
        "p1": {
            "name": "Mug",
            "product_id": "p1",
            "variants": {
                each["item_id"]: each
                for each in (
                    _variant("m1", 10.1),
                    _variant("m2", 12.35),
                    _variant("m3", 900.0),
                    _variant("m4", 5.0, available=False),
                )
            },
        }
    },
    "users": {
        "ada_stone_1": {
            "user_id": "ada_stone_1",
            "name": {"first_name": "Ada", "last_name": "Stone"},
            "address": ADDRESS,
            "email": "ada@example.com",
            "payment_methods": {
                "card_1": {"source": "credit_card", "id": "card_1", "brand": "visa", "last_four": "1111"},
                "gift_1": {"source": "gift_card", "id": "gift_1", "balance": 20.0},
            },
            "orders": ["#W1", "#W2", "#W3"],
        },
        "ada_brook_2": {
            "user_id": "ada_brook_2",
            "name": {"first_name": "Ada", "last_name": "Brook"},
            "address": ADDRESS,
            "email": "brook@example.com",
            "payment_methods": {},
            "orders": [],
        },
    },
    "orders": {
        "#W1": _order("#W1", "pending", "card_1", _item("m1", 10.1), _item("m2", 12.35)),
        "#W2": _order("#W2", "delivered", "card_1", _item("m1", 10.1), _item("m1", 10.1)),
        "#W3": _order("#W3", "pending", "gift_1", _item("m1", 10.1)),
    },
}


Ask = Callable[..., str]
"""Calls a tool of the case with its arguments by name; gives the text."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "db.json").write_text(json.dumps(SHOP))
    return tmp_path


@pytest.fixture
def case(folder: Path) -> Case:
    return RETAIL.open(RETAIL.load(folder), NoOverlay())


@pytest.fixture
def ask(case: Case) -> Ask:
    def call(tool: str, *, by: str = "assistant", **args: Any) -> str:
        return RETAIL.perform(case, Called(name=tool, args=copy.deepcopy(args), by=by))

    return call


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder with tau2-bench's retail data and two models' recorded conversations."""
    return shared_data("tau2", "retail")
