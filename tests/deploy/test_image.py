"""The image: linted, made of what is in the checkout, and started with a command that exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from gatewright.runtime.cli.program import main
from gatewright.runtime.config import Server

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Dockerfile"


def lint(text: str) -> subprocess.CompletedProcess[str]:
    """hadolint on a Dockerfile."""
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, "-"], input=text, capture_output=True, text=True, timeout=60)


def instruction(name: str) -> str:
    """What follows the last instruction of this name."""
    text = FILE.read_text("utf-8").replace("\\\n", " ")
    return [match[1] for match in re.finditer(rf"^{name}\s+(.*)$", text, re.MULTILINE)][-1]


def test_the_linter_finds_nothing() -> None:
    done = lint(FILE.read_text("utf-8"))

    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_finds_a_mistake() -> None:
    assert lint(FILE.read_text("utf-8").replace("python:3.11-slim-bookworm", "python")).returncode == 1


def test_it_starts_a_service_that_refuses_to_listen_without_a_token(takes: Callable[[Sequence[str]], None]) -> None:
    command = json.loads(instruction("CMD"))

    takes(command)
    assert json.loads(instruction("ENTRYPOINT")) == [main.name]
    assert command == ["serve", "--host", "0.0.0.0"]


def test_it_runs_as_nobody_in_particular_and_ends_by_sigterm() -> None:
    assert instruction("USER") == "10001:10001"
    assert instruction("STOPSIGNAL") == "SIGTERM"


def test_it_is_healthy_when_the_service_can_take_work() -> None:
    port = Server().port

    assert f"http://127.0.0.1:{port}/readyz" in instruction("HEALTHCHECK")
    assert instruction("EXPOSE") == str(port)


def test_it_is_built_from_all_that_the_wheel_holds_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = {
        *project["tool"]["hatch"]["build"]["dev-mode-dirs"],
        *project["project"]["license-files"],
        project["project"]["readme"],
        "pyproject.toml",
    }
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()

    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == needed


def test_its_extras_exist() -> None:
    extras = re.search(r"\[([a-z,]+)\]\"", FILE.read_text("utf-8"))
    assert extras is not None
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]

    assert set(extras[1].split(",")) <= set(offered)
