"""Databases of both kinds, and writers on them."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from deploy.cluster.postgresql import PostgreSQL

from gatewright.runtime.store.database import Database, of


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty one: a file in `tmp_path`, and a database of a PostgreSQL server."""
    return of("" if request.param == "sqlite" else request.getfixturevalue("database_url"), tmp_path)


@pytest.fixture
def own_server(postgresql: PostgreSQL) -> Generator[PostgreSQL]:
    """A server of the test's own that keeps what it acknowledged: it may be killed and restarted."""
    del postgresql  # it skips the test where there are no servers
    with tempfile.TemporaryDirectory(prefix="gatewright-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)  # PostgreSQL does not run as root, and its user must be able to enter
        server = PostgreSQL(Path(place) / "postgresql")
        server.start()
        yield server
        server.stop()
