"""Worker processes that run trials: each its own service, and none that hangs or dies takes another's trial along."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from gatewright.runtime.config import Config
from gatewright.scenarios.gate.trials import Trial

from .bench import Bench
from .cases import Case
from .documents import Suite

GRACE = 30.0  # seconds beyond a case's limit before the process that runs it is ended
STARTING = 300.0  # seconds that a process may take to import what it needs
READY = None  # the first word of a process
_SPAWN = multiprocessing.get_context("spawn")  # a fork would share what libraries hold open


class Task(NamedTuple):
    """A trial to be run."""

    case: Case
    number: int


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """What every worker process is given. `path`: where modules are imported from."""

    config: Config
    suite: Suite
    path: tuple[str, ...]


class _Member:
    """A worker process, and what it is doing."""

    def __init__(self, outfit: Outfit, folder: Path) -> None:
        self.line, theirs = _SPAWN.Pipe()
        self._process: SpawnProcess = _SPAWN.Process(target=work, args=(theirs, outfit, str(folder)), daemon=True)
        start(self._process)
        theirs.close()
        self.task: Task | None = None
        self.deadline = 0.0
        self._ready = False

    def give(self, task: Task) -> None:
        self.task = task
        self._count_down()
        with suppress(OSError):  # it has died, which is seen when it is listened to
            self.line.send(task)

    def hear(self) -> tuple[Trial, bool] | None:
        """The row of its trial and whether it takes more; None where it has only said that it is ready.

        Raises:
            EOFError: it died.
        """
        try:
            found: tuple[Trial, bool] | None = self.line.recv()
        except OSError as error:
            raise EOFError from error
        if found is READY:
            self._ready = True
            self._count_down()
        return found

    def _count_down(self) -> None:
        assert self.task is not None
        self.deadline = time.monotonic() + (self.task.case.seconds + GRACE if self._ready else STARTING)

    def how_it_died(self) -> str:
        self._process.join(GRACE)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.line.close()


def run(outfit: Outfit, tasks: Iterable[Task], *, jobs: int) -> Generator[Trial]:
    """The rows of trials as they come in, `jobs` of them at the same time.

    Abandoning the generator ends the workers.
    """
    left = deque(tasks)
    members: list[_Member] = []
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="gatewright-", ignore_cleanup_errors=True))
        )
        stack.callback(_end, members)
        while left or any(member.task for member in members):
            while left and len(members) < jobs:
                members.append(_Member(outfit, folder))
            for member in members:
                if member.task is None and left:
                    member.give(left.popleft())
            yield from _collected(members)


def _end(members: list[_Member]) -> None:
    for member in members:
        member.end()


def _collected(members: list[_Member]) -> Generator[Trial]:
    """What came in, or is overdue; waits for the first of it."""
    busy = {member.line: member for member in members if member.task is not None}
    patience = max(0.0, min(member.deadline for member in busy.values()) - time.monotonic())
    for line in connection.wait(list(busy), timeout=patience):
        member = busy[line]  # type: ignore[index]  # the stubs allow for sockets, too
        task = member.task
        assert task is not None
        try:
            found = member.hear()
        except EOFError:
            member.task = None
            members.remove(member)
            why = f"the process that ran it {member.how_it_died()}"
            member.end()
            yield failed(task, why)
            continue
        if found is not None:
            member.task = None
            if not found[1]:
                members.remove(member)
                member.end()
            yield found[0]
    for member in busy.values():
        if member.task is not None and time.monotonic() >= member.deadline:
            task = member.task
            members.remove(member)
            member.end()
            yield failed(task, f"it could not be ended after {task.case.seconds:g} s, the limit of the case")


def failed(task: Task, why: str) -> Trial:
    """The row of a trial of which nothing else is known."""
    case = task.case
    return Trial(
        case=case.id,
        trial=task.number,
        success=False,
        severity=case.severity,
        tags=case.tags,
        group=case.group,
        note=f"error: {why}",
    )


def start(process: SpawnProcess) -> None:
    """Start a process that does not hear Ctrl-C, not even while it begins: its parent does, and ends it."""
    resource_tracker.ensure_running()  # else it begins with the process, and lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child has the mask of its parent
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(line: Connection, outfit: Outfit, folder: str) -> None:
    """What a worker process does: trials that it is given, until nobody gives it any."""
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    tempfile.tempdir = folder
    sys.path[:0] = [place for place in outfit.path if place not in sys.path]
    asyncio.run(_work(line, outfit))
    os._exit(0)  # threads of a trial that was ended may still be at work, and nobody waits for them


async def _work(line: Connection, outfit: Outfit) -> None:
    async with Bench(outfit.config, outfit.suite) as bench:
        line.send(READY)
        while True:
            try:
                task: Task = await asyncio.to_thread(line.recv)
            except EOFError:
                return
            try:
                trial = await bench.trial(task.case, task.number)
            except Exception as error:  # of a world or a library: nothing is known of the state that it left
                where = traceback.extract_tb(error.__traceback__)[-1]
                why = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
                trial, bench.worn = failed(task, why), True
            line.send((trial, not bench.worn))
            if bench.worn:
                os._exit(0)


def _end_with_parent(folder: str) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
