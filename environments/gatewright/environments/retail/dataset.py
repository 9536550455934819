"""The shop's data as it is before any case: one JSON file, loaded once and never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gatewright.agents.errors import UnavailableError
from gatewright.environments.datasets import Loader, parsed
from gatewright.environments.rows import Row

FILE = "db.json"
TABLES = ("products", "users", "orders")
LATER = (
    "cancel_reason",
    "exchange_items",
    "exchange_new_items",
    "exchange_payment_method_id",
    "exchange_price_difference",
    "return_items",
    "return_payment_method_id",
)
"""Fields of an order that say what was done with it; null before."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Products, users and orders by id, in the order of the file. Shared between cases: read-only."""

    products: Mapping[str, Row]
    users: Mapping[str, Row]
    orders: Mapping[str, Row]

    @cached_property
    def by_first_name(self) -> Mapping[str, list[str]]:
        """The ids of the users who bear each first name (lower case), in the order of the file."""
        found: dict[str, list[str]] = {}
        for user_id, user in self.users.items():
            found.setdefault(str(user.get("name", {}).get("first_name")).lower(), []).append(user_id)
        return found

    @cached_property
    def by_email(self) -> Mapping[str, str]:
        """The id of the first user with each address of mail (lower case)."""
        found: dict[str, str] = {}
        for user_id, user in self.users.items():
            found.setdefault(str(user.get("email")).lower(), user_id)
        return found

    @cached_property
    def product_types(self) -> str:
        """The names of all products with their ids, as JSON text in alphabetical order."""
        return json.dumps({row.get("name"): row.get("product_id") for row in self.products.values()}, sort_keys=True)


def _read(folder: Path) -> Dataset:
    path = folder / FILE
    tables = parsed(path, "the shop's data", FILE)
    for name in TABLES:
        rows: object = tables.get(name) if isinstance(tables, dict) else None
        if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
            raise UnavailableError(f"{str(path)!r} does not hold an object of objects at {name!r}; restore the file")
    orders = {key: {**row, **{name: row.get(name) for name in LATER}} for key, row in tables["orders"].items()}
    return Dataset(products=tables["products"], users=tables["users"], orders=orders)


load = Loader(_read)
