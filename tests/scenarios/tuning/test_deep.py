"""What learns with torch. Imported where it is used: the other tests of tuning do without."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from stable_baselines3 import DQN, PPO
from torch import nn

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.simulator import TRIAGE
from gatewright.runtime.policies import artefact
from gatewright.scenarios.tuning import algorithms, deep
from gatewright.scenarios.tuning.deep import Deep

BRIEF = deep.COPIES * deep.ROLLOUT


def learnt(name: Deep, seed: int = 1) -> Any:
    settings = {**algorithms.named(name).settings, "epochs": 1, "width": 16}
    return deep.learn(name, TRIAGE, first=5, seed=seed, steps=BRIEF, settings=settings)


@pytest.mark.parametrize("name", ["maskable-ppo", "dqn"])
def test_one_seed_gives_equal_weights(name: Literal["maskable-ppo", "dqn"]) -> None:
    one, again, other = learnt(name), learnt(name), learnt(name, seed=2)
    for part, array in one.arrays().items():
        assert np.array_equal(array, again.arrays()[part]), part
    assert not np.array_equal(one.weights[0], other.weights[0])


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_exported_arrays_choose_as_the_model_does(kind: type[PPO] | type[DQN]) -> None:
    model = kind("MlpPolicy", TRIAGE.environments(2, {}), seed=1, device="cpu")
    observations = TRIAGE_GRID.observations[::7]
    network = deep.exported(model, observations)
    theirs, _ = model.predict(observations, deterministic=True)
    logits = network.logits(observations.astype(np.float64))
    best, second = np.sort(logits, axis=1)[:, :-3:-1].T
    clear = best - second > 1e-6  # torch decides the others by rounding
    assert clear.mean() > 0.99
    assert (logits.argmax(axis=1) == theirs)[clear].all()
    assert network.architecture.activation == ("tanh" if kind is PPO else "relu")


def test_a_policy_that_is_not_made_of_dense_layers_is_not_exported() -> None:
    model = PPO("MlpPolicy", TRIAGE.environments(2, {}), policy_kwargs={"activation_fn": nn.ELU}, device="cpu")
    with pytest.raises(UsageError, match="cannot be exported"):
        deep.exported(model, TRIAGE_GRID.observations[:4])


def test_an_export_that_computes_something_else_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = PPO("MlpPolicy", TRIAGE.environments(2, {}), seed=1, device="cpu")
    exact = deep.exported(model, TRIAGE_GRID.observations[:4])
    moved = type(exact)(exact.weights, (*exact.biases[:-1], exact.biases[-1] + np.float32(1e-5)), exact.activation)

    def wrong(module: nn.Sequential) -> Any:
        return moved

    monkeypatch.setattr(deep, "_mlp", wrong)
    with pytest.raises(IntegrityError, match="off those of torch"):
        deep.exported(model, TRIAGE_GRID.observations[:4])


def test_torch_has_one_thread_and_decisions_are_told() -> None:
    torch.set_num_threads(2)
    told: list[int] = []
    settings = {**algorithms.named("maskable-ppo").settings, "epochs": 1, "width": 16}
    deep.learn("maskable-ppo", TRIAGE, first=5, seed=1, steps=2 * BRIEF - 9, settings=settings, progress=told.append)
    assert torch.get_num_threads() == 1
    assert told == [BRIEF, BRIEF - 9]  # it makes whole rollouts, and tells of what was asked for


def test_the_network_fits_the_options() -> None:
    network = learnt("ppo")
    assert isinstance(TRIAGE.environments(1, {}).action_space, Discrete)
    assert (network.columns, network.options) == (len(TRIAGE.encoding.columns), len(TRIAGE.point.options))
    assert (
        artefact.compose(
            network,
            point="triage",
            options=TRIAGE.point.options,
            encoding=TRIAGE.encoding,
            origin=artefact.Origin(algorithm="ppo"),
        ).network.options
        == 4
    )
