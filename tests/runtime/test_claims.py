"""Taking runs costs the same however many there have been."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.dialects import sqlite

from gatewright.runtime.claims import Queue
from gatewright.runtime.store.database import Dialect, of
from gatewright.runtime.store.writer import Transaction


class Asked:
    """A transaction that keeps what it is asked, and finds nothing."""

    dialect: Dialect = "sqlite"

    def __init__(self) -> None:
        self.clauses: list[Any] = []

    def all(self, clause: Any, /, **_values: Any) -> list[tuple[Any, ...]]:
        self.clauses.append(clause)
        return []

    def one(self, clause: Any, /, **_values: Any) -> None:
        self.clauses.append(clause)


@pytest.mark.parametrize("deployments", [(), ("claims", "support")])
def test_on_sqlite_a_claim_walks_through_no_table(tmp_path: Path, deployments: tuple[str, ...]) -> None:
    database = of("", tmp_path)
    database.hold()
    database.prepare()
    asked = Asked()
    queue = Queue("worker", deployments)
    queue.claim(cast("Transaction", asked), most=4, now=0)
    queue.claim_this(cast("Transaction", asked), "run", now=0)
    engine = database.connect(readonly=True)

    steps: list[str] = []
    with engine.connect() as connection:
        for clause in asked.clauses:
            compiled = clause.compile(dialect=sqlite.dialect(paramstyle="qmark"))
            nothing = (None,) * len(compiled.positiontup or ())
            steps += [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", nothing)]
    engine.dispose()
    database.release()

    assert len(asked.clauses) == 2
    assert [step for step in steps if step.startswith("SCAN ") and step != "SCAN found"] == []
    assert any("run_thread (thread_id=? AND number<?)" in step for step in steps)
