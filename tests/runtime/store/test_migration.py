from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store import migration
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.sqlite import FILE, SQLite


@contextmanager
def _connected(database: Database) -> Generator[sa.Connection]:
    engine = database.connect()
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def test_a_fresh_database_is_what_the_schema_says(database: Database) -> None:
    database.prepare()
    with _connected(database) as connection:
        assert migration.current(connection) == migration.head()
        assert migration.drift(connection) == []


def test_revisions_are_those_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(migration.FOLDER))
    script = ScriptDirectory.from_config(config)
    assert migration.revisions() == [found.revision for found in script.walk_revisions()][::-1]
    assert migration.head() == script.get_current_head()


def test_a_database_that_is_as_it_should_be_is_opened_without_alembic(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    program = "import sys, pathlib; from gatewright.runtime.store.sqlite import SQLite;"
    program += "SQLite(pathlib.Path(sys.argv[1])).prepare(); print('alembic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_table_that_differs_is_named(database: Database) -> None:
    database.prepare()
    with _connected(database) as connection:
        connection.execute(sa.text("ALTER TABLE run ADD COLUMN colour TEXT"))
    with _connected(database) as connection:
        (difference,) = migration.drift(connection)
    assert "colour" in difference


def test_tables_of_others_are_no_drift(database: Database) -> None:
    database.prepare()
    with _connected(database) as connection:
        connection.execute(sa.text("CREATE TABLE others (thread_id TEXT)"))
        assert migration.drift(connection) == []


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        before = connection.execute("PRAGMA schema_version").fetchone()
    SQLite(tmp_path).prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("PRAGMA schema_version").fetchone() == before


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    database.prepare()
    with _connected(database) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UnavailableError, match="'9999'.*newer Gatewright"):
        database.prepare()
    with _connected(database) as connection:
        assert migration.current(connection) == "9999"


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
