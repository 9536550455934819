"""What the service and the command line weigh: memory when idle, and the time to say `--help`.

Memory is the resident set of `gatewright dev` once it has held the sample conversations of the support team. Beside it:
a Python process that has imported LangGraph with its SQLite checkpointer and executed one graph.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import servers
from .figures import Bar, Figure, Pair, compare, say
from .program import Setting, main
from .servers import PROGRAM, ROOT, Server

MEMORY = Bar(value=200.0, sense="at most", of="ours")
HELP = Bar(value=3.0, sense="at most")
QUIET = 3.0  # seconds without work after which the service is idle
PATIENCE = 120.0  # seconds the sample conversations may take

_BARE = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from benchmarks.graphs import INPUT, silent
async def go():
    async with AsyncSqliteSaver.from_conn_string(":memory:") as saver:
        await silent.compile(checkpointer=saver).ainvoke(INPUT, {"configurable": {"thread_id": "one"}})
asyncio.run(go())
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


class Cost(NamedTuple):
    """Of a process, from its start to its end, in seconds."""

    wall: float
    cpu: float


def _resident(pid: int) -> float:
    """The resident set of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


async def _idle(server: Server) -> None:
    """Wait until there have been runs and none moves any more."""
    deadline, quiet = time.monotonic() + PATIENCE, time.monotonic()
    while time.monotonic() - quiet < QUIET:
        await asyncio.sleep(0.2)
        runs = [run for status in ("queued", "running") for run in server.get(f"/v1/runs?status={status}")]
        # A run that waits for a person holds up those behind it on its thread; they are queued and do not move.
        waiting = {run["thread_id"] for run in server.get("/v1/runs?status=waiting")}
        if not server.get("/v1/runs?limit=1") or any(run["thread_id"] not in waiting for run in runs):
            quiet = time.monotonic()
        if time.monotonic() > deadline:
            raise RuntimeError(f"the sample conversations are not held after {PATIENCE} s")


async def _memory(setting: Setting) -> Figure:
    say("footprint: memory of the idle service")
    folder = setting.folder / "idle"
    folder.mkdir()
    async with servers.serving(folder, "dev") as server:
        await _idle(server)
        ours = _resident(server.pid)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BARE, str(ROOT), stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    reference = int(text) / 1024
    return Figure(
        name="idle_service_memory", unit="MB", ours=ours, reference=reference, ratio=ours / reference, bar=MEMORY
    )


def _cost(command: Sequence[str]) -> Cost:
    began = time.perf_counter()
    silence = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(command[0], list(command), os.environ, file_actions=silence)
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, command
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def _help(setting: Setting) -> list[Figure]:
    say("footprint: gatewright --help")
    ours = partial(_cost, [str(PROGRAM), "--help"])
    reference = partial(_cost, [sys.executable, "-c", "import click"])
    for command in (ours, reference):  # compiles what was not compiled yet
        command()
    pairs = [(ours(), reference()) for _ in range(setting.size(25, 3))]
    return [
        compare("help_wall", "ms", [Pair(a.wall * 1000, b.wall * 1000) for a, b in pairs], HELP),
        compare("help_cpu", "ms", [Pair(a.cpu * 1000, b.cpu * 1000) for a, b in pairs], HELP),
    ]


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures of the footprint."""
    return [await _memory(setting), *_help(setting)]


if __name__ == "__main__":
    main(measure, __doc__)
