"""A small policy with numbers and a category, and decisions to explain."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.scenarios.explanations import Game, Group, Reference

OPTIONS = ("approve", "reject", "investigate")
GROUPS = (Group("amount", (0,)), Group("age", (1,)), Group("history", (2,)), Group("channel", (3, 4, 5)))


def rows_of(count: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(count, 3))
    numbers[:, 1] += numbers[:, 0]
    return np.concatenate([numbers, np.eye(3)[generator.integers(3, size=count)]], axis=1)


def logits(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    generator = np.random.default_rng(7)
    first, second = generator.normal(size=(6, 16)), generator.normal(size=(16, 3))
    return np.tanh(rows @ first) @ second


@pytest.fixture(scope="session")
def game() -> Game:
    return Game(logits, GROUPS, Reference(rows=rows_of(200, seed=1), query="decisions of triage"), OPTIONS)


@pytest.fixture(scope="session")
def cases() -> NDArray[np.float64]:
    return rows_of(60, seed=2)
