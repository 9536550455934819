"""Logged: recorded decisions as an environment that a learner can be tried on."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from gatewright.runtime.policies.encoding import Vector

from . import spaces
from .live import REFUSED
from .logs import Log


class LoggedEnv(gymnasium.Env[Vector, np.int64]):
    """The decisions of a log, one an episode, in an order that the seed determines; all once, then all again.

    The reward is `reward / propensity` if the action is the one on record, and 0 if not, so that its mean over all
    episodes is the inverse-propensity estimate of what a policy earns (Horvitz and Thompson, 1952). `info` says whether
    they `matched`, and the `reward` on record if so. A closed option has the reward `refused`.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, log: Log, *, refused: float = REFUSED) -> None:
        self.log = log
        self.observation_space = spaces.observation_space(log.encoding)
        self.action_space = spaces.action_space(log.point)
        self._refused = refused
        self._rows: list[int] = []
        self._row = 0
        self._going = False

    def action_masks(self) -> NDArray[np.bool_]:
        """The options that were open, shape `(n_options,)`."""
        return np.array(self.log.opened[self._row])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or not self._rows:
            self._rows = self.np_random.permutation(len(self.log)).tolist()
        self._row = self._rows.pop()
        self._going = True
        return self.log.observations[self._row].copy(), {"case": self.log.cases[self._row]}

    def step(self, action: np.int64) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Choose; the episode is over.

        Raises:
            ResetNeeded: it was before.
        """
        if not self._going:
            raise ResetNeeded("no episode is going on; call reset")
        self._going = False
        log, row = self.log, self._row
        observation = log.observations[row].copy()
        if not log.opened[row, action]:
            return observation, self._refused, True, False, {"matched": False, "refused": True}
        if action != log.actions[row]:
            return observation, 0.0, True, False, {"matched": False, "refused": False}
        reward = float(log.rewards[row])
        info = {"matched": True, "refused": False, "reward": reward}
        return observation, reward / float(log.propensities[row]), True, False, info
