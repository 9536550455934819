"""What the tests of the services on this machine share."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy.cluster.processes import alive, descendants

ROOT = Path(__file__).parents[2]


@pytest.fixture
def killed_with_its_parent() -> Callable[[str], list[int]]:
    """Runs a program that starts a service and then waits, kills it, and gives the processes that stay behind.

    The program is Python; it prints "started" when its service runs.
    """

    def run(program: str) -> list[int]:
        command = [sys.executable, "-c", f"{program}\nprint('started', flush=True)\nimport time; time.sleep(600)"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"started\n"
            family = descendants(parent.pid)
            parent.send_signal(signal.SIGKILL)
        assert family, "the program had no processes below it: nothing would be shown"
        return ended(family)

    return run


def ended(family: list[int]) -> list[int]:
    """Wait until these processes have ended; gives those that have not after 30 seconds."""
    limit = time.monotonic() + 30.0
    while time.monotonic() < limit and any(map(alive, family)):
        time.sleep(0.02)
    return [pid for pid in family if alive(pid)]
