"""The airline's data as it is before any case: three JSON files, loaded once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gatewright.agents.errors import UnavailableError
from gatewright.environments.datasets import Loader, parsed
from gatewright.environments.rows import Row

BUILT_IN = Path(__file__).parent / "data"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Flights by number, reservations and users by id, in the order of their files. Shared between cases: read-only."""

    flights: Mapping[str, Row]
    reservations: Mapping[str, Row]
    users: Mapping[str, Row]

    @cached_property
    def departures(self) -> Mapping[str, list[Row]]:
        """The flights that leave each airport, in the order of the file."""
        by_origin: dict[str, list[Row]] = {}
        for flight in self.flights.values():
            by_origin.setdefault(flight["origin"], []).append(flight)
        return by_origin


def _table(folder: Path, name: str) -> dict[str, Row]:
    path = folder / f"{name}.json"
    rows = parsed(path, f"the airline's {name}", "flights.json, reservations.json and users.json")
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise UnavailableError(f"{str(path)!r} does not hold an object of objects; restore the file")
    return rows


def _read(folder: Path) -> Dataset:
    return Dataset(
        flights=_table(folder, "flights"),
        reservations=_table(folder, "reservations"),
        users=_table(folder, "users"),
    )


load = Loader(_read)
