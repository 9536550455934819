"""Replay with the tools live: what models said is taken from the record, every tool call is executed in the world.

So the world is checked against the record, and the record against itself: each tool result and each reward must come
out as recorded, and each episode must be about what its task is about. Everything happens in memory, on copies of the
rows that are touched; a task's own solution is worked out once.
"""

from __future__ import annotations

import copy
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from gatewright.agents.errors import UsageError
from gatewright.environments.domains import AnyDomain, Called, Case, Held
from gatewright.environments.recordings import Recording
from gatewright.environments.rows import NoOverlay
from gatewright.scenarios import importers
from gatewright.scenarios.gate import statistics
from gatewright.scenarios.gate.recorded import is_success

Kind = Literal["tool_result", "reward", "task"]
"""`tool_result`: a call was answered otherwise · `reward`: the episode is worth something else · `task`: the episode is
attached to a task that it is not about."""


class Ratio(BaseModel):
    """So many of so many."""

    equal: int = 0
    total: int = 0

    def count(self, equal: bool) -> None:
        """Add one comparison."""
        self.equal += equal
        self.total += 1


class Divergence(BaseModel):
    """Where an episode differs from its record. `call` counts the episode's answered calls from 0."""

    episode: str
    task: str
    trial: int
    kind: Kind
    recorded: Any
    actual: Any
    call: int | None = None
    tool: str | None = None
    args: dict[str, Any] | None = None


class Report(BaseModel):
    """What a replay came to. `pass_k` is of the rewards that came out, for k up to the fewest trials of a task.

    `seconds` is wall-clock time from reading the file to the last comparison.
    """

    episodes: int = 0
    tool_results: Ratio = Field(default_factory=Ratio)
    rewards: Ratio = Field(default_factory=Ratio)
    pass_k: dict[str, float] = Field(default_factory=dict[str, float])
    diverged: list[Divergence] = Field(default_factory=list[Divergence])
    seconds: float = 0.0


class Replay(BaseModel):
    """A report, and the rewards it is about: those that came out, by task, one for each trial.

    `world` is the name of the domain that the tools were executed in.
    """

    world: str
    report: Report
    rewards: dict[str, list[float]]


def replay(path: Path, data: Path | None = None) -> Replay:
    """Execute again all that the tools did in the episodes of a file.

    Args:
        data: the folder with the world's data set; without it, the folder of the file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else than episodes of a world, or no data set is at hand.
        UnavailableError: the data set cannot be read.
    """
    began = time.perf_counter()
    found = importers.read(path)
    if found.domain is None:
        raise UsageError(f"the tools of the runs in {str(path)!r} are of no world; only their record can be replayed")
    if data is not None and not (data / found.domain.file).is_file():
        raise UsageError(f"there is no {found.domain.file} in {str(data)!r}, which the episodes in {str(path)!r} need")
    folder = data or found.data
    if folder is None:
        raise UsageError(
            f"there is no {found.domain.file} beside {str(path)!r}; name the folder of the world's data with --data"
        )
    result = _Replay(found.domain, folder.resolve()).of(found.recordings)
    result.report.seconds = round(time.perf_counter() - began, 3)
    return result


class _Replay:
    def __init__(self, domain: AnyDomain, folder: Path) -> None:
        self._domain = domain
        self._data = domain.load(folder)
        self._solutions: dict[str, Case] = {}
        self._report = Report()

    def of(self, recordings: Sequence[Recording]) -> Replay:
        rewards: dict[str, list[float]] = defaultdict(list)
        strangers = _strangers(recordings)
        for recording in recordings:
            self._report.episodes += 1
            rewards[recording.task_id].append(self._episode(recording, strangers.get(recording.id)))
        self._report.pass_k = pass_to_the(rewards)
        return Replay(world=self._domain.name, report=self._report, rewards=dict(rewards))

    def _episode(self, recording: Recording, stranger: str | None) -> float:
        """Compare one episode; gives the reward that came out, 0.0 where none can be worked out."""
        case: Case = self._domain.open(self._data, NoOverlay())
        made = [Called(name=call.name, args=call.args, by=call.by) for call in recording.calls]
        for number, (call, recorded) in enumerate(zip(made, recording.calls, strict=True)):
            self._call(recording, number, call, recorded.result, case)
        held = Held(changes=case.changes(), replies=recording.replies, calls=made)
        try:
            solution = self._solution(recording.task)
            reward: float | None = self._domain.reward(self._data, recording.task, held, solution)
            self._attached(recording, case, solution, stranger)
        except UsageError as error:
            reward = None
            self._differs(recording, "task", recorded=recording.task_id, actual=str(error))
        if recording.reward is not None:
            self._report.rewards.count(reward == recording.reward)
            if reward is not None and reward != recording.reward:
                self._differs(recording, "reward", recorded=recording.reward, actual=reward)
        return reward or 0.0

    def _call(self, recording: Recording, number: int, call: Called, recorded: str | None, case: Case) -> None:
        # The rows may keep parts of the arguments, and what is changed in them must not change the record.
        own = Called(name=call.name, args=copy.deepcopy(call.args), by=call.by)
        actual = self._domain.perform(case, own)
        self._report.tool_results.count(actual == recorded)
        if actual != recorded:
            details = {"call": number, "tool": call.name, "args": dict(call.args)}
            self._differs(recording, "tool_result", recorded=recorded, actual=actual, **details)

    def _solution(self, task: Mapping[str, Any]) -> Case:
        """The case that the task's own actions lead to; how an episode of it ended does not matter."""
        key = json.dumps({name: task[name] for name in task if name not in ("stopped", "judged")}, sort_keys=True)
        if key not in self._solutions:
            self._solutions[key] = self._domain.solution(self._data, task)
        return self._solutions[key]

    def _attached(self, recording: Recording, case: Case, solution: Case, stranger: str | None) -> None:
        """Tell where the episode was graded beside other actions, met other customers, or has another id's task."""
        if recording.graded is not None and recording.graded != recording.wanted:
            names = [action.name for action in recording.graded]
            self._differs(recording, "task", recorded=names, actual=[action.name for action in recording.wanted])
        met, meant = case.customers(), solution.customers()
        if met and meant and not met & meant:
            self._differs(recording, "task", recorded=sorted(met), actual=sorted(meant))
        if stranger is not None:
            self._differs(recording, "task", recorded=recording.task_id, actual=stranger)

    def _differs(self, recording: Recording, kind: Kind, *, recorded: Any, actual: Any, **details: Any) -> None:
        self._report.diverged.append(
            Divergence(
                episode=recording.id,
                task=recording.task_id,
                trial=recording.trial,
                kind=kind,
                recorded=recorded,
                actual=actual,
                **details,
            )
        )


def pass_to_the(rewards: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """pass^k for every k up to the fewest trials of a task: the chance that k trials of one task all succeed.

    The mean over tasks of `statistics.pass_k`. `rewards` has each task's rewards.
    """
    fewest = min((len(trials) for trials in rewards.values()), default=0)
    found: dict[str, float] = {}
    for k in range(1, fewest + 1):
        chances = [statistics.pass_k(_successes(trials), len(trials), k) or 0.0 for trials in rewards.values()]
        found[str(k)] = sum(chances) / len(chances)
    return found


def _successes(rewards: Sequence[float]) -> int:
    return sum(map(is_success, rewards))


def _strangers(recordings: Sequence[Recording]) -> dict[str, str]:
    """Episodes that have the task of at least as many episodes with another task id, and whose task that is."""
    ids: dict[str, Counter[str]] = defaultdict(Counter)
    asked = {each.id: text for each in recordings if (text := str(each.task.get("instruction") or ""))}
    for recording in recordings:
        if recording.id in asked:
            ids[asked[recording.id]][recording.task_id] += 1
    found: dict[str, str] = {}
    for recording in recordings:
        if recording.id in asked:
            counts = ids[asked[recording.id]]
            others = [name for name, count in counts.items() if count >= counts[recording.task_id]]
            found.update((recording.id, f"the task of {name!r}") for name in others if name != recording.task_id)
    return found


class Turned(BaseModel):
    """Tasks by id: `fixed` ones succeed more often with the candidate, `broken` ones less often.

    `unpaired` ones are in one of the files only.
    """

    fixed: list[str]
    broken: list[str]
    unpaired: list[str]


def turned(baseline: Replay, candidate: Replay) -> Turned:
    """The tasks that differ between two files, by the share of trials whose reward came out as 1.

    Raises:
        UsageError: the files are of different worlds, and the tasks of one are none of the other's.
    """
    if baseline.world != candidate.world:
        raise UsageError(
            f"the first file is of the world {baseline.world!r}, the second of {candidate.world!r}; "
            "name a baseline and a candidate on the same tasks"
        )
    before, after = (
        {task: _successes(trials) / len(trials) for task, trials in side.rewards.items()}
        for side in (baseline, candidate)
    )
    both = before.keys() & after.keys()
    return Turned(
        fixed=_ordered(task for task in both if before[task] < after[task]),
        broken=_ordered(task for task in both if before[task] > after[task]),
        unpaired=_ordered(before.keys() ^ after.keys()),
    )


def _ordered(tasks: Iterable[str]) -> list[str]:
    """By number where they are numbers: 9 before 10."""
    return sorted(tasks, key=lambda task: (len(task), task))
