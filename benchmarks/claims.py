"""The claims desk for learners: steps of its vectorised form, and frames of a learner on it, beside the usual way.

The usual way is stable-baselines3's: eight environments of Gymnasium in a `DummyVecEnv`, and PPO as it comes. Both
sides are timed in CPU seconds of one thread; each learner is fresh, and what it has learnt is not looked at here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from .figures import Bar, Figure, Turn, compare, say, take_turns
from .program import Setting, main

COPIES = 256
USUAL = 8  # copies in the `DummyVecEnv`
STEPS = Bar(value=50.0, sense="at least")
FRAMES = Bar(value=10.0, sense="at least")
STANDARD = 1  # the option of triage that is always open


def _steps(copies: int, count: int) -> Turn:
    """Environment steps a second, all copies together."""
    import gymnasium
    import numpy as np
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

    from gatewright.environments.claims.single import IDS
    from gatewright.environments.claims.vector import ClaimsVecEnv

    made: VecEnv
    if copies == USUAL:
        made = DummyVecEnv([lambda: gymnasium.make(IDS["triage"])] * copies)
    else:
        made = ClaimsVecEnv("triage", copies)
    made.seed(1)
    made.reset()
    actions = np.full(copies, STANDARD)

    async def turn() -> float:
        began = time.process_time()
        for _ in range(count):
            made.step(actions)
        return count * copies / (time.process_time() - began)

    return turn


def _frames(count: int) -> Turn:
    """Frames a second that MaskablePPO learns from, with large batches on the vectorised form."""
    from sb3_contrib import MaskablePPO

    from gatewright.environments.claims.vector import ClaimsVecEnv

    async def turn() -> float:
        learner = MaskablePPO(
            "MlpPolicy",
            ClaimsVecEnv("triage", COPIES),
            n_steps=64,
            batch_size=2048,
            n_epochs=4,
            gamma=0.0,
            gae_lambda=0.0,
            seed=1,
            device="cpu",
        )
        began = time.process_time()
        learner.learn(count)
        return learner.num_timesteps / (time.process_time() - began)

    return turn


def _usual_frames(rollout: int) -> Turn:
    """Frames a second that PPO learns from as it comes; `rollout` is 2,048 then, and less in a tiny round."""
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from gatewright.environments.claims.single import IDS

    async def turn() -> float:
        environments = DummyVecEnv([lambda: gymnasium.make(IDS["triage"])] * USUAL)
        learner = PPO("MlpPolicy", environments, n_steps=rollout, seed=1, device="cpu")
        began = time.process_time()
        learner.learn(rollout * USUAL)
        return learner.num_timesteps / (time.process_time() - began)

    return turn


async def measure(setting: Setting) -> Sequence[Figure]:
    """Steps, then frames, each side in turns."""
    import torch

    torch.set_num_threads(1)
    say(f"claims: steps of {COPIES} copies, and of {USUAL} in a DummyVecEnv")
    ours, usual = _steps(COPIES, setting.size(2_000, 50)), _steps(USUAL, setting.size(1_500, 50))
    steps = await take_turns(ours, usual, setting.size(7, 1))
    say("claims: frames of MaskablePPO, and of PPO as it comes")
    frames = await take_turns(
        _frames(setting.size(131_072, 16_384)), _usual_frames(setting.size(2_048, 64)), setting.size(3, 1)
    )
    return [compare("vector_steps", "1/s", steps, STEPS), compare("maskable_ppo_frames", "1/s", frames, FRAMES)]


if __name__ == "__main__":
    main(measure, __doc__)
