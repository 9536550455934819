"""How clients find the service of a data directory, and do not find what is not it."""

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gatewright.runtime.api import presence

INSTANCE = "0123456789abcdef"


class Livez(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("x-gatewright-instance", INSTANCE)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Livez) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_running_service_is_found_with_its_token(tmp_path: Path, url: str) -> None:
    presence.announce(tmp_path, url, instance=INSTANCE, token="secret")

    found = presence.find(tmp_path)

    assert found is not None
    assert (found.url, found.token()) == (url, "secret")


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    presence.announce(tmp_path, "http://127.0.0.1:1", instance=INSTANCE, token="secret")

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}

    assert modes == {f"service-{INSTANCE}.json": 0o600, f"service-{INSTANCE}.token": 0o600}


def test_a_service_that_was_killed_is_not_found(tmp_path: Path) -> None:
    presence.announce(tmp_path, "http://127.0.0.1:1", instance=INSTANCE)

    assert presence.find(tmp_path) is None


def test_another_program_on_the_port_is_not_taken_for_the_service(tmp_path: Path, url: str) -> None:
    presence.announce(tmp_path, url, instance="another-instance", token="secret")

    assert presence.find(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"url": "http://127.0.0.1:1"})])
def test_a_damaged_announcement_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "service-1.json").write_text(text, "utf-8")

    assert presence.find(tmp_path) is None


def test_no_data_directory_is_none(tmp_path: Path) -> None:
    assert presence.find(tmp_path / "nowhere") is None


def test_a_service_withdraws_only_its_own_announcement(tmp_path: Path) -> None:
    presence.announce(tmp_path, "http://127.0.0.1:1", instance="another", token="secret")

    presence.withdraw(tmp_path, instance=INSTANCE)
    kept = {file.name for file in tmp_path.iterdir()}
    presence.withdraw(tmp_path, instance="another")

    assert kept == {"service-another.json", "service-another.token"}
    assert list(tmp_path.iterdir()) == []


def test_a_living_service_is_found_beside_those_that_were_killed(tmp_path: Path, url: str) -> None:
    presence.announce(tmp_path, "http://127.0.0.1:1", instance="killed-before")
    presence.announce(tmp_path, url, instance=INSTANCE)
    presence.announce(tmp_path, "http://127.0.0.1:1", instance="killed-after")

    found = presence.find(tmp_path)

    assert found is not None
    assert found.instance == INSTANCE


def test_what_a_killed_service_left_behind_is_taken_away(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gatewright.runtime.api import presence; "
        "presence.announce(Path(sys.argv[1]), 'http://127.0.0.1:1', instance='killed', token='secret')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    left = {file.name for file in tmp_path.iterdir()}
    presence.announce(tmp_path, "http://127.0.0.1:1", instance=INSTANCE)

    assert left == {"service-killed.json", "service-killed.token"}
    assert {file.name for file in tmp_path.iterdir()} == {f"service-{INSTANCE}.json"}
