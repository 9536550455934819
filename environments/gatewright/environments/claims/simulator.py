"""The claims desk's decision points as simulators: `claims.triage` and `claims.investigate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.decisions import DecisionPoint
from gatewright.environments.simulators import Copies, Moment, Prices
from gatewright.runtime.policies.encoding import Encoding

from .core import Core
from .moments import moment
from .optimum import GRIDS, Point

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnv


class DeskCopies:
    """Desks side by side; `moments.VIOLATIONS` are the kinds of violations."""

    def __init__(self, point: Point, count: int) -> None:
        self._core = Core(point, count)

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin the claims of these seeds."""
        return self._core.reset(seeds)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """The options that are open now."""
        return self._core.masks

    @property
    def ruled(self) -> NDArray[np.int64]:
        """What the desk's rules choose now."""
        chosen: NDArray[np.int64] = self._core.grid.rules[self._core.cells]
        return chosen

    def step(self, actions: NDArray[np.int64]) -> Moment:
        """Choose."""
        return moment(self._core.model, self._core.step(actions))


@dataclass(frozen=True)
class DeskSimulator:
    """One decision point of the desk, while the other one follows the desk's rules."""

    at: Point

    @property
    def point(self) -> DecisionPoint[Any]:
        """The team's own."""
        return GRIDS[self.at].point

    @property
    def encoding(self) -> Encoding:
        """That of its features, all of which have bounds."""
        return GRIDS[self.at].encoding

    @property
    def single(self) -> bool:
        """A claim is triaged once."""
        return self.at == "triage"

    def copies(self, count: int) -> Copies:
        """So many desks."""
        return DeskCopies(self.at, count)

    def environments(self, count: int, prices: Prices) -> VecEnv:
        """So many desks for learners of stable-baselines3."""
        from .vector import ClaimsVecEnv  # needs the extra

        return ClaimsVecEnv(self.at, count, prices=prices)


TRIAGE = DeskSimulator("triage")
INVESTIGATE = DeskSimulator("investigate")
