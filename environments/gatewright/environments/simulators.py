"""Simulators: decision points that can be stepped by the thousand, in NumPy, to learn and compare policies there.

A simulator is named by an entry point of the group `gatewright.simulators`, or as `module:attribute`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.decisions import DecisionPoint
from gatewright.agents.errors import UsageError
from gatewright.runtime.policies.encoding import Encoding

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env.base_vec_env import VecEnv

GROUP = "gatewright.simulators"
LOAD: Final = "load"

Prices: TypeAlias = Mapping[str, float]
"""What is taken off the reward for a violation, by kind, and for a minute of people, as `LOAD`."""


class Moment(NamedTuple):
    """What one step of n copies gave; the arrays are the caller's to keep.

    `observations`: float32, shape `(n, n_columns)`, those of the next case where an episode ended. `rewards`: float64,
    shape `(n,)`, higher is better. `load`: float64, shape `(n,)`, the minutes that people spent. `violations`: by kind,
    always the same ones, how often it was committed: int64 of shape `(n,)`. `settled`: bool, shape `(n,)`, the episode
    is over.
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.float64]
    load: NDArray[np.float64]
    violations: Mapping[str, NDArray[np.int64]]
    settled: NDArray[np.bool_]


def net(moment: Moment, prices: Prices) -> NDArray[np.float64]:
    """The rewards of a moment less what its violations and its load cost, shape `(n,)`."""
    rewards = moment.rewards
    for name, price in prices.items():
        rewards = rewards - price * (moment.load if name == LOAD else moment.violations[name])
    return rewards


class Copies(Protocol):
    """Cases that are worked on side by side. Copy j plays the cases of its own seed in their order."""

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin the cases of these seeds, one for each copy; the first observations, shape `(n, n_columns)`."""
        ...

    @property
    def masks(self) -> NDArray[np.bool_]:
        """The options that are open now, shape `(n, n_options)`."""
        ...

    @property
    def ruled(self) -> NDArray[np.int64]:
        """What the decision point's own rule chooses now, as positions of options, shape `(n,)`."""
        ...

    def step(self, actions: NDArray[np.int64]) -> Moment:
        """Choose the options at these positions; who has ended an episode goes on with the next case."""
        ...


@runtime_checkable
class Simulator(Protocol):
    """One decision point of a simulated desk. What is chosen there changes no case that comes later.

    `single`: every episode is one decision long.
    """

    @property
    def point(self) -> DecisionPoint[Any]: ...

    @property
    def encoding(self) -> Encoding: ...

    @property
    def single(self) -> bool: ...

    def copies(self, count: int) -> Copies:
        """So many copies; `reset` is called before anything else."""
        ...

    def environments(self, count: int, prices: Prices) -> VecEnv:
        """The same for learners of stable-baselines3, with `action_masks()` and rewards that are `net` of the prices.

        Needs the extra `tune`.
        """
        ...


def named(name: str) -> Simulator:
    """The simulator of that name.

    Raises:
        UsageError: there is none, or it is something else.
    """
    known = {found.name: found.value for found in entry_points(group=GROUP)}
    place = known.get(name, name)
    module, _, attribute = place.partition(":")
    if not attribute:
        raise UsageError(
            f"there is no simulator {name!r}; there are {', '.join(sorted(known)) or 'none'}, and `module:attribute` "
            "names one of your own"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the simulator {name!r} cannot be loaded: {error}") from error
    if not isinstance(found, Simulator):
        raise UsageError(f"{place!r} is no simulator, it is a {type(found).__name__}; see `docs/tuning.md`")
    return found
