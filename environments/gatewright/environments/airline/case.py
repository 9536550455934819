"""One case's view of the airline: the shared data set with the case's own changes laid over it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from .dataset import Dataset, Row

NO_ROWS: Mapping[str, Row] = {}


class Change(NamedTuple):
    """A row as a case left it; `value` is JSON text."""

    table: str
    key: str
    value: str


class Overlay(Protocol):
    """Where a case's changed rows are kept."""

    def fetch(self, table: str, key: str) -> str | None:
        """The JSON text of a row that this case changed; None if it did not."""
        ...


class NoOverlay:
    """The overlay of a case in which nothing has happened."""

    def fetch(self, table: str, key: str) -> str | None:
        return None


class Rows:
    """The rows of one table, copied when they are first taken.

    A row that was taken with `rows[key]` may be changed in place; `changes` finds out which were.
    """

    def __init__(self, table: str, base: Mapping[str, Row], overlay: Overlay) -> None:
        self._table = table
        self._base = base
        self._overlay = overlay
        self._taken: dict[str, Row] = {}
        self._before: dict[str, str] = {}

    def __contains__(self, key: object) -> bool:
        # Model arguments reach this unchecked: an unhashable key must raise TypeError, as it does on a dict.
        if key in self._taken or key in self._base:
            return True
        return isinstance(key, str) and self._overlay.fetch(self._table, key) is not None

    def __getitem__(self, key: str) -> Row:
        if key not in self._taken:
            text = self._overlay.fetch(self._table, key)
            row: Row = copy.deepcopy(self._base[key]) if text is None else json.loads(text)
            self._before[key] = json.dumps(row) if text is None else text
            self._taken[key] = row
        return self._taken[key]

    def __setitem__(self, key: str, row: Row) -> None:
        self._taken[key] = row
        self._before.pop(key, None)

    def text(self, key: str) -> str:
        """The row as JSON text, without taking a copy of it."""
        if key in self._taken:
            return json.dumps(self._taken[key])
        return self._overlay.fetch(self._table, key) or json.dumps(self._base[key])

    def changes(self) -> Iterator[Change]:
        """The rows that were changed or added since they were taken."""
        for key, row in self._taken.items():
            text = json.dumps(row)
            if text != self._before.get(key):
                yield Change(self._table, key, text)


class Case:
    """What an operation works on.

    Flights never change: the airline takes its time to update seats. `transfers` says whether the customer was
    handed over to a person.
    """

    def __init__(self, dataset: Dataset, overlay: Overlay) -> None:
        self.dataset = dataset
        self.flights = dataset.flights
        self.reservations = Rows("reservations", dataset.reservations, overlay)
        self.users = Rows("users", dataset.users, overlay)
        self.transfers = Rows("transfers", NO_ROWS, overlay)

    def changes(self) -> list[Change]:
        """All rows that this case changed or added, in the order they were taken, table by table."""
        return [change for rows in (self.reservations, self.users, self.transfers) for change in rows.changes()]
