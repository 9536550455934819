"""Running a suite: which trials are left to do, done by worker processes, into a result file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import closing, nullcontext
from pathlib import Path
from typing import NamedTuple

from gatewright.runtime.config import Config
from gatewright.scenarios.episodes.files import versions
from gatewright.scenarios.gate import trials
from gatewright.scenarios.gate.trials import Header, Table, Trial
from gatewright.scenarios.replay import release as releases

from . import cases, crew, release
from .bench import configured
from .cases import Case
from .crew import Outfit, Task
from .documents import Read
from .results import ResultFile

Step = Callable[[int], None]


class Prepared(NamedTuple):
    """A suite that can be run: its cases, and the header of its results."""

    read: Read
    cases: list[Case]
    header: Header
    config: Config

    @property
    def tasks(self) -> list[Task]:
        """All trials: the first of each case before the second of any, so that what was broken off covers all cases."""
        most = max((case.trials for case in self.cases), default=0)
        return [Task(case, number) for number in range(most) for case in self.cases if number < case.trials]


def prepare(
    read: Read, config: Config, *, name: str, only: Collection[str] = (), of_each: int | None = None
) -> Prepared:
    """Load the deployment and the cases.

    Args:
        name: what reports call the result.
        only: ids of cases; empty for all.
        of_each: trials of each case, whatever the suite says.

    Raises:
        UsageError: the suite, the configuration or a file does not fit the others.
    """
    settings = configured(config, read.suite, config.data_dir)
    deployment = read.suite.deployment
    with releases.loaded(settings) as ours:
        loaded = ours.deployment(deployment)
        world = cases.simulated(loaded.world, deployment)
        about = {
            "suite": read.digest(),
            "release": release.digest(settings.deployments[deployment], loaded),
            "title": f"{read.suite.suite} {read.suite.version}",
            "deployment": deployment,
            "seed": str(read.suite.seed),
            "gatewright": versions()["gatewright"],
        }
        found = cases.resolved(read, world, only=only, trials=of_each)
    return Prepared(read, found, Header(name=name, about=about), config)


def run(prepared: Prepared, output: Path | None, *, jobs: int = 1, step: Step = lambda done: None) -> Table:
    """Run the trials that are not in `output` yet; gives those of this suite, in its order.

    Args:
        output: the result file; without, nothing is kept.
        step: told of each trial that is done.

    Raises:
        UnavailableError: another process writes to the file.
        UsageError: it holds trials of another suite or release.
    """
    order = [case.id for case in prepared.cases]
    outfit = Outfit(config=prepared.config, suite=prepared.read.suite, path=tuple(sys.path))
    file = nullcontext() if output is None else ResultFile(output, prepared.header)
    with file as kept:
        rows: list[Trial] = [] if kept is None else list(kept.done)
        done = {(row.case, row.trial) for row in rows}
        left = [task for task in prepared.tasks if (task.case.id, task.number) not in done]
        step(len(prepared.tasks) - len(left))
        with closing(crew.run(outfit, left, jobs=jobs)) as coming:
            for row in coming:
                rows.append(row)
                if kept is not None:
                    kept.add(row)
                step(1)
        wanted = {(task.case.id, task.number) for task in prepared.tasks}
        if kept is not None:
            kept.finish(order)
        places = {case: place for place, case in enumerate(order)}
        chosen = [row for row in rows if (row.case, row.trial) in wanted]
        chosen.sort(key=lambda row: (places[row.case], row.trial))
        return trials.table(prepared.header.name, chosen, prepared.header.about)
