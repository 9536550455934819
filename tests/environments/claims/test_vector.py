"""The environments for learners: the checkers of Gymnasium and stable-baselines3 accept them, and one can learn."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.env_checker import check_env as check_stable_baselines
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from gatewright.environments.claims.optimum import Point
from gatewright.environments.claims.single import IDS, ClaimsEnv
from gatewright.environments.claims.vector import ClaimsVecEnv
from gatewright.environments.decisions.checker import check

POINTS: tuple[Point, ...] = ("triage", "investigate")


@pytest.mark.parametrize("point", POINTS)
def test_both_checkers_accept_the_registered_environment(point: Point) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_gymnasium(gymnasium.make(IDS[point]).unwrapped, skip_render_check=True)
        check_stable_baselines(gymnasium.make(IDS[point]).unwrapped)


@pytest.mark.parametrize("point", POINTS)
def test_our_own_checker_finds_nothing_either(point: Point) -> None:
    assert check(IDS[point], steps=50) == []


@pytest.mark.parametrize("point", POINTS)
def test_the_vectorised_form_is_the_single_form_many_times(point: Point) -> None:
    vector = ClaimsVecEnv(point, 5)
    single = DummyVecEnv([lambda: ClaimsEnv(point)] * 5)
    vector.seed(40)
    single.seed(40)
    seen, seen_singly = vector.reset(), single.reset()
    random = np.random.default_rng(2)
    for _ in range(150):
        assert np.array_equal(np.asarray(seen), np.asarray(seen_singly))
        masks = np.stack(single.env_method("action_masks"))
        assert (get_action_masks(vector) == masks).all()
        actions = np.where(masks, random.random(masks.shape), -1).argmax(axis=1)
        seen, rewards, ended, infos = vector.step(actions)
        seen_singly, rewards_singly, ended_singly, infos_singly = single.step(actions)
        assert (rewards == rewards_singly).all() and (ended == ended_singly).all()
        for copy in range(5):
            last: Any = infos_singly[copy].get("terminal_observation")
            assert ("terminal_observation" in infos[copy]) == (last is not None)
            assert last is None or (infos[copy]["terminal_observation"] == last).all()


def test_a_seed_counts_once_and_then_claims_go_on() -> None:
    vector = ClaimsVecEnv("triage", 3)
    vector.seed(1)
    first, second = np.asarray(vector.reset()), np.asarray(vector.reset())
    vector.seed(1)
    assert (np.asarray(vector.reset()) == first).all()
    assert (np.asarray(vector.reset()) == second).all()


def test_without_a_seed_every_copy_has_claims_of_its_own() -> None:
    vector, other = ClaimsVecEnv("triage", 64), ClaimsVecEnv("triage", 64)
    assert (np.asarray(vector.reset()) != np.asarray(other.reset())).any()


def test_masks_are_found_by_learners_also_behind_a_monitor() -> None:
    vector = ClaimsVecEnv("triage", 3)
    assert is_masking_supported(vector)
    watched = VecMonitor(vector)
    watched.seed(1)
    watched.reset()
    assert (get_action_masks(watched) == vector.action_masks()).all()
    assert get_action_masks(watched).shape == (3, 4)


def test_the_copies_share_all_but_their_claims() -> None:
    vector = ClaimsVecEnv("triage", 3)
    assert vector.get_attr("point", [0, 2]) == ["triage", "triage"]
    assert vector.env_is_wrapped(gymnasium.Wrapper) == [False] * 3
    with pytest.raises(AttributeError, match="cannot be set"):
        vector.set_attr("point", "investigate")
    with pytest.raises(AttributeError, match="action_masks"):
        vector.env_method("render")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_maskable_ppo_comes_near_the_optimum(point: Point) -> None:
    import torch
    from sb3_contrib import MaskablePPO

    from gatewright.environments.claims.optimum import GRIDS, rules, solver

    torch.set_num_threads(1)
    vector = ClaimsVecEnv(point, 256)
    vector.seed(1)
    last_decision = point == "triage"
    learner = MaskablePPO(
        "MlpPolicy",
        vector,
        n_steps=64,
        batch_size=2048,
        n_epochs=4,
        learning_rate=lambda left: 1e-3 * left,
        gamma=0.0 if last_decision else 1.0,
        gae_lambda=0.0 if last_decision else 1.0,
        ent_coef=0.01,
        seed=1,
        device="cpu",
    )
    learner.learn(1_000_000)
    grid = GRIDS[point]
    chosen, _ = learner.predict(grid.observations, action_masks=grid.masks.copy(), deterministic=True)
    learnt = rules()._replace(**{point: grid.certain(chosen)})
    assert solver().share(learnt, point) > 0.95
