from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.environments.claims.simulator import INVESTIGATE, TRIAGE, DeskSimulator
from gatewright.environments.simulators import Moment
from gatewright.runtime.policies import MOST_EXPLORATION
from gatewright.scenarios.tuning import logs


def test_logged_decisions_are_those_of_the_rules_but_for_what_they_explore() -> None:
    rows = logs.simulated(TRIAGE, 5, 20_000, seed=1)
    assert len(rows.actions) == 79 * logs.COPIES  # whole rounds
    assert rows.opened[np.arange(len(rows.actions)), rows.actions].all()
    own = rows.propensities > MOST_EXPLORATION
    expected = 1 - MOST_EXPLORATION + float((MOST_EXPLORATION / rows.opened.sum(axis=1)).mean())
    assert own.mean() == pytest.approx(expected, abs=0.01)


def test_the_propensities_are_those_of_the_choices() -> None:
    rows = logs.simulated(TRIAGE, 5, 50_000, seed=1)
    for option in range(4):  # each option would be taken as often as it is, weighted so, in all cases where it is open
        weights = (rows.actions == option) / rows.propensities
        assert weights.sum() / rows.opened[:, option].sum() == pytest.approx(1, abs=0.06)


class Twice:
    """Cases of two decisions, which earn 1 and 10; case by case, all copies alike. Only one option is open."""

    def __init__(self, count: int) -> None:
        self.masks = np.tile([True, False, False, False], (count, 1))
        self.ruled = np.zeros(count, np.int64)
        self._count = count
        self._second = False

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        return self._seen()

    def step(self, actions: NDArray[np.int64]) -> Moment:
        self._second = not self._second
        rewards = np.full(self._count, 1.0 if self._second else 10.0)
        settled = np.full(self._count, not self._second)
        return Moment(self._seen(), rewards, 0 * rewards, {}, settled)

    def _seen(self) -> NDArray[np.float32]:
        return np.full((self._count, 1), self._second, np.float32)


def test_rewards_of_longer_episodes_are_all_that_came_after(monkeypatch: pytest.MonkeyPatch) -> None:

    def copies(self: DeskSimulator, count: int) -> Twice:
        return Twice(count)

    monkeypatch.setattr(DeskSimulator, "copies", copies)
    rows = logs.simulated(INVESTIGATE, 0, 5 * logs.COPIES, seed=1)
    assert len(rows.actions) == 4 * logs.COPIES  # that of the third case is left out: how it ended is not known
    assert rows.rewards.tolist() == np.where(rows.observations[:, 0] == 1, 10, 11).tolist()
    assert set(rows.propensities.tolist()) == {1.0}
