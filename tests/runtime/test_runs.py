from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.dialects import sqlite

from gatewright.runtime import runs
from gatewright.runtime.store.database import of
from gatewright.runtime.store.writer import Transaction


class Ending:
    """Notes what ending a run asks of the database, where it had asked people and agents, and others wait behind it."""

    dialect = "sqlite"
    queued = False

    def __init__(self) -> None:
        self.clauses: list[Any] = []

    def run(self, clause: Any, /, **_values: Any) -> int:
        self.clauses.append(clause)
        return 1

    def one(self, clause: Any, /, **_values: Any) -> tuple[Any, ...]:
        self.clauses.append(clause)
        first = len(self.clauses) == 1
        return ("running", 1, "thread", "thread", "d", "a", 1, b"{}", None, "[]", None, None) if first else (1, 1, 1)

    def all(self, clause: Any, /, **_values: Any) -> list[tuple[Any, ...]]:
        self.clauses.append(clause)
        return []

    def append(self, *_written: Any) -> int:
        return 0


@pytest.fixture
def asked() -> list[Any]:
    ending = Ending()
    runs.end(cast("Transaction", ending), "run", "succeeded", now=0)
    return ending.clauses


def test_on_sqlite_an_ending_run_looks_at_nothing_but_what_is_its_own(tmp_path: Path, asked: list[Any]) -> None:
    database = of("", tmp_path)
    database.hold()
    database.prepare()
    engine = database.connect(readonly=True)

    steps: list[str] = []
    with engine.connect() as connection:
        for clause in asked:
            compiled = clause.compile(dialect=sqlite.dialect(paramstyle="qmark"))
            nothing = (None,) * len(compiled.positiontup or ())
            steps += [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", nothing)]
    engine.dispose()
    database.release()

    assert len(asked) == 8
    shared = ("(state=?)", "(status=?)")  # what all requests, or runs, of a state have in common
    assert [
        step for step in steps if step.endswith(shared) or (step.startswith("SCAN ") and "CONSTANT" not in step)
    ] == []
