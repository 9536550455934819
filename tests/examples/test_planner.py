"""The planner reaches its goal by another way, whoever is killed meanwhile, and says so where it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import NotFoundError
from gatewright.runtime.config import load
from gatewright.runtime.service import Service

FOLDER = Path(__file__).parents[2] / "examples" / "planner"
DEMO = [sys.executable, "demo.py"]
DID = {
    "reserve the Harbour House": 1,
    "reserve 12 seats on the night train": 1,
    "order lunch for 12": 1,
    "invite the team": 1,
}


class Stage:
    """Where the example is played: the environment of its processes, and what they did to the world."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.world = folder / "world.jsonl"
        self.environ = {
            **os.environ,
            "PLANNER_WORLD": str(self.world),
            "GATEWRIGHT_DATA_DIR": str(folder / "data"),
            "GATEWRIGHT_DATABASE": database,
            "GATEWRIGHT_WORKER__LEASE": "2",
        }

    @property
    def done(self) -> Counter[str]:
        """What was done, and how often."""
        lines = self.world.read_text("utf-8").splitlines() if self.world.exists() else []
        return Counter(json.loads(line)["did"] for line in lines)

    @contextmanager
    def process(self, command: Sequence[str]) -> Generator[subprocess.Popen[str]]:
        """A process of the example, which is killed in the end."""
        with subprocess.Popen(
            command, cwd=FOLDER, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def begun(self) -> None:
        """Wait until something has been done."""
        end = time.monotonic() + 120
        while not self.done:
            assert time.monotonic() < end, "nothing was done"
            time.sleep(0.01)


def _achieved(process: subprocess.Popen[str]) -> None:
    told, _ = process.communicate(timeout=200)
    assert (process.returncode, told.splitlines()[-1]) == (0, "achieved"), told


def test_a_goal_is_achieved_although_the_process_is_killed_in_between(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    with stage.process(DEMO) as first:
        stage.begun()
        first.send_signal(signal.SIGKILL)
    with stage.process(DEMO) as second:
        _achieved(second)

    assert stage.done == DID


def test_a_goal_is_achieved_although_one_of_two_workers_is_killed(tmp_path: Path, database_url: str) -> None:
    stage = Stage(tmp_path, database_url)
    worker = [str(Path(sys.executable).with_name("gatewright")), "worker"]

    with ExitStack() as stack:
        demo = stack.enter_context(stage.process([*DEMO, "--no-execute"]))
        first, _second = (stack.enter_context(stage.process(worker)) for _ in range(2))
        stage.begun()
        first.send_signal(signal.SIGKILL)
        _achieved(demo)

    assert stage.done == DID


async def test_a_goal_that_cannot_be_reached_is_given_up_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("PLANNER_WORLD", str(tmp_path / "world.jsonl"))
    config = load(FOLDER / "gatewright.toml", environ={}, overrides={"data_dir": str(tmp_path / "data")})

    async with await Service.open(config) as service:
        await service.bus.publish("plan.goals", {"id": "m", "goal": "an offsite on the moon"}, key="m")
        report = await _report(service, "planner:m")

    assert report == {"goal": "m", "achieved": False, "reason": "venue: nobody flies there (tried 3 times)"}


async def _report(service: Service, thread_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            try:
                values = (await service.thread_state(thread_id))["values"]
            except NotFoundError:
                values = {}
            if "report" in values:
                return dict(values["report"])
            await asyncio.sleep(0.05)
