from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store import migration
from gatewright.runtime.store.sqlite import FILE, SQLite


def test_a_fresh_database_is_what_the_schema_says(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    engine = SQLite(tmp_path).connect()
    with engine.connect() as connection:
        assert migration.current(connection) == migration.head()
        assert migration.drift(connection) == []
    engine.dispose()


def test_a_table_that_differs_is_named(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    engine = SQLite(tmp_path).connect()
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE run ADD COLUMN colour TEXT"))
    with engine.connect() as connection:
        (difference,) = migration.drift(connection)
    engine.dispose()
    assert "colour" in difference


def test_tables_of_others_are_no_drift(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    engine = SQLite(tmp_path).connect()
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE checkpoints (thread_id TEXT)"))
    with engine.connect() as connection:
        assert migration.drift(connection) == []
    engine.dispose()


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        before = connection.execute("PRAGMA schema_version").fetchone()
    SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA schema_version").fetchone() == before


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnavailableError, match="'9999'.*newer Gatewright"):
        SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


@pytest.mark.parametrize(
    ("table", "column"), [("leaf", "body"), ("place", "hash"), ("node", "hash"), ("checkpoint", "note")]
)
@pytest.mark.parametrize("statement", ["UPDATE {} SET hash = x'00'", "DELETE FROM {}"])
def test_the_ledger_refuses_to_be_changed(tmp_path: Path, table: str, column: str, statement: str) -> None:
    SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("INSERT INTO leaf (id, kind, body) VALUES (0, 'run', x'00')")
        connection.execute("INSERT INTO place (position, leaf, hash) VALUES (0, 0, x'00')")
        connection.execute("INSERT INTO node (level, position, hash) VALUES (1, 0, x'00')")
        connection.execute("INSERT INTO checkpoint (size, note, created_at) VALUES (1, '', 0)")
        connection.commit()
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement.format(table).replace("hash", column))
