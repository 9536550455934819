"""The processes of the service, as their users start them: `gatewright serve` and `gatewright worker`."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.cluster.processes import Service, free_port

PROGRAM = Path(sys.executable).with_name("gatewright")
ROOT = Path(__file__).parents[2]
NAME = "CHAOS_PROCESS"  # environment variable: who a process is, for the record of the world outside
START = 120.0  # seconds a process may take to start while all others work


class Process:
    """One process that is started again and again, always with the same log and, where it serves, the same port.

    Args:
        before: what its command begins with, such as `ip netns exec NAME`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        before: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.lives = 0
        self._folder = folder
        self._command = [*before, str(PROGRAM), *arguments]
        self._environ = {**environ, NAME: name, "PYTHONPATH": search_path()}
        self._service: Service | None = None

    def start(self) -> None:
        """Start it; does not wait for it to be ready."""
        self._service = Service(self._command, log=self._folder / f"{self.name}.log", environ=self._environ)
        self.lives += 1

    def kill(self) -> None:
        """SIGKILL, for it and its children."""
        if self._service is not None:
            self._service.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        if self._service is not None:
            self._service.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self._service is not None:
            self._service.send(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        if self._service is not None:
            self._service.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._service is not None and self._service.running

    def said(self) -> str:
        """The end of its log."""
        return self._service.said() if self._service is not None else ""


class Serve(Process):
    """A process that serves, at a port of its own."""

    def __init__(self, folder: Path, name: str, *, environ: Mapping[str, str]) -> None:
        self.port = free_port()
        super().__init__(folder, name, ["serve", "--port", str(self.port), "--json"], environ=environ)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Until it takes work.

        Raises:
            UnavailableError: it ended, or does not answer.
        """
        assert self._service is not None
        self._service.wait_until(self._ready, seconds=START)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5.0):
                return True
        except OSError:
            return False


class Worker(Process):
    """A process that executes runs and serves nobody."""

    def __init__(self, folder: Path, name: str, *, environ: Mapping[str, str], before: Sequence[str] = ()) -> None:
        super().__init__(folder, name, ["worker", "--json"], environ=environ, before=before)


class Outside(Process):
    """The world outside, which is never disturbed."""

    def __init__(self, folder: Path, place: Path, record: Path) -> None:
        super().__init__(folder, "outside", [], environ={})
        self._command = [sys.executable, "-m", "benchmarks.chaos.outside", str(place), str(record)]
        self._place = place

    def wait(self) -> None:
        """Until it answers."""
        limit = time.monotonic() + START
        while not self._place.exists():
            if time.monotonic() > limit or not self.running:
                raise RuntimeError(f"the world outside did not start; it said {self.said()!r}")
            time.sleep(0.02)


def search_path() -> str:
    """What our processes import from: this checkout first."""
    return os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
