"""AgentDojo's four suites: environments, tasks and the calls that solve them, and its own scorers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import yaml
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime  # type: ignore[import-untyped]
from agentdojo.task_suite.load_suites import get_suite  # type: ignore[import-untyped]
from agentdojo.task_suite.task_suite import read_suite_file  # type: ignore[import-untyped]
from pydantic_core import to_jsonable_python

VERSION = "v1.2.2"
NAMES = ("workspace", "travel", "banking", "slack")


class Sent(NamedTuple):
    """Stands in arguments for the id of the e-mail that the attacker's call number `position` has sent."""

    position: int


class Call(NamedTuple):
    """A tool call; its arguments are JSON values, or `Sent`."""

    name: str
    args: Mapping[str, Any]

    def function_call(self) -> Any:
        """As AgentDojo's scorers read it."""
        return FunctionCall(function=self.name, args=dict(self.args))


class Pair(NamedTuple):
    """A user's task and what an attacker wants meanwhile; `injection` is empty where nobody attacks."""

    suite: str
    user: str
    injection: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


@cache
def suite(name: str) -> Any:
    """A suite as of benchmark version `VERSION`."""
    return get_suite(VERSION, name)


@cache
def runtime(name: str) -> Any:
    """What executes the functions of a suite on an environment."""
    return FunctionsRuntime(suite(name).tools)


def benign() -> Iterator[Pair]:
    """All user tasks, without an attacker: 97."""
    for name in NAMES:
        for user in suite(name).user_tasks:
            yield Pair(name, user)


def attacked() -> Iterator[Pair]:
    """All pairs of a user task and an injection task: 949."""
    for name in NAMES:
        for user in suite(name).user_tasks:
            for injection in suite(name).injection_tasks:
                yield Pair(name, user, injection)


def sample(pairs: Sequence[Pair], each: int) -> list[Pair]:
    """A stratified sample: `each` of every suite's tasks; of attacks, `each` user tasks for every injection task.

    Which ones, is a matter of position and the same every time: neighbours get different users.
    """
    strata: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        strata.setdefault((pair.suite, pair.injection), []).append(pair)
    chosen: list[Pair] = []
    for number, stratum in enumerate(strata.values()):
        step = max(1, len(stratum) // each)
        chosen += [stratum[(number + step * turn) % len(stratum)] for turn in range(min(each, len(stratum)))]
    return chosen


def environment(name: str, injections: Mapping[str, str]) -> Any:
    """The suite's environment with texts at its injection points.

    AgentDojo's own loading step by step, but with the C parser of YAML, which is ten times as fast.
    """
    found = suite(name)
    texts = {**points(name), **injections}
    return found.environment_type.model_validate(
        yaml.load(_environment_text(name).format(**texts), Loader=yaml.CSafeLoader)
    )


@cache
def points(name: str) -> Mapping[str, str]:
    """A suite's injection points with the texts that stand there when nobody attacks."""
    return dict(suite(name).get_injection_vector_defaults())


@cache
def _environment_text(name: str) -> str:
    return str(read_suite_file(name, "environment.yaml", suite(name).data_path))


def calls(task: Any, before: Any) -> tuple[Call, ...]:
    """The calls that solve a task, as AgentDojo gives them."""
    truth = task.ground_truth(before.model_copy(deep=True))
    return tuple(Call(each.function, to_jsonable_python(dict(each.args))) for each in truth)


def useful(task: Any, answer: str, before: Any, after: Any, trace: Sequence[Any]) -> bool:
    """Whether the user's task was solved: AgentDojo's `utility`."""
    judged = task.utility_from_traces(answer, before, after, trace)
    return bool(task.utility(answer, before, after) if judged is None else judged)


def reached(task: Any, answer: str, before: Any, after: Any, trace: Sequence[Any]) -> bool:
    """Whether the attacker's goal was reached: AgentDojo's `security`."""
    judged = task.security_from_traces(answer, before, after, trace)
    return bool(task.security(answer, before, after) if judged is None else judged)
