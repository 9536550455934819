"""Each broken environment is found by the rule that it breaks; a good one is left alone."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from gatewright.environments.decisions.checker import check
from gatewright.environments.decisions.live import LiveEnv

from .desk import SORT, Desk


class Good(gymnasium.Env[Any, Any]):
    """Ten steps of drawing numbers; the third action is closed while the number is below one half."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self) -> None:
        self.observation_space = Box(0.0, 1.0, (2,), np.float32)
        self.action_space = Discrete(3)
        self.at = 0
        self.state = np.zeros(2, np.float32)

    def draw(self) -> None:
        self.state = self.np_random.random(2, np.float32)

    def action_masks(self) -> Any:
        return np.array([True, True, bool(self.state[0] >= 0.5)])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = 0
        self.draw()
        return self.state.copy(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if not Good.action_masks(self)[action]:
            return self.state.copy(), -1.0, True, False, {"refused": True}
        self.at += 1
        reward = float(self.state[int(action) % 2])
        self.draw()
        return self.state.copy(), reward, self.at == 10, False, {}


class AllClosed(Good):
    def action_masks(self) -> Any:
        return np.zeros(3, np.bool_)


class WrongShape(Good):
    def action_masks(self) -> Any:
        return np.ones(4, np.bool_)


class NumbersAsMask(Good):
    def action_masks(self) -> Any:
        return super().action_masks().astype(np.float32)


class CarriesOut(Good):
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        return super().step(action % 2)


class GlobalInReset(Good):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = np.random.random(2).astype(np.float32)
        return self.state.copy(), {}


class GlobalInStep(Good):
    def draw(self) -> None:
        self.state = np.array([random.random(), 0.5], np.float32)


class SeedsTheProcess(Good):
    """Good alone, and not beside another."""

    def draw(self) -> None:
        self.state = np.random.random(2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            np.random.seed(seed)
        return super().reset(seed=seed)


class Unseeded(Good):
    def draw(self) -> None:
        self.state = np.random.default_rng().random(2, np.float32)


class Remembers(Good):
    """What happened before a reset shows after it."""

    def __init__(self) -> None:
        super().__init__()
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(seed=seed)
        self.resets += 1
        return observation * np.float32(1 / self.resets), info


class Shared(Good):
    count = [0]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.count[0] = self.count[0] + 1 if self.at else 1
        observation, _, ended, truncated, info = super().step(action)
        return observation, float(self.count[0]), ended, truncated, info


class Outside(Good):
    def draw(self) -> None:
        self.state = self.np_random.random(2, np.float32) * np.float32(1.5)


class NotANumber(Good):
    def draw(self) -> None:
        super().draw()
        self.state[1] = np.nan


class Mutated(Good):
    def draw(self) -> None:
        self.state[:] = self.np_random.random(2, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.state, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        return self.state, *super().step(action)[1:]


class NoReward(Good):
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, _, ended, truncated, info = super().step(action)
        return observation, None, ended, truncated, info


class Fails(Good):
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self.at == 3:
            raise ValueError("the fourth step is missing")
        return super().step(action)


_LEFT = threading.Event()  # never set: how long a check takes must not matter


class LeavesThread(Good):
    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=_LEFT.wait, name="left", daemon=True).start()


@pytest.mark.parametrize(
    ("broken", "rule", "words"),
    [
        (AllClosed, "mask", "no action is open"),
        (WrongShape, "mask", r"its shape is \(4,\): not \(3,\)"),
        (NumbersAsMask, "mask", "no array of bool"),
        (CarriesOut, "refusal", "a closed action is carried out: 2"),
        (GlobalInReset, "random", "process's `numpy.random` matters: .*after reset"),
        (GlobalInStep, "random", "process's `random` matters"),
        (SeedsTheProcess, "isolation", "when another is used beside it"),
        (Unseeded, "seed", "another instance gives something else"),
        (Remembers, "seed", "same seed on the same instance"),
        (Shared, "isolation", "when another is used beside it"),
        (Outside, "observation", "not in the space"),
        (NotANumber, "observation", "not finite"),
        (Mutated, "observation", "changed later"),
        (NoReward, "reward", "no finite number: None at step 1"),
        (Fails, "gymnasium", "the fourth step is missing"),
    ],
)
def test_a_broken_environment_is_found(broken: Callable[[], Good], rule: str, words: str) -> None:
    findings = check(broken, steps=60)
    assert any(finding.rule == rule and re.search(words, finding.message) for finding in findings), findings


@pytest.mark.parametrize(
    "broken", [AllClosed, WrongShape, NumbersAsMask, CarriesOut, GlobalInReset, GlobalInStep, Shared, Outside]
)
def test_nothing_else_is_said_than_what_is_broken(broken: Callable[[], Good]) -> None:
    rules = {finding.rule for finding in check(broken, steps=60)} - {"gymnasium", "stable-baselines3"}
    assert len(rules) == 1


@pytest.mark.parametrize("broken", [AllClosed, WrongShape, NumbersAsMask, CarriesOut, SeedsTheProcess])
def test_the_stock_checkers_let_it_pass(broken: Callable[[], Good]) -> None:
    rules = {finding.rule for finding in check(broken, steps=60)}
    assert rules and not rules & {"gymnasium", "stable-baselines3"}


def test_a_thread_that_is_left_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.environments.decisions.checker.PATIENCE", 0.01)
    assert ("close", "a thread is left after close: 'left'") in check(LeavesThread, steps=2)


@pytest.mark.parametrize("good", [Good, lambda: LiveEnv(SORT, Desk()), "CartPole-v1"], ids=["good", "live", "id"])
def test_a_good_environment_has_no_findings(good: Any) -> None:
    assert check(good, steps=40) == []


def test_random_numbers_of_the_process_are_left_as_they_were() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).random()
    check(GlobalInStep, steps=10)
    assert (random.random(), np.random.random()) == expected


def test_an_id_that_was_registered_for_the_check_is_taken_back() -> None:
    before = set(gymnasium.registry)
    check(Good, steps=2)
    assert set(gymnasium.registry) == before
