"""Rows as a parameter: a JSON array of arrays that a statement joins with, so that one text serves any number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import orjson

from gatewright.runtime.store.database import Dialect

Kind = Literal["text", "bigint"]


def rowset(dialect: Dialect, **columns: Kind) -> str:
    """SQL of a table named `given` with these columns, from the parameter `:given`."""
    if dialect == "sqlite":
        parts = [f"json_extract(value, '$[{place}]') AS \"{name}\"" for place, name in enumerate(columns)]
        return f"(SELECT {', '.join(parts)} FROM json_each(:given)) AS given"
    parts = [f'CAST(v ->> {place} AS {kind}) AS "{name}"' for place, (name, kind) in enumerate(columns.items())]
    return f"(SELECT {', '.join(parts)} FROM jsonb_array_elements(CAST(:given AS jsonb)) AS v) AS given"


def rows(values: Iterable[Sequence[Any]]) -> str:
    """The parameter `:given`."""
    return orjson.dumps([list(value) for value in values]).decode()
