"""What all tests share: settings of hypothesis (machines differ), and the services that run on this machine."""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[1]))  # `deploy` is a program of the checkout and is not installed

from deploy.cluster import jars
from deploy.cluster.brokers import broker
from deploy.cluster.kafka import Kafka
from deploy.cluster.postgresql import PostgreSQL
from deploy.cluster.tansu import Tansu
from tests import needs

from gatewright.agents.errors import UnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("gatewright", deadline=None, database=None, derandomize=True)
settings.load_profile("gatewright")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql() -> Generator[PostgreSQL]:
    """A server that the tests of a session share; do not kill it. What it commits is not synced to the disk."""
    with _folder() as folder:
        with _needed():
            server = PostgreSQL(folder / "postgresql", fsync=False)
            server.start()
        yield server
        server.stop()


@pytest.fixture
def database_url(postgresql: PostgreSQL) -> Generator[str]:
    """An empty PostgreSQL database of the test's own, for `--database`."""
    name = f"test_{next(_numbers)}"
    yield postgresql.create_database(name)
    postgresql.drop_database(name)


@pytest.fixture(scope="session")
def kafka() -> Generator[Kafka | Tansu]:
    """A broker that the tests of a session share; do not stop it. Clients connect to `kafka.bootstrap`."""
    with _folder() as folder, _broker(folder) as server:
        yield server


@pytest.fixture
def kafka_broker() -> Generator[Kafka | Tansu]:
    """A broker of the test's own that keeps what it acknowledged: it may be killed, paused and restarted."""
    with _folder() as folder, _broker(folder) as server:
        if not server.durable:
            needs.missing(f"Tansu forgets all when it ends, and Apache Kafka cannot run: {jars.missing()}")
        yield server


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """A real browser, for modules whose tests are not asynchronous."""
    from playwright.sync_api import sync_playwright  # not for the tests that need no browser

    program = shutil.which("chromium")
    if program is None:
        needs.missing("no chromium on the PATH; install it, pages must be tried in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def topic_prefix() -> str:
    """The beginning of the names of the test's own topics and groups."""
    return f"test{next(_numbers)}."


def pytest_report_header() -> str:
    """Say what stands for Kafka."""
    reason = jars.missing()
    return f"broker: Apache Kafka {jars.VERSION}" if reason is None else f"broker: Tansu, for {reason}"


@contextmanager
def _broker(folder: Path) -> Generator[Kafka | Tansu]:
    with _needed():
        if needs.IN_CI and (reason := jars.missing()) is not None:
            raise UnavailableError(reason)  # Tansu would prove less
        server = broker(folder / "broker")
        server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def _folder() -> Generator[Path]:
    """A folder that users without rights can enter, unlike `tmp_path`: PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="gatewright-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)
        yield Path(place)


@contextmanager
def _needed() -> Generator[None]:
    """What cannot run here skips a test at a desk and fails it in CI."""
    try:
        yield
    except UnavailableError as error:
        needs.missing(str(error))
