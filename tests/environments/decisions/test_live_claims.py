"""The real claims team, live, beside the vectorised model of it: the same claims, masks and rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gatewright.agents.claims import INVESTIGATE, TRIAGE, team
from gatewright.agents.decisions import DecisionPoint
from gatewright.environments.claims.core import Core
from gatewright.environments.claims.world import ClaimsWorld, conversation
from gatewright.environments.decisions.live import LiveEnv
from gatewright.environments.decisions.plays import TeamPlay

SEED = 11


@pytest.mark.parametrize(("point", "decisions"), [(TRIAGE, 40), (INVESTIGATE, 60)], ids=["triage", "investigate"])
def test_the_live_team_is_what_the_model_says(tmp_path: Path, point: DecisionPoint, decisions: int) -> None:  # type: ignore[type-arg]
    core = Core(point.name, 1)  # type: ignore[arg-type]
    expected = core.reset([SEED])[0]
    world = ClaimsWorld(tmp_path)
    env = LiveEnv(point, TeamPlay(team, world, conversation))
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
    world.close()
