"""What the tests of the services on this machine and of the files for operators share."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import pytest
from deploy.cluster.processes import alive, descendants
from tests import needs

from gatewright.runtime.cli import main
from gatewright.runtime.config import PREFIX, Config, load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def left() -> Callable[[list[int]], list[int]]:
    """Waits until these processes have ended and gives those that have not after 30 seconds."""

    def wait(family: list[int]) -> list[int]:
        limit = time.monotonic() + 30.0
        while time.monotonic() < limit and any(map(alive, family)):
            time.sleep(0.02)
        return [pid for pid in family if alive(pid)]

    return wait


@pytest.fixture
def left_by_a_killed_parent(left: Callable[[list[int]], list[int]]) -> Callable[[str], list[int]]:
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
        return left(family)

    return run


@pytest.fixture(scope="session")
def needed() -> Callable[[str | None], None]:
    """Given why a program cannot be used, skips a test at a desk and fails it in CI; nothing where it can."""

    def check(missing: str | None) -> None:
        if missing is not None:
            needs.missing(missing)

    return check


@pytest.fixture(scope="session")
def takes() -> Callable[[Sequence[str]], None]:
    """Raises `click.UsageError` for words behind `gatewright` that it does not take."""

    def check(words: Sequence[str]) -> None:
        tool: click.Command = main
        context = click.Context(main, info_name="gatewright")
        rest = list(words)
        while isinstance(tool, click.Group):
            name, *rest = tool.make_parser(context).parse_args(rest)[1]
            found = tool.get_command(context, name)
            if found is None:
                raise click.NoSuchCommand(name, ctx=context)
            tool, context = found, click.Context(found, info_name=name, parent=context)
        tool.make_context(tool.name, rest, parent=context.parent)

    return check


@pytest.fixture
def configures(tmp_path: Path) -> Callable[[Mapping[str, str]], None]:
    """Raises `UsageError`, or fails, for an environment with a variable that sets nothing or does not fit."""

    def check(environment: Mapping[str, str]) -> None:
        load(environ=environment, cwd=tmp_path)
        ours = {name.removeprefix(PREFIX).split("__")[0].lower() for name in environment if name.startswith(PREFIX)}
        assert ours
        assert ours <= set(Config.model_fields)

    return check
