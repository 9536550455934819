"""The airline's data as it is before any case: three JSON files, loaded once and never changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gatewright.agents.errors import UnavailableError

Row = dict[str, Any]
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


_loaded: dict[Path, Dataset] = {}
_loading = threading.Lock()


def _table(folder: Path, name: str) -> dict[str, Row]:
    path = folder / f"{name}.json"
    try:
        rows: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnavailableError(
            f"cannot read the airline's {name} from {str(path)!r}: {error.strerror}; set the thread's setting "
            "`world.data` to a directory that holds flights.json, reservations.json and users.json"
        ) from error
    except ValueError as error:
        raise UnavailableError(f"{str(path)!r} is not JSON: {error}; restore the file") from error
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise UnavailableError(f"{str(path)!r} does not hold an object of objects; restore the file")
    return rows


def load(folder: Path) -> Dataset:
    """The data set in `folder`, read on first use and then shared.

    Raises:
        UnavailableError: one of the three files is missing or malformed.
    """
    with _loading:
        dataset = _loaded.get(folder)
        if dataset is None:
            dataset = Dataset(
                flights=_table(folder, "flights"),
                reservations=_table(folder, "reservations"),
                users=_table(folder, "users"),
            )
            _loaded[folder] = dataset
        return dataset
