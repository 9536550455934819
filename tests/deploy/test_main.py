"""`python -m deploy.cluster`: both services for a user, and nothing of them after it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from deploy.cluster.kafka import Kafka, answers
from deploy.cluster.postgresql import PostgreSQL
from deploy.cluster.processes import descendants
from deploy.cluster.tansu import Tansu

ROOT = Path(__file__).parents[2]


class Cluster(NamedTuple):
    """The program, what it printed as options and what as environment."""

    program: subprocess.Popen[str]
    options: list[str]
    environ: dict[str, str]


@contextmanager
def cluster(folder: Path, *arguments: str) -> Generator[Cluster]:
    """The running program; asked to end after, if it has not."""
    command = [sys.executable, "-m", "deploy.cluster", "--folder", str(folder), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            options, environ = program.stdout.readline().split(), program.stdout.readline().split()
            yield Cluster(program, options, dict(setting.split("=", 1) for setting in environ))
        finally:
            program.terminate()


@pytest.fixture
def folder(postgresql: PostgreSQL) -> Path:
    """A folder that PostgreSQL can use, where PostgreSQL can run."""
    return postgresql.folder.with_name("cluster")


def test_both_services_are_there_under_the_printed_urls(folder: Path, kafka: Kafka | Tansu) -> None:
    with cluster(folder) as started:
        database, bus = started.environ["GATEWRIGHT_DATABASE"], started.environ["GATEWRIGHT_BUS"]

        assert started.options == ["--database", database, "--bus", bus]
        assert answers(bus.removeprefix("kafka://"))
        with psycopg.connect(database.replace("+psycopg", "")) as connection:
            assert connection.info.dbname == "gatewright"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_it_ends(
    folder: Path, kafka: Kafka | Tansu, number: signal.Signals, left: Callable[[list[int]], list[int]]
) -> None:
    with cluster(folder) as started:
        family = descendants(started.program.pid)
        assert len(family) > 4  # two services, the watch of each, and what PostgreSQL is made of

        started.program.send_signal(number)
        code = started.program.wait()

    assert code == (-number if number == signal.SIGKILL else 0)
    assert left(family) == []


def test_a_second_start_finds_the_data_again(folder: Path) -> None:
    with cluster(folder, "--no-kafka") as started:
        url = started.environ["GATEWRIGHT_DATABASE"].replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE note AS SELECT 1 AS number")

    with cluster(folder, "--no-kafka") as again:
        url = again.environ["GATEWRIGHT_DATABASE"].replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT number FROM note").fetchall()

    assert found == [(1,)]
    assert "GATEWRIGHT_BUS" not in again.environ


def test_what_keeps_it_from_starting_is_told(folder: Path, postgresql: PostgreSQL) -> None:
    command = [sys.executable, "-m", "deploy.cluster", "--folder", str(folder.with_name("taken")), "--no-kafka"]

    done = subprocess.run(
        [*command, "--postgresql-port", str(postgresql.port)], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
