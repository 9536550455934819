"""Prices on what is limited, so that a learner, who knows rewards alone, comes to keep limits.

A price is a Lagrange multiplier: what one violation, or one minute of people, costs beyond the reward. The prices of
what breaks its limit are raised until all limits are kept: an ascent of the dual problem (E. Altman, Constrained Markov
Decision Processes, 1999), in large steps, because each is a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.decisions import DecisionPoint
from gatewright.environments.simulators import LOAD, Copies, Moment, Prices, Simulator, net
from gatewright.runtime.policies.encoding import Encoding

from .choosers import Played
from .comparisons import Standing

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnv

ROUNDS = 8  # prices that are tried
RAISED = 2**0.5  # a price, each time
LEAST = 0.25  # of the first price above none, in standard deviations of the rule's rewards


def found(rule: Played, tried: Callable[[Prices], Standing]) -> Prices:
    """Prices with which all limits are kept, or those after `ROUNDS`; `tried` says how a training with them stands."""
    prices: dict[str, float] = {}
    for _ in range(ROUNDS):
        broken = [name for name, rate in tried(prices).limited.items() if not rate.kept]
        if not broken:
            break
        prices = prices | {name: max(RAISED * prices.get(name, 0.0), _least(rule, name)) for name in broken}
    return prices


def _least(rule: Played, name: str) -> float:
    """The first price of one violation, or of a minute: that of all minutes which the rule needs is the same."""
    least = LEAST * float(rule.rewards.std())
    return least / max(float(rule.load.mean()), 1.0) if name == LOAD else least


@dataclass(frozen=True)
class Priced:
    """A simulator whose rewards are net of prices."""

    simulator: Simulator
    prices: Prices

    @property
    def point(self) -> DecisionPoint[Any]:
        """The simulator's."""
        return self.simulator.point

    @property
    def encoding(self) -> Encoding:
        """The simulator's."""
        return self.simulator.encoding

    @property
    def single(self) -> bool:
        """The simulator's."""
        return self.simulator.single

    def copies(self, count: int) -> Copies:
        """So many copies."""
        return _PricedCopies(self.simulator.copies(count), self.prices)

    def environments(self, count: int, prices: Prices) -> VecEnv:
        """The same for learners of stable-baselines3; `prices` come on top."""
        both = {name: self.prices.get(name, 0.0) + prices.get(name, 0.0) for name in {**self.prices, **prices}}
        return self.simulator.environments(count, both)


class _PricedCopies:
    def __init__(self, copies: Copies, prices: Prices) -> None:
        self._copies = copies
        self._prices = prices

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        return self._copies.reset(seeds)

    @property
    def masks(self) -> NDArray[np.bool_]:
        return self._copies.masks

    @property
    def ruled(self) -> NDArray[np.int64]:
        return self._copies.ruled

    def step(self, actions: NDArray[np.int64]) -> Moment:
        moment = self._copies.step(actions)
        return moment._replace(rewards=net(moment, self._prices))
