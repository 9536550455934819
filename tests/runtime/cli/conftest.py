"""The command line in a folder of its own, in process and as a real program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from gatewright.runtime.cli import main

PROGRAM = Path(sys.executable).with_name("gatewright")


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Project:
    """A folder made by `gatewright init`."""

    path: Path

    def __call__(self, *args: str, input: str | None = None) -> Result:
        """Run a command in this process."""
        result = CliRunner().invoke(main, list(args), input=input, catch_exceptions=False)
        return Result(result.exit_code, result.stdout, result.stderr)

    def program(self, *args: str, **environ: str) -> Result:
        """Run a command as a program."""
        done = subprocess.run(
            [str(PROGRAM), *args], cwd=self.path, env={**os.environ, **environ}, capture_output=True, text=True
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    made = Project(tmp_path)
    assert made("init").code == 0
    return made


@pytest.fixture
def serving(project: Project) -> Generator[Callable[..., str]]:
    """Starts `gatewright serve` in the project; gives its URL."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, command: str = "serve") -> str:
        process = subprocess.Popen(
            [str(PROGRAM), command, "--json", "--port", "0", *options],
            cwd=project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        return str(json.loads(line)["url"])

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=60)
