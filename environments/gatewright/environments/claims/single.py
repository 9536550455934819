"""The claims desk as an environment of Gymnasium, one at a time; needs the extra `tune`.

Importing this module registers `gatewright/ClaimsTriage-v1` and `gatewright/ClaimsInvestigate-v1`.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import Space
from gymnasium.envs.registration import register
from numpy.typing import NDArray

from .core import Core, fresh_seed
from .grid import Grid
from .model import COMPONENTS, Model
from .optimum import Point, Policies

IDS: dict[Point, str] = {"triage": "gatewright/ClaimsTriage-v1", "investigate": "gatewright/ClaimsInvestigate-v1"}


def observation_space(grid: Grid) -> gymnasium.spaces.Box:
    """The encoded features of a decision point."""
    return gymnasium.spaces.Box(grid.encoding.low, grid.encoding.high, dtype=np.float32)


def action_space(grid: Grid) -> gymnasium.spaces.Discrete:
    """The options of a decision point, by position."""
    return gymnasium.spaces.Discrete(len(grid.point.options))


class ClaimsEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One claims desk at one decision point; an episode is a claim, and `core.Core` says what a step does.

    `reset(seed=s)` begins the claims of the seed `s`; without a seed, the next claim follows. A closed option ends the
    episode with the reward `core.REFUSED`. `info` holds the parts of the step's reward by name, and `refused`.

    Args:
        others: what the other decision point follows; the desk's rules without.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, point: Point = "triage", *, others: Policies | None = None, model: Model | None = None) -> None:
        self._core = Core(point, 1, others=others, model=model)
        self._ahead: NDArray[np.float32] | None = None  # the core takes the next claim before it is asked for
        self.observation_space = cast("Space[NDArray[np.float32]]", observation_space(self._core.grid))
        self.action_space = action_space(self._core.grid)

    def action_masks(self) -> NDArray[np.bool_]:
        """The options that are open now, shape `(4,)`; after the end of an episode those of the next one."""
        masks: NDArray[np.bool_] = self._core.masks[0]
        return masks

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or not self._core.started:
            observations = self._core.reset([fresh_seed() if seed is None else seed])
        elif self._ahead is None:
            observations = self._core.skip()
        else:
            observations = self._ahead
        self._ahead = None
        return observations[0], {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        step = self._core.step(np.array([action]))
        ended = bool(step.settled[0])
        self._ahead = step.observations if ended else None
        parts = dict(zip(COMPONENTS, step.components[0].tolist(), strict=True))
        info = {"components": parts, "refused": bool(step.refused[0])}
        return step.last[0], float(step.rewards[0]), ended, False, info


for _point, _id in IDS.items():
    register(_id, entry_point=f"{__name__}:ClaimsEnv", kwargs={"point": _point})
