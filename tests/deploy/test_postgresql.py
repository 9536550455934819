"""PostgreSQL from its binaries: it keeps what was committed and leaves no process behind."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from threading import Thread
from typing import LiteralString

import psycopg
import pytest
from deploy.cluster import postgresql as module
from deploy.cluster.postgresql import PostgreSQL, binaries
from deploy.cluster.processes import Service, alive, descendants, free_port

from gatewright.agents.errors import UnavailableError


@pytest.fixture
def server(postgresql: PostgreSQL) -> Generator[PostgreSQL]:
    """One of the test's own, beside the shared one, that may be killed."""
    folder = postgresql.folder.with_name("own")
    own = PostgreSQL(folder, fsync=False)
    own.start()
    yield own
    own.kill()
    shutil.rmtree(folder)


def query(url: str, statement: LiteralString) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_what_was_committed_is_there_after_a_kill(server: PostgreSQL) -> None:
    url = server.create_database("kept")
    query(url, "CREATE TABLE note AS SELECT 1 AS number")

    server.kill()
    server.restart()

    assert query(url, "SELECT number FROM note") == [(1,)]


def test_kill_ends_the_processes_of_the_clients_too(server: PostgreSQL) -> None:
    with psycopg.connect(server.url("postgres").replace("+psycopg", "")) as connection:
        backend = connection.info.backend_pid
        family = [server.pid, *descendants(server.pid)]
        assert backend in family

        server.kill()

        assert [pid for pid in family if alive(pid)] == []
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_stop_breaks_off_open_sessions_and_leaves_no_process(server: PostgreSQL) -> None:
    with psycopg.connect(server.url("postgres").replace("+psycopg", "")) as connection:
        family = [server.pid, *descendants(server.pid)]

        server.stop()

        assert [pid for pid in family if alive(pid)] == []
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_another_server_on_the_same_folder_finds_the_data(server: PostgreSQL) -> None:
    query(server.create_database("kept"), "CREATE TABLE note AS SELECT 2 AS number")
    server.stop()

    again = PostgreSQL(server.folder)
    again.start()
    found = query(again.url("kept"), "SELECT number FROM note")
    again.stop()

    assert found == [(2,)]


def test_fsync_is_on_unless_it_is_switched_off(server: PostgreSQL) -> None:
    assert query(server.url("postgres"), "SHOW fsync") == [("off",)]
    server.stop()

    safe = PostgreSQL(server.folder)
    safe.start()
    told = query(safe.url("postgres"), "SHOW fsync")
    safe.stop()

    assert told == [("on",)]


def test_every_test_has_an_empty_database_of_its_own(postgresql: PostgreSQL, database_url: str) -> None:
    query(database_url, "CREATE TABLE note (number int)")

    other = postgresql.create_database("other")
    tables = query(other, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    postgresql.drop_database("other")

    assert tables == []


def test_a_server_does_not_outlive_a_killed_parent(
    server: PostgreSQL, left_by_a_killed_parent: Callable[[str], list[int]]
) -> None:
    server.stop()
    program = "from pathlib import Path; from deploy.cluster.postgresql import PostgreSQL"

    left = left_by_a_killed_parent(f"{program}\nserver = PostgreSQL(Path({str(server.folder)!r}))\nserver.start()")

    assert left == []


def test_a_server_outlives_the_thread_that_started_it(server: PostgreSQL) -> None:
    server.stop()
    thread = Thread(target=server.start)
    thread.start()
    thread.join()

    assert query(server.url("postgres"), "SELECT 1") == [(1,)]


def test_a_taken_port_is_told_with_the_servers_own_words(server: PostgreSQL) -> None:
    taken = server.port
    folder = server.folder.with_name("second")
    second = PostgreSQL(folder, port=taken, fsync=False)
    try:
        with pytest.raises(UnavailableError, match="Address already in use"):
            second.start()
        assert not second.running
    finally:
        second.kill()
        shutil.rmtree(folder)


def test_a_machine_without_postgresql_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "binaries", lambda: None)

    with pytest.raises(UnavailableError, match="apt install postgresql"):
        PostgreSQL(tmp_path / "data")


def test_binaries_are_those_of_a_server(postgresql: PostgreSQL) -> None:
    found = binaries()

    assert found is not None
    told = subprocess.run([found / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith("postgres (PostgreSQL) ")


def test_a_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    service = Service([tmp_path / "nothing"], log=tmp_path / "log")

    with pytest.raises(UnavailableError, match="nothing ended at once.*not found"):
        service.wait_until(lambda: False, seconds=30)


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert all(free_port() < first for _ in range(20))
