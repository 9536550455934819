"""Tabular Q-learning (C. Watkins, Learning from Delayed Rewards, 1989), on columns cut into cells, for many copies.

Step sizes are one over the number of visits, so that where every episode is one decision long a value is the mean of
all that was earned there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gatewright.environments.simulators import Simulator
from gatewright.runtime.policies.networks import Table, table

from .choosers import drawn

COPIES = 1024
SAMPLE = 16  # cases of each copy that cuts are made from
MOST_LEVELS = 8  # of a column
PATIENCE = 1_000.0  # visits after which values of longer episodes forget: what comes later changes while it is learnt


class Values:
    """Values and visits by cell, which are taken in as they are met; arrays have a row for each known cell."""

    def __init__(self, cuts: Sequence[Sequence[float]], options: int) -> None:
        self._grid = table(cuts, {}, [0.0] * options)
        self._cuts = cuts
        self.cells = np.zeros(0, np.int64)
        self.values = np.zeros((0, options))
        self.visits = np.zeros((0, options))

    def rows(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """The rows of the cells that observations fall into; unknown cells get one of zeros."""
        found = self._grid.cells_of(observations)
        missing = np.setdiff1d(found, self.cells)
        if missing.size:
            places = np.searchsorted(self.cells, missing)
            self.cells = np.insert(self.cells, places, missing)
            self.values = np.insert(self.values, places, 0.0, axis=0)
            self.visits = np.insert(self.visits, places, 0.0, axis=0)
        return np.searchsorted(self.cells, found)

    def learn(
        self, rows: NDArray[np.int64], actions: NDArray[np.int64], targets: NDArray[np.float64], patience: float
    ) -> None:
        """Move the values of the options that were chosen towards their targets."""
        options = self.values.shape[1]
        places, where = np.unique(rows * options + actions, return_inverse=True)
        times, sums = np.bincount(where), np.bincount(where, targets)
        values, visits = self.values.reshape(-1), self.visits.reshape(-1)  # views
        visits[places] += times
        share = np.minimum(times / np.minimum(visits[places], patience), 1.0)
        values[places] += share * (sums / times - values[places])

    def table(self) -> Table:
        """The values as a network. What was never tried is worth the mean of that option, elsewhere as well."""
        tried = self.visits > 0
        means = (self.values * self.visits).sum(axis=0) / np.maximum(self.visits.sum(axis=0), 1.0)
        values = np.where(tried, self.values, means)
        known = dict(zip(self.cells.tolist(), values.tolist(), strict=True))
        return table(self._cuts, known, means.tolist())


def learn(
    simulator: Simulator,
    *,
    first: int,
    seed: int,
    steps: int,
    exploration: float,
    progress: Callable[[int], None] = lambda made: None,
) -> Table:
    """The table after so many decisions, on the seeds from `first` on.

    Args:
        exploration: how likely any open option is taken in the end, each as likely; at the beginning it is always so.
        progress: is told how many decisions were made since the last time.
    """
    random = np.random.default_rng(seed)
    copies = simulator.copies(COPIES)
    values = Values(cuts(simulator, first), len(simulator.point.options))
    observations = copies.reset(range(first, first + COPIES))
    rows = values.rows(observations)
    rounds = -(-steps // COPIES)
    for made in range(rounds):
        masks = copies.masks
        exploring = random.random(COPIES) < 1.0 - (1.0 - exploration) * made / rounds
        best = np.where(masks, values.values[rows], -np.inf).argmax(axis=1)
        actions = np.where(exploring, drawn(masks, random), best)
        moment = copies.step(actions)
        known = len(values.cells)
        now = values.cells[rows]
        following = values.rows(moment.observations)
        if len(values.cells) != known:
            rows = np.searchsorted(values.cells, now)
        ahead = np.where(copies.masks, values.values[following], -np.inf).max(axis=1)
        targets = moment.rewards + np.where(moment.settled, 0.0, ahead)
        values.learn(rows, actions, targets, np.inf if simulator.single else PATIENCE)
        rows = following
        progress(COPIES)
    return values.table()


def cuts(simulator: Simulator, first: int) -> list[list[float]]:
    """Where the columns are cut, by some cases of the seeds from `first` on."""
    copies = simulator.copies(COPIES)
    seen = [copies.reset(range(first, first + COPIES))]
    for _ in range(SAMPLE):
        seen.append(copies.step(copies.ruled).observations)
    return [cut(column) for column in np.concatenate(seen).T]


def cut(column: NDArray[np.float32]) -> list[float]:
    """Between its values if these are few, else so that as many cases fall into each part."""
    levels = np.unique(column)
    if len(levels) > MOST_LEVELS:
        levels = np.unique(np.quantile(column, np.linspace(0, 1, MOST_LEVELS + 1)[1:-1]))
        return [float(level) for level in levels]
    return [float(cut) for cut in (levels[1:] + levels[:-1]) / 2]
