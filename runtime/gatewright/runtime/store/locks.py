"""Locks on names, held until the transaction ends. In a SQLite file there is one writer, and nothing to lock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import sqlalchemy as sa

from .writer import Transaction

Kind = Literal["pause", "events", "budget"]
"""What the names are of: deployments that may be paused · runs whose events get their numbers · who uses a budget."""

_SEEDS: dict[Kind, int] = {"pause": 1, "events": 2, "budget": 3}

_LOCK = sa.text(  # in one order, so that two that lock several names do not wait for each other
    "SELECT pg_advisory_xact_lock(number) FROM (SELECT DISTINCT hashtextextended(name, :seed) AS number"
    " FROM unnest(CAST(:names AS text[])) AS name ORDER BY number) AS numbers"
)
_SHARE = sa.text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, :seed))")


def lock(transaction: Transaction, kind: Kind, names: Collection[str]) -> None:
    """Wait until nobody else has any of these names, and take them."""
    if transaction.dialect == "postgresql" and names:
        transaction.run(_LOCK, seed=_SEEDS[kind], names=list(names))


def share(transaction: Transaction, kind: Kind, name: str) -> None:
    """Wait until nobody has locked this name, and keep others from doing so; any number may share it."""
    if transaction.dialect == "postgresql":
        transaction.run(_SHARE, seed=_SEEDS[kind], name=name)
