"""The claims desk as a vectorised environment of stable-baselines3; needs the extra `tune`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from gatewright.environments.simulators import Prices, net

from .core import Core, Step, fresh_seed
from .model import Model
from .moments import moment
from .optimum import Point, Policies
from .single import action_space, observation_space


class ClaimsVecEnv(VecEnv):
    """`copies` claims desks at one decision point, stepped together.

    `seed(s)` gives copy j the seed `s + j`, as stable-baselines3 does, from the next reset on; without, seeds come
    from the operating system. `infos` are the same dictionaries every time, changed in place: copy one to keep it.
    They hold `terminal_observation` where an episode ended. A closed option ends its episode with the reward
    `core.REFUSED`. `last` is the whole of the last step, with the parts of the rewards.

    Args:
        others: what the other decision point follows; the desk's rules without.
        prices: what violations (`moments.VIOLATIONS`) and minutes of people cost beyond what the model says.
    """

    render_mode = None

    def __init__(
        self,
        point: Point,
        copies: int,
        *,
        others: Policies | None = None,
        model: Model | None = None,
        prices: Prices | None = None,
    ) -> None:
        self.core = Core(point, copies, others=others, model=model)
        super().__init__(copies, observation_space(self.core.grid), action_space(self.core.grid))
        self.point: Point = point
        self._prices = prices or {}
        self._actions: NDArray[np.int64] = np.zeros(copies, np.int64)
        self.last: Step | None = None
        self._infos: list[dict[str, Any]] = [{} for _ in range(copies)]

    def reset(self) -> VecEnvObs:
        """Begin: where seeds were given, the claims of these, else the next claims."""
        if self.core.started and not any(seed is not None for seed in self._seeds):
            observations = self.core.skip()
        else:
            observations = self.core.reset([fresh_seed() if seed is None else seed for seed in self._seeds])
        self._reset_seeds()
        self._reset_options()
        return observations

    def action_masks(self) -> NDArray[np.bool_]:
        """The options that are open now, shape `(copies, 4)`."""
        return self.core.masks

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = np.asarray(actions, np.int64)

    def step_wait(self) -> VecEnvStepReturn:  # pyright: ignore[reportUnknownParameterType]  # as in the base class
        step = self.last = self.core.step(self._actions)
        if step.settled.all():
            for info, ended in zip(self._infos, step.last, strict=True):
                info["terminal_observation"] = ended
        else:
            for info, ended, settled in zip(self._infos, step.last, step.settled.tolist(), strict=True):
                if settled:
                    info["terminal_observation"] = ended
                else:
                    info.pop("terminal_observation", None)
        rewards = net(moment(self.core.model, step), self._prices) if self._prices else step.rewards
        return step.observations, rewards.astype(np.float32), step.settled, self._infos

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of all copies: they are one object, so it is the same."""
        return [getattr(self, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set nothing: copies have nothing of their own.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"{attr_name!r} cannot be set: the copies share all but their claims")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """The results of a method by copy; `action_masks` is the only one that copies have.

        Raises:
            AttributeError: another method was asked for.
        """
        if method_name != "action_masks":
            raise AttributeError(f"the copies have no method {method_name!r}; they have 'action_masks'")
        return list(self.core.masks[self._chosen(indices)])

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))
