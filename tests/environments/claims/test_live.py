"""The real claims team, live, beside the vectorised model of it: the same claims, masks and rewards."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.environments.claims.core import Core
from gatewright.environments.claims.live import LIVE_IDS, ClaimsLiveEnv
from gatewright.environments.claims.optimum import Point
from gatewright.environments.decisions.checker import check
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack

SEED = 11


@pytest.mark.parametrize(("point", "decisions"), [("triage", 40), ("investigate", 60)])
def test_the_live_team_is_what_the_model_says(point: Point, decisions: int) -> None:
    core = Core(point, 1)
    expected = core.reset([SEED])[0]
    env = ClaimsLiveEnv(point)
    observation, _ = env.reset(seed=SEED)
    chance = np.random.default_rng(3)
    for _ in range(decisions):
        assert (observation == expected).all()
        assert (env.action_masks() == core.masks[0]).all()
        action = chance.choice(np.flatnonzero(env.action_masks()))
        step = core.step(np.array([action]))
        observation, reward, ended, _, info = env.step(action)
        assert reward == pytest.approx(step.rewards[0])
        assert list(info["components"].values()) == pytest.approx(step.components[0])
        assert ended == step.settled[0]
        expected = step.observations[0]
        if ended:
            observation, _ = env.reset()
    env.close()


RULES = """
apiVersion: gatewright/v1
kind: RulePack
name: claims
version: 1
rules:
- id: large-claims-are-inspected
  on: {hook: decision.before, name: triage}
  when: args.features.amount > 0
  then: modify
  close: [fast_track]
  reason: nothing is paid unseen
  examples:
    match: [{args: {features: {amount: 1.0}}}]
    pass: [{args: {features: {amount: 0.0}}}]
"""


def test_rules_close_options_of_the_real_team() -> None:
    env = ClaimsLiveEnv("triage", rules=Guard([Pack.parse(RULES)]))
    closed = env.point.options.index("fast_track")
    env.reset(seed=SEED)
    seen = [env.action_masks()]
    for _ in range(5):
        env.reset()
        seen.append(env.action_masks())
    assert not any(mask[closed] for mask in seen)
    env.close()


@pytest.mark.parametrize("id", LIVE_IDS.values(), ids=LIVE_IDS)
def test_every_checker_passes(id: str) -> None:
    """Gymnasium's, Stable-Baselines3's and ours."""
    assert check(id, steps=20) == []
