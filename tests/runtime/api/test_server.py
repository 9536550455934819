"""The server: where it listens, and a real process from its start to its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.api import presence, server
from gatewright.runtime.cli.starting import STARTER
from gatewright.runtime.config import Config, Server

PROGRAM = Path(sys.executable).with_name("gatewright")
LARGE = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}


class Process:
    """`gatewright serve` on a data directory of its own."""

    def __init__(self, folder: Path, *options: str, **environ: str) -> None:
        self.data_dir = folder / "data"
        command = [str(PROGRAM), "serve", "--json", "--port", "0", "--config", str(STARTER / "gatewright.toml")]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(self.data_dir), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.url: str = json.loads(line)["url"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; gives the exit code and what it said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start(tmp_path: Path) -> Generator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(*options: str, **environ: str) -> Process:
        started.append(Process(tmp_path, *options, **environ))
        return started[-1]

    yield begin
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
        process.process.communicate()


def frames(lines: Any) -> Generator[dict[str, str]]:
    """Server-sent events from the lines of a response."""
    event: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        elif event:
            yield event
            event = {}


def test_a_process_serves_announces_itself_and_ends_cleanly(start: Callable[..., Process]) -> None:
    served = start()
    found = presence.find(served.data_dir)
    answer = httpx.post(f"{served.url}/v1/runs/wait", json=LARGE)
    code, said = served.stop()

    assert found is not None
    assert (found.url, found.pid) == (served.url, served.process.pid)
    assert answer.json()["status"] == "waiting"
    assert (code, said) == (0, "")
    assert list(served.data_dir.glob(presence.FILES)) == []


def test_an_open_stream_does_not_keep_the_process_alive(start: Callable[..., Process]) -> None:
    served = start()
    run = httpx.post(f"{served.url}/v1/runs/wait", json=LARGE).json()
    with httpx.stream("GET", f"{served.url}/v1/runs/{run['id']}/events", timeout=60) as response:
        events = frames(response.iter_lines())
        first = next(events)
        served.process.send_signal(signal.SIGTERM)
        rest = list(events)
    code, _ = served.stop()

    assert first["event"] == "run"
    assert rest[-1]["event"] == "bye"
    assert code == 0


def test_interrupting_has_its_own_exit_code(start: Callable[..., Process]) -> None:
    assert start().stop(signal.SIGINT)[0] == 130


def test_a_body_of_100_megabytes_is_refused_while_it_is_sent(start: Callable[..., Process]) -> None:
    served = start()

    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=30) as client:
        client.sendall(b"POST /v1/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 104857600\r\n\r\n")
        answer = client.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_token_is_needed_from_everyone_but_the_owner(start: Callable[..., Process]) -> None:
    served = start(GATEWRIGHT_SERVER__TOKEN="a-long-random-token")
    found = presence.find(served.data_dir)

    refused = httpx.get(f"{served.url}/v1/runs")
    let_in = httpx.get(f"{served.url}/v1/runs", headers={"authorization": f"Bearer {found.token() if found else ''}"})

    assert (refused.status_code, let_in.status_code) == (401, 200)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_beyond_this_machine_needs_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="refusing to listen"):
        server.bind(Config(server=Server(host=host, port=0)))


def test_listening_beyond_this_machine_is_allowed_with_a_token_or_by_name_of_the_danger() -> None:
    for listener in (
        server.bind(Config(server=Server(host="0.0.0.0", port=0, token="t"))),
        server.bind(Config(server=Server(host="0.0.0.0", port=0)), unsafe=True),
    ):
        with listener:
            assert listener.getsockname()[1] > 0
            assert server.address(listener).startswith("http://127.0.0.1:")


def test_a_port_in_use_is_told_with_the_remedy() -> None:
    with server.bind(Config(server=Server(port=0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"port {port} .* in use; .*--port"):
            server.bind(Config(server=Server(port=port)))


def test_a_host_that_is_not_this_machine_is_told() -> None:
    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1.*choose one of its own"):
        server.bind(Config(server=Server(host="192.0.2.1", port=0, token="t")))


def test_systemd_is_told_where_it_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))

        server.notify("READY=1")

        assert manager.recv(100) == b"READY=1"
