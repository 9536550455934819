"""A world of which all is known: what each option earns, how the log came about, what a policy is worth."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.scenarios.evaluation import Logged

Kind = Literal["smooth", "clicks", "skewed"]
Floats = NDArray[np.float64]

SLOPES = np.array([[1.0, 0.0, -1.0, 0.3], [0.0, 1.0, 0.5, -1.0], [0.2, -0.5, 1.0, 0.0]])
EXPLORED = 0.3  # share of the logged decisions


@dataclass(frozen=True)
class World:
    """`worth`: what the policy earns in expectation, over all that may happen."""

    kind: Kind
    worth: float

    def log(self, count: int, seed: int) -> Logged:
        """So many decisions of a rule that explores, with a mask, for a policy that is nearly greedy."""
        random = np.random.default_rng([seed, 17])
        seen, opened, chances, target = _drawn(count, random)
        actions = (random.random(count)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(0, 3)
        every = np.arange(count)
        mean = _means(self.kind, seen)[every, actions]
        if self.kind == "clicks":
            rewards = (random.random(count) < mean).astype(np.float64)
        elif self.kind == "skewed":
            rewards = mean * np.exp(0.5 * random.normal(size=count) - 0.125)
        else:
            rewards = mean + random.normal(size=count)
        return Logged(
            rewards=rewards,
            actions=actions,
            propensities=chances[every, actions],
            target=target,
            opened=opened,
            observations=seen,
        )


def _means(kind: Kind, seen: Floats) -> Floats:
    scores = seen @ SLOPES
    if kind == "clicks":
        return np.asarray(1 / (1 + np.exp(1 - scores)))
    if kind == "skewed":
        return np.asarray(np.exp(0.5 * scores + 0.125))
    return np.asarray(np.sin(2 * scores) + 0.3 * seen[:, :1] ** 2)  # no linear model has this form


def _drawn(count: int, random: np.random.Generator) -> tuple[Floats, NDArray[np.bool_], Floats, Floats]:
    seen = random.normal(size=(count, 3))
    every = np.arange(count)
    rule = (seen @ SLOPES[:, [1, 0, 3, 2]]).argmax(axis=1)
    opened = random.random((count, 4)) > 0.15
    opened[every, rule] = True
    chances = opened * (EXPLORED / opened.sum(axis=1))[:, None]
    chances[every, rule] += 1 - EXPLORED
    target = opened * (0.05 / opened.sum(axis=1))[:, None]
    target[every, np.where(opened, seen @ SLOPES, -np.inf).argmax(axis=1)] += 0.95
    return seen, opened, chances, target


@pytest.fixture(scope="session")
def world() -> Callable[[Kind], World]:
    @functools.cache
    def make(kind: Kind) -> World:
        random = np.random.default_rng(99)
        seen, _, _, target = _drawn(500_000, random)
        return World(kind, float((target * _means(kind, seen)).sum(axis=1).mean()))

    return make
