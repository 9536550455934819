"""The service as its users run it, and the measuring client: processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from .graphs import INPUT, NODES

PROGRAM = Path(sys.executable).with_name("gatewright")
ROOT = Path(__file__).parents[1]
_PATHS = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
START = 60.0  # seconds a service may take to answer
STOP = 40.0  # seconds a service may take to drain


class Server:
    """A `gatewright` process that serves."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process = process
        self.url = url
        self.pid = process.pid

    @classmethod
    async def start(cls, folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Self:
        """Start `gatewright ARGUMENTS` in `folder` and wait until it answers."""
        log = folder / "service.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [str(PROGRAM), *arguments, "--port", "0", "--json"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS), **(environ or {})},
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdout is not None
        reading = asyncio.to_thread(_first_object, process)
        try:
            async with asyncio.timeout(START):
                told = await reading
        except TimeoutError:
            process.kill()
            told = None
        if told is None or "url" not in told:
            process.kill()
            raise RuntimeError(f"the service did not start; it said: {log.read_text('utf-8')[-2000:]!r}")
        return cls(process, told["url"])

    def get(self, path: str) -> Any:
        """The answer to a GET, decoded."""
        with urllib.request.urlopen(self.url + path, timeout=START) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        """The answer to a POST, decoded."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=START) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.kill()


def _first_object(process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    """The JSON object that a service prints when it is ready; None if it ended without."""
    assert process.stdout is not None
    text = b""
    for line in process.stdout:
        text += line
        with suppress(ValueError):
            found: dict[str, Any] = json.loads(text)
            return found
    return None


@asynccontextmanager
async def serving(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> AsyncGenerator[Server]:
    """A service that is stopped in the end."""
    server = await Server.start(folder, *arguments, environ=environ)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


class Sample(NamedTuple):
    """What the client measured: `times` in milliseconds, `seconds` for all of it."""

    times: list[float]
    seconds: float

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds


class Client:
    """The measuring client, told what to do."""

    def __init__(self, process: asyncio.subprocess.Process, server: Server) -> None:
        self._process = process
        address = urlsplit(server.url)
        self._place = {"host": address.hostname, "port": address.port}

    async def measure(self, deployment: str, count: int, *, at_once: int = 1, **order: Any) -> Sample:
        """Let the client start `count` runs, `at_once` of them in flight."""
        assert self._process.stdin is not None and self._process.stdout is not None
        whole = {
            **self._place,
            "deployment": deployment,
            "input": INPUT,
            "nodes": len(NODES),
            "count": count,
            "at_once": at_once,
            "measure": "wait",
            **order,
        }
        self._process.stdin.write(json.dumps(whole).encode() + b"\n")
        answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the measuring client gave up; its reason is above")
        return Sample(**json.loads(answer))


@asynccontextmanager
async def measuring(server: Server) -> AsyncGenerator[Client]:
    """A measuring client for a service."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.client",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Client(process, server)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def configuration(folder: Path, graphs: tuple[str, ...]) -> None:
    """Write the `gatewright.toml` of a service of graphs of `benchmarks.graphs`."""
    folder.mkdir(parents=True, exist_ok=True)
    deployments = "".join(f'[deployments.{name}]\ngraph = "benchmarks.graphs:{name}"\n' for name in graphs)
    (folder / "gatewright.toml").write_text(f'data_dir = "data"\n{deployments}', "utf-8")
