"""Logs: decisions with what they earned, as arrays to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewright.environments.simulators import Simulator
from gatewright.runtime.policies import MOST_EXPLORATION

from .choosers import drawn

if TYPE_CHECKING:
    from gatewright.environments.decisions.logs import Log

COPIES = 256


class Rows(NamedTuple):
    """Logged decisions.

    `observations`: float32, shape `(n, n_columns)`; `opened`: bool, shape `(n, n_options)`; `actions`: int64, shape
    `(n,)`; `propensities`: float64, shape `(n,)`, how likely these were, above 0; `rewards`: float64, shape `(n,)`, all
    that was earned from the decision to the end of its case.
    """

    observations: NDArray[np.float32]
    opened: NDArray[np.bool_]
    actions: NDArray[np.int64]
    propensities: NDArray[np.float64]
    rewards: NDArray[np.float64]

    @classmethod
    def of(cls, log: Log) -> Rows:
        """The decisions of a log; what a case earned stands at its last one there, and counts for each here."""
        numbers = np.unique(log.cases, return_inverse=True)[1]
        returns: NDArray[np.float64] = np.bincount(numbers, log.rewards).astype(np.float64)[numbers]
        return cls(log.observations, log.opened, log.actions, log.propensities, returns)


def simulated(simulator: Simulator, first: int, decisions: int, seed: int) -> Rows:
    """Decisions of the point's own rule, which explores as much as a deployment may, on the seeds from `first` on.

    Those of cases that were not settled at the end are left out, so there may be some fewer.
    """
    random = np.random.default_rng(seed)
    copies = simulator.copies(COPIES)
    observations = copies.reset(range(first, first + COPIES))
    seen: list[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]] = []
    earned: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
    for _ in range(-(-decisions // COPIES)):
        masks, own = copies.masks, copies.ruled
        actions = np.where(random.random(COPIES) < MOST_EXPLORATION, drawn(masks, random), own)
        likely = MOST_EXPLORATION / masks.sum(axis=1) + (1 - MOST_EXPLORATION) * (actions == own)
        moment = copies.step(actions)
        seen.append((observations, masks, actions, likely))
        earned.append((moment.rewards, moment.settled))
        observations = moment.observations
    known, after = np.zeros(COPIES, np.bool_), np.zeros(COPIES)
    kept: list[NDArray[np.bool_]] = []
    returns: list[NDArray[np.float64]] = []
    for rewards, settled in reversed(earned):
        known |= settled
        after = rewards + np.where(settled, 0.0, after)
        kept.append(known.copy())
        returns.append(after)
    rows = np.concatenate(kept[::-1])
    observed, opened, chosen, likely = (np.concatenate(column)[rows] for column in zip(*seen, strict=True))
    return Rows(observed, opened, chosen, likely, np.concatenate(returns[::-1])[rows])
