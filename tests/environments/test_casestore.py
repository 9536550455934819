from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gatewright.agents.errors import UnavailableError
from gatewright.environments.casestore import SCHEMA, CaseStore, Written
from gatewright.environments.rows import Change


def test_a_case_that_could_not_be_forgotten_is_whole_and_the_next_one_is_written(tmp_path: Path) -> None:
    path = tmp_path / "world.sqlite"
    store = CaseStore(path)
    store.write("c", None, lambda: Written("done", [Change("t", "k", "1")]))
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE calls")
    with pytest.raises(UnavailableError, match="no such table: calls"):
        store.forget("c")
    assert store.row("c", "t", "k") == "1"
    with sqlite3.connect(path) as other:
        other.executescript(SCHEMA)
    other.close()
    assert store.write("d", None, lambda: Written("done", [])) == "done"
    store.forget("c")
    assert store.changes("c") == []
    store.close()
