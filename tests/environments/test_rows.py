from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.environments.rows import Change, NoOverlay, Row, Rows, digest

BASE: Mapping[str, Row] = {"a": {"n": 1, "inner": [1, 2]}, "b": {"n": 2}}
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4)


class Kept:
    """An overlay in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def fetch(self, table: str, key: str) -> str | None:
        return self.values.get(key)


class Unreadable(dict[str, Row]):
    """A data set of which one row must not be read."""

    def __getitem__(self, key: str) -> Row:
        assert key != "b"
        return super().__getitem__(key)


def rows(base: Mapping[str, Row] = BASE) -> Rows:
    return Rows("t", base, NoOverlay())


def test_a_changed_row_leaves_the_data_set_as_it_was() -> None:
    table = rows()
    table["a"]["inner"].append(3)
    assert list(table.changes()) == [Change("t", "a", '{"n": 1, "inner": [1, 2, 3]}')]
    assert BASE["a"]["inner"] == [1, 2]


def test_a_row_that_was_taken_and_not_changed_is_no_change() -> None:
    table = rows()
    assert table["a"]["n"] == 1
    assert list(table.changes()) == []


def test_untouched_rows_are_never_read() -> None:
    table = rows(Unreadable(BASE))
    table["a"]["n"] = 5
    assert digest(table.changes()) == digest([Change("t", "a", '{"inner": [1, 2], "n": 5}')])


def test_a_row_that_is_again_what_it_was_does_not_count() -> None:
    overlay = Kept()
    overlay.values["a"] = '{"n": 9}'
    table = Rows("t", BASE, overlay)
    table["a"].clear()
    table["a"].update(json.loads(json.dumps(BASE["a"])))
    [change] = table.changes()
    assert change.restored
    assert digest([change]) == digest([])


@pytest.mark.parametrize("other", [1.0, True, "1", [1]])
def test_values_of_another_type_are_another_state(other: Any) -> None:
    assert digest([Change("t", "a", "1")]) != digest([Change("t", "a", json.dumps(other))])


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_keys_does_not_count(row: dict[str, Any], chance: Any) -> None:
    shuffled = list(row.items())
    chance.shuffle(shuffled)
    one = [Change("t", "a", json.dumps(row)), Change("t", "b", "{}")]
    other = [Change("t", "b", "{}"), Change("t", "a", json.dumps(dict(shuffled)))]
    assert digest(one) == digest(other)


def test_a_row_that_a_text_names_counts_as_seen() -> None:
    table = rows({"#W1": {"owner": "ada"}, "W2": {"owner": "bob"}, "W3": {}})
    table.mention("Order #W1, please, and W3; not W22.")
    assert (table.seen, table.owners("owner")) == ({"#W1", "W3"}, {"ada"})


def test_rows_that_were_read_are_seen_and_viewed_ones_are_not() -> None:
    table = rows()
    assert table.view("b") == {"n": 2}
    table.text("a")
    assert table.seen == {"a"}
