"""Live: the real team in its world, with control handed to a learner at one decision point."""

from __future__ import annotations

import weakref
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from gatewright.agents.decisions import DecisionPoint
from gatewright.agents.errors import UsageError
from gatewright.runtime.policies.encoding import Encoding

from . import spaces
from .players import Ended, Pending, Player
from .plays import Case, Play

REFUSED = -1.0  # the reward of a closed option
MOST_PASSED = 1_000  # cases in a row that do not come to the decision point


class LiveEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One team at one decision point. An episode is a case; a step is one decision at the point.

    `reset(seed=s)` begins the cases of the seed `s` with the first that comes to the decision point; without a seed,
    the next one follows. The reward of a step is what was earned from this decision until the next one, or the end;
    what was earned before the first decision is not counted. A closed option is not carried out: it ends the episode
    with the reward `refused`. `info` holds the case, the step's rewards by component, and `refused`.

    The team works in a thread of the environment's; `close` ends it, and so does losing the environment.

    Args:
        encoding: of the point's features, where one was fitted; else as the features' bounds say.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self, point: DecisionPoint[Any], play: Play, *, encoding: Encoding | None = None, refused: float = REFUSED
    ) -> None:
        self.point = point
        self.encoding = encoding or Encoding.of(point.features)
        self.encoding.check(point.features)
        self.observation_space = spaces.observation_space(self.encoding)
        self.action_space = spaces.action_space(point)
        self._refused = refused
        self._player = Player(point, play)
        self._lost = weakref.finalize(self, self._player.stop)
        self._seed: int | None = None
        self._number = 0
        self._case = Case(seed=0, number=0)
        self._earned: dict[str, float] = {}
        self._pending: Pending | None = None
        self._observation = np.zeros(len(self.encoding.columns), np.float32)
        self._mask = np.ones(len(point.options), np.bool_)

    def action_masks(self) -> NDArray[np.bool_]:
        """The options that are open now, shape `(n_options,)`; after the end of an episode those of its last step."""
        return self._mask.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._seed is None:
            self._seed = int(self.np_random.integers(2**31)) if seed is None else seed
            self._number = 0
        self._pending = None
        for _ in range(MOST_PASSED):
            self._case = Case(seed=self._seed, number=self._number)
            self._number += 1
            news = self._player.begin(self._case)
            if isinstance(news, Pending):
                self._earned = self._case.earned()
                return self._shown(news), {"case": self._case.id}
            _check(news)
        raise UsageError(
            f"{MOST_PASSED} cases in a row did not come to the decision point {self.point.name!r}; is it the one that "
            "the team decides at?"
        )

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Carry on with the option at this position.

        Raises:
            ResetNeeded: no episode is going on.
            Exception: whatever the team failed with; the episode is over.
        """
        if self._pending is None:
            raise ResetNeeded("no episode is going on; call reset")
        option = self.point.options[int(action)]
        if option not in self._pending.open_options:
            self._pending = None
            self._player.abandon()
            return self._observation.copy(), self._refused, True, False, self._info({}, refused=True)
        self._pending = None
        news = self._player.choose(option)
        earned, before = self._case.earned(), self._earned
        components = {name: value - before.get(name, 0.0) for name, value in earned.items()}
        self._earned = earned
        if isinstance(news, Pending):
            self._shown(news)
        else:
            _check(news)
        ended = self._pending is None
        return self._observation.copy(), sum(components.values()), ended, False, self._info(components, refused=False)

    def close(self) -> None:
        """Give up the episode, and end the thread; a later reset begins another one."""
        self._pending = None
        self._player.stop()
        super().close()

    def _shown(self, pending: Pending) -> NDArray[np.float32]:
        self._pending = pending
        self._observation = self.encoding.encode(pending.features)
        self._mask = spaces.mask(self.point, pending.open_options)
        return self._observation.copy()

    def _info(self, components: dict[str, float], *, refused: bool) -> dict[str, Any]:
        return {"case": self._case.id, "components": components, "refused": refused}


def _check(ended: Ended) -> None:
    if ended.error is not None:
        raise ended.error
