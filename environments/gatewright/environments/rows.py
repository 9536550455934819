"""Copy-on-write rows: one case's view of a shared data set, and what the case changed in it."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

Row = dict[str, Any]
_WORD = re.compile(r"#?\w+")

NO_ROWS: Mapping[str, Row] = {}


class Change(NamedTuple):
    """A row as a case left it; `value` is JSON text. `restored`: it is again what it is in the data set."""

    table: str
    key: str
    value: str
    restored: bool = False


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

    A row that was taken with `rows[key]` may be changed in place; `changes` finds out which were. `seen` has the keys
    of all rows that were taken or read as text.
    """

    def __init__(self, table: str, base: Mapping[str, Row], overlay: Overlay) -> None:
        self.seen: set[str] = set()
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
        self.seen.add(key)
        return self._taken[key]

    def __setitem__(self, key: str, row: Row) -> None:
        self.seen.add(key)
        self._taken[key] = row
        self._before.pop(key, None)

    def view(self, key: str) -> Row:
        """The row to look at, not to change: it may be the data set's own. It does not count as seen."""
        if key in self._taken:
            return self._taken[key]
        text = self._overlay.fetch(self._table, key)
        return self._base[key] if text is None else json.loads(text)

    def text(self, key: str) -> str:
        """The row as JSON text, without taking a copy of it."""
        self.seen.add(key)
        if key in self._taken:
            return json.dumps(self._taken[key])
        return self._overlay.fetch(self._table, key) or json.dumps(self._base[key])

    def mention(self, text: str) -> None:
        """Count the rows whose keys are words of `text` as seen."""
        self.seen.update(word for word in _WORD.findall(text) if word in self)

    def owners(self, field: str) -> set[str]:
        """What the rows that were seen have in `field`, where they have it."""
        return {str(row[field]) for row in map(self.view, self.seen) if field in row}

    def changes(self) -> Iterator[Change]:
        """The rows that were changed or added since they were taken."""
        for key, row in self._taken.items():
            text = json.dumps(row)
            if text != self._before.get(key):
                yield Change(self._table, key, text, key in self._base and text == json.dumps(self._base[key]))


def digest(changes: Iterable[Change]) -> str:
    """SHA-256 (hex) of what a case changed: equal for cases on one data set that left it in the same state.

    It is taken over the canonical JSON (sorted keys, no spaces, ASCII) of `{table: {key: row}}`. Rows that the case
    did not touch are not read, rows that are again what they were do not count; 1 and 1.0 are two states.
    """
    tables: dict[str, dict[str, Any]] = {}
    for change in changes:
        if not change.restored:
            tables.setdefault(change.table, {})[change.key] = json.loads(change.value)
    text = json.dumps(tables, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
