"""A database with a past: threads that were worked on, as copies of one that really was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.runtime.store.database import Database
from gatewright.safety.ledger import merkle

from .figures import say

# The tables that grow with every run, and which of their columns name the copy: by text, or by the record's number.
_COPIED: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "thread": (("id", "case_id"), ()),
    "run": (("id", "thread_id", "case_id"), ("leaf",)),
    "effect": (("run_id",), ("leaf",)),
    "leaf": (("run_id", "case_id"), ("id",)),
    "sealed": ((), ("leaf",)),
    "checkpoints": (("thread_id",), ()),
    "checkpoint_blobs": (("thread_id",), ()),
    "checkpoint_writes": (("thread_id",), ()),
    "writes": (("thread_id",), ()),  # what LangGraph's saver for SQLite calls them
}
_COUNTED = {"run": "number"}  # columns that the database fills in


def fill(database: Database, copies: int) -> None:
    """Copy the one thread of a database, with all that was written for it; nobody else may be working on it."""
    engine = sa.create_engine(database.connect().url)  # without the time limits of a service
    with engine.begin() as connection:
        records: int = connection.execute(sa.text("SELECT count(*) FROM leaf")).scalar_one()
        present = sa.inspect(connection).get_table_names()
        for table in (name for name in _COPIED if name in present):
            say(f"scale: copying {table} {copies} times")
            connection.execute(sa.text(_copying(connection, table)), {"copies": copies, "records": records})
        _plant(connection, copies)
        if database.shared:
            connection.execute(sa.text("SELECT setval('leaf_id_seq', (SELECT max(id) FROM leaf))"))
    if database.shared:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))  # as autovacuum has done by the time a database is that large
    engine.dispose()


def _copying(connection: Connection, table: str) -> str:
    texts, numbers = _COPIED[table]
    columns = [column["name"] for column in sa.inspect(connection).get_columns(table)]
    names = [name for name in columns if name != _COUNTED.get(table)]
    values = [
        f"t.{name} || '-' || n" if name in texts else f"t.{name} + n * :records" if name in numbers else f"t.{name}"
        for name in names
    ]
    return (
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :copies)"
        f" INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table} t, numbers"
    )


def _plant(connection: Connection, copies: int) -> None:
    """Give the copied records their places in the tree."""
    placed = connection.execute(sa.text("SELECT leaf, hash FROM place ORDER BY position")).all()
    tail = merkle.Frontier()
    for _leaf, hash in placed:
        tail.append(bytes(hash))
    places: list[tuple[Any, ...]] = []
    nodes: list[tuple[Any, ...]] = []
    for copy in range(1, copies + 1):
        for leaf, hash in placed:
            position = tail.size
            completed = tail.append(bytes(hash))
            places.append((position, leaf + copy * len(placed), bytes(hash)))
            nodes += [(node.level, node.position, node.hash) for node in completed[1:]]
    say(f"scale: giving {len(places)} records their places")
    _insert(connection, "place", ("position", "leaf", "hash"), places)
    _insert(connection, "node", ("level", "position", "hash"), nodes)


def _insert(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    raw = connection.connection.driver_connection
    assert raw is not None
    if connection.dialect.name == "sqlite":
        raw.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES (?, ?, ?)", rows)
        return
    with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
