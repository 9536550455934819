"""Learners of stable-baselines3 and sb3-contrib, and their networks as plain arrays; needs the extra `tune`.

Only MaskablePPO knows masks. PPO and DQN choose closed options while they learn, which ends the episode with the
simulator's penalty; the network that comes of it is only ever asked for the best *open* option, like all others.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.environments.simulators import Simulator
from gatewright.runtime.policies.networks import Activation, Mlp

Deep = Literal["maskable-ppo", "ppo", "dqn"]
Value = bool | int | float | str | None

THREADS = 1  # of torch: weights depend on their number, and two are no faster with networks of this size
COPIES = 256
ROLLOUT = 64  # steps of each copy between two updates
BATCH = 2048
REPLAY = 200_000  # decisions that DQN remembers
EXACT = 1e-6  # largest difference of the exported logits


class _Told(BaseCallback):
    """Tells of the decisions that were asked for; the learner makes up to a rollout more."""

    def __init__(self, progress: Callable[[int], None], steps: int) -> None:
        super().__init__()
        self._progress = progress
        self._steps = steps
        self._told = 0

    def _on_step(self) -> bool:
        if self.num_timesteps - self._told >= COPIES * ROLLOUT:
            self._tell()
        return True

    def _on_training_end(self) -> None:
        if self._steps > self._told:
            self._tell()

    def _tell(self) -> None:
        made = min(self.num_timesteps, self._steps)
        self._progress(made - self._told)
        self._told = made


def learn(
    algorithm: Deep,
    simulator: Simulator,
    *,
    first: int,
    seed: int,
    steps: int,
    settings: Mapping[str, Value],
    progress: Callable[[int], None] = lambda made: None,
) -> Mlp:
    """The network after at least so many decisions, on the seeds from `first` on; equal seeds give equal weights.

    torch is left at one thread.

    Raises:
        IntegrityError: the arrays do not compute what torch does.
    """
    torch.set_num_threads(THREADS)
    environments = simulator.environments(COPIES, {})
    model = _model(algorithm, environments, seed, settings, gamma=0.0 if simulator.single else 1.0)
    environments.seed(first)  # stable-baselines3 has seeded them with the learner's seed
    model.learn(steps, callback=_Told(progress, steps))
    environments.seed(first)
    observations = np.asarray(environments.reset(), np.float32)
    return exported(model, observations)


def _falling(rate: float, remaining: float) -> float:
    """A learning rate, by the share of the training that remains: so that the last batches do not decide."""
    return rate * remaining


def _model(algorithm: Deep, environments: Any, seed: int, settings: Mapping[str, Value], *, gamma: float) -> Any:
    width, layers = int(settings["width"] or 64), int(settings["layers"] or 2)
    common: dict[str, Any] = {
        "policy": "MlpPolicy",
        "env": environments,
        "seed": seed,
        "device": "cpu",
        "gamma": gamma,
        "learning_rate": functools.partial(_falling, float(settings["learning_rate"] or 0.0)),
    }
    if algorithm == "dqn":
        return DQN(
            **common,
            policy_kwargs={"net_arch": [width] * layers},
            buffer_size=REPLAY,
            batch_size=BATCH,
            learning_starts=COPIES * ROLLOUT,
            train_freq=1,
            gradient_steps=1,
            target_update_interval=COPIES * ROLLOUT,
            exploration_fraction=float(settings["exploration_fraction"] or 0.0),
            exploration_final_eps=0.1,
        )
    common |= {
        "n_steps": ROLLOUT,
        "batch_size": BATCH,
        "n_epochs": settings["epochs"],
        "gae_lambda": 0.0 if gamma == 0 else 0.95,
        "ent_coef": settings["entropy"],
        "policy_kwargs": {"net_arch": [width] * layers},
    }
    return MaskablePPO(**common) if algorithm == "maskable-ppo" else PPO(**common)


def exported(model: Any, observations: np.ndarray[Any, np.dtype[np.float32]]) -> Mlp:
    """What a model chooses by, as arrays, checked on these observations to `EXACT` in double precision.

    Raises:
        UsageError: its policy is not made of dense layers.
        IntegrityError: the arrays compute something else.
    """
    module = _scores(model)
    network = _mlp(module)
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(torch.tensor(observations, dtype=torch.float64)).numpy()
    difference = float(np.abs(network.logits(observations.astype(np.float64)) - expected).max())
    if not difference <= EXACT:
        raise IntegrityError(
            f"the exported policy gives logits that are {difference:g} off those of torch, and {EXACT:g} is allowed; "
            "do not use it, and report the architecture"
        )
    return network


def _scores(model: Any) -> nn.Sequential:
    """The layers from observations to a number for each option."""
    if isinstance(model, DQN):
        return nn.Sequential(*model.q_net.q_net)
    policy: Any = model.policy
    return nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)


def _mlp(module: nn.Sequential) -> Mlp:
    kinds: dict[type[nn.Module], Activation] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
    layers = [layer for layer in module if isinstance(layer, nn.Linear)]
    between = {type(layer) for layer in module if not isinstance(layer, nn.Linear)}
    if len(between) > 1 or not between <= set(kinds) or 2 * len(layers) - 1 != len(module):
        raise UsageError(f"a policy of {module} cannot be exported; it must be dense layers with tanh or relu between")
    arrays = [(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()) for layer in layers]
    weights, biases = zip(*arrays, strict=True)
    return Mlp(weights, biases, kinds[between.pop()] if between else "tanh")
