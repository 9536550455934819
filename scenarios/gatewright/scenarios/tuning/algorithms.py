"""Algorithms by name: their settings, where a search looks for better ones, and how they learn."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from gatewright.agents.errors import MissingExtraError, UsageError
from gatewright.environments.simulators import Simulator
from gatewright.runtime.policies.networks import Network

from . import logistic, tabular
from .logs import Rows

if TYPE_CHECKING:
    from .deep import Deep

Name = Literal["logistic", "q-learning", "dqn", "ppo", "maskable-ppo"]
Value: TypeAlias = bool | int | float | str | None

SIMPLICITY = ("rules", "majority", "logistic", "q-learning", "dqn", "ppo", "maskable-ppo")
"""Simplest first: of two policies that are as good, the one that comes first here is proposed."""


class Span(NamedTuple):
    """Numbers from `low` to `high`, searched by their logarithms."""

    low: float
    high: float


class Lesson(NamedTuple):
    """What a training is given. `rows` were logged; `first` is the first of its seeds of simulated worlds, `seed` the
    learner's own; `steps` is how many decisions it may make."""

    simulator: Simulator
    rows: Rows
    first: int
    seed: int
    steps: int
    settings: Mapping[str, Value]
    progress: Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A way to learn. `steps`: decisions that it makes if nothing else is said, 0 if it learns from the log alone."""

    name: Name
    steps: int
    settings: Mapping[str, Value]
    space: Mapping[str, Span | tuple[Value, ...]]
    learn: Callable[[Lesson], Network]
    libraries: tuple[str, ...] = ("numpy",)
    threads: int | None = field(default=None)

    def versions(self) -> dict[str, str]:
        """The versions of the libraries that weights depend on."""
        return {name: importlib.metadata.version(name) for name in self.libraries}


def named(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        UsageError: there is none.
        MissingExtraError: what it needs is not installed.
    """
    found = ALGORITHMS.get(name)
    if found is None:
        raise UsageError(f"there is no algorithm {name!r}; there are {', '.join(ALGORITHMS)}")
    if found.threads is not None:
        _deep(name)
    return found


def learner_seed(seed: int, number: int) -> int:
    """The seed of the learner of a training, below 2**32."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _logistic(lesson: Lesson) -> Network:
    return logistic.fit(lesson.rows, ridge=_number(lesson, "ridge"))


def _tabular(lesson: Lesson) -> Network:
    return tabular.learn(
        lesson.simulator,
        first=lesson.first,
        seed=lesson.seed,
        steps=lesson.steps,
        exploration=_number(lesson, "exploration"),
        progress=lesson.progress,
    )


def _number(lesson: Lesson, name: str) -> float:
    return float(lesson.settings[name] or 0.0)


def _deep(name: str) -> None:
    try:
        importlib.import_module("gatewright.scenarios.tuning.deep")
    except ImportError as error:
        raise MissingExtraError(f"the algorithm {name!r}", "tune", error) from error


def _learnt_deeply(algorithm: Deep, lesson: Lesson) -> Network:
    from . import deep

    return deep.learn(
        algorithm,
        lesson.simulator,
        first=lesson.first,
        seed=lesson.seed,
        steps=lesson.steps,
        settings=lesson.settings,
        progress=lesson.progress,
    )


_NETWORK: Mapping[str, Value] = {"learning_rate": 1e-3, "width": 64, "layers": 2}
_NETWORKS: Mapping[str, Span | tuple[Value, ...]] = {"learning_rate": Span(2e-4, 1e-2), "width": (32, 64, 128)}
_LIBRARIES = ("numpy", "torch", "stable-baselines3", "gymnasium")


def _gradient(name: Literal["ppo", "maskable-ppo"], *libraries: str) -> Algorithm:
    return Algorithm(
        name=name,
        steps=1_000_000,
        settings={**_NETWORK, "epochs": 4, "entropy": 0.01},
        space={**_NETWORKS, "epochs": (2, 4, 10), "entropy": (0.0, 0.003, 0.01, 0.03)},
        learn=functools.partial(_learnt_deeply, name),
        libraries=(*_LIBRARIES, *libraries),
        threads=1,
    )


ALGORITHMS: Mapping[str, Algorithm] = {
    found.name: found
    for found in (
        Algorithm(name="logistic", steps=0, settings={"ridge": 1.0}, space={"ridge": Span(1e-2, 1e3)}, learn=_logistic),
        Algorithm(
            name="q-learning",
            steps=8_000_000,
            settings={"exploration": 0.3},
            space={"exploration": (0.05, 0.1, 0.3, 1.0)},
            learn=_tabular,
        ),
        Algorithm(
            name="dqn",
            steps=500_000,
            settings={**_NETWORK, "exploration_fraction": 0.5},
            space={**_NETWORKS, "exploration_fraction": (0.2, 0.5, 0.8)},
            learn=functools.partial(_learnt_deeply, "dqn"),
            libraries=_LIBRARIES,
            threads=1,
        ),
        _gradient("ppo"),
        _gradient("maskable-ppo", "sb3-contrib"),
    )
}
