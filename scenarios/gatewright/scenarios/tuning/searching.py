"""Searching for settings with Optuna: each trial is the median over several seeds, the same ones for every trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gatewright.agents.errors import MissingExtraError

from .algorithms import Algorithm, Span, Value

if TYPE_CHECKING:
    import optuna

Search = Literal["grid", "random", "bayesian"]
"""`grid`: every combination (three of a span of numbers) · `random` · `bayesian`: tree-structured Parzen estimators."""


class Tried(NamedTuple):
    """What came of settings with one seed. `broken`: the limits that were not kept."""

    reward: float
    broken: tuple[str, ...]


class Trial(NamedTuple):
    """A trial: `rewards` by seed, and their median, None where limits were not kept with half of the seeds or more."""

    settings: dict[str, Value]
    rewards: list[float]
    median: float | None


def search(
    algorithm: Algorithm, how: Search, trials: int, seed: int, evaluate: Callable[[Mapping[str, Value]], list[Tried]]
) -> list[Trial]:
    """Try settings; the best of what keeps the limits comes first, the rest in the order of their medians.

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("a search for settings", "tune", error) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: list[Trial] = []

    def objective(trial: optuna.Trial) -> float:
        settings = dict(algorithm.settings) | {
            name: _suggested(trial, name, algorithm.space) for name in algorithm.space
        }
        tried = evaluate(settings)
        rewards = [each.reward for each in tried]
        kept = sum(not each.broken for each in tried) * 2 > len(tried)
        found.append(Trial(settings, rewards, _median(rewards) if kept else None))
        if not kept:
            raise optuna.TrialPruned
        return _median(rewards)

    study = optuna.create_study(direction="maximize", sampler=_sampler(how, algorithm, seed))
    study.optimize(objective, n_trials=trials)
    return sorted(found, key=lambda trial: -math.inf if trial.median is None else trial.median, reverse=True)


def _sampler(how: Search, algorithm: Algorithm, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if how == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if how == "bayesian":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5)
    grid = {name: _levels(where) for name, where in algorithm.space.items()}
    return optuna.samplers.GridSampler(grid, seed=seed)


def _levels(where: Span | tuple[Value, ...]) -> list[Any]:
    if isinstance(where, Span):
        return [where.low, math.sqrt(where.low * where.high), where.high]
    return list(where)


def _suggested(trial: optuna.Trial, name: str, space: Mapping[str, Span | tuple[Value, ...]]) -> Value:
    where = space[name]
    if isinstance(where, Span):
        return trial.suggest_float(name, where.low, where.high, log=True)
    return trial.suggest_categorical(name, list(where))


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
