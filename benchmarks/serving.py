"""Decisions: one by a policy that is served in NumPy, and one of the real claims team that is stepped from outside.

`served_decision`: from features to a choice by a policy artefact, beside `predict` of stable-baselines3 with the same
weights, which is given an observation that is encoded already; both greedy, one torch thread, CPU time. Before that,
the logits of both are held against each other, to 1e-6.
`live_decision`: of the claims team in its world, as a Gymnasium environment, beside the same graphs run through with
the same choices made within; wall-clock time, as handing control over costs more waiting than work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from gatewright.agents.claims import INVESTIGATE, TRIAGE, TriageFeatures, team
from gatewright.agents.decisions import Choice, DecisionPoint, Policy
from gatewright.environments.claims.world import ClaimsWorld, conversation
from gatewright.environments.decisions.live import LiveEnv
from gatewright.environments.decisions.plays import Case, TeamPlay
from gatewright.runtime.policies.artefact import Origin, compose
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.networks import Mlp
from gatewright.runtime.policies.serving import LearnedPolicy

from .figures import Bar, Figure, Pair, compare, say, take_turns
from .program import Setting, main

SERVED = Bar(value=10.0, sense="at least")
LIVE = Bar(value=2.0, sense="at most")
SAME = 1e-6  # of logits
SEED = 5


class Deciders(NamedTuple):
    """Both make one decision: `ours` of features, `reference` of an observation."""

    ours: LearnedPolicy
    reference: Callable[[NDArray[np.float32]], Any]


def deciders(observations: NDArray[np.float32]) -> Deciders:
    """Ours and that of stable-baselines3 on the same weights; their logits for `observations` are the same.

    Raises:
        AssertionError: they differ.
    """
    import torch
    from stable_baselines3 import PPO

    from gatewright.environments.claims.single import ClaimsEnv

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    policy = PPO("MlpPolicy", ClaimsEnv(), seed=SEED, device="cpu").policy
    hidden = policy.mlp_extractor.policy_net
    layers: list[Any] = [hidden[0], hidden[2], policy.action_net]
    torch.nn.init.xavier_uniform_(layers[-1].weight)  # it begins with zeros, nearly
    network = Mlp(
        tuple(layer.weight.detach().numpy().T.copy() for layer in layers),
        tuple(layer.bias.detach().numpy().copy() for layer in layers),
    )
    with torch.no_grad():
        expected = policy.action_net(policy.mlp_extractor.forward_actor(torch.from_numpy(observations))).numpy()
    difference = float(np.abs(network.logits(observations) - expected).max())
    assert difference < SAME, f"the logits differ by {difference}"
    say(f"serving: the logits of {len(observations)} decisions differ by {difference:.1e} at most")
    artefact = compose(
        network,
        point=TRIAGE.name,
        options=TRIAGE.options,
        encoding=Encoding.of(TriageFeatures),
        origin=Origin(algorithm="ppo", seeds=(SEED,), threads=1),
    )
    return Deciders(LearnedPolicy(artefact), partial(policy.predict, deterministic=True))


def claims(count: int) -> list[TriageFeatures]:
    """What is known of the first claims of the seed."""
    from gatewright.environments.claims.case import Claim
    from gatewright.environments.claims.model import default

    return [Claim.of(default(), SEED, number).features for number in range(count)]


async def _served(setting: Setting) -> Figure:
    features = claims(setting.size(2_000, 50))
    observations = Encoding.of(TriageFeatures).encode_many(features)
    both = deciders(observations)

    async def ours() -> float:
        began = time.process_time()
        for each in features:
            both.ours(each, TRIAGE.options)
        return len(features) / (time.process_time() - began)

    async def reference() -> float:
        began = time.process_time()
        for each in observations:
            both.reference(each)
        return len(features) / (time.process_time() - began)

    return compare("served_decision", "1/s", await take_turns(ours, reference, setting.size(7, 1)), SERVED)


class Repeating:
    """Makes the choices at a point that were made before."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options: Iterator[str] = iter(options)

    def at(self, point: DecisionPoint[Any]) -> Policy[Any]:
        return self._choose

    def _choose(self, features: BaseModel, open_options: Sequence[str]) -> Choice:
        return Choice(option=next(self._options), policy="repeating")


def _stepped(env: LiveEnv, cases: int) -> tuple[float, list[str]]:
    """Play cases, choosing at random; gives the seconds a decision took, and what was chosen."""
    chance = np.random.default_rng(SEED)
    chosen: list[str] = []
    began = time.perf_counter()
    env.reset(seed=SEED)
    for number in range(cases):
        ended = False
        while not ended:
            action = chance.choice(np.flatnonzero(env.action_masks()))
            chosen.append(env.point.options[action])
            ended = env.step(action)[2]
        if number < cases - 1:
            env.reset()
    return (time.perf_counter() - began) / len(chosen), chosen


def _bare(play: TeamPlay, point: DecisionPoint[Any], chosen: Sequence[str], numbers: Sequence[int]) -> float:
    repeating = Repeating(chosen)
    began = time.perf_counter()
    for number in numbers:
        play(Case(seed=SEED, number=number, policies={point.name: repeating}))
    return (time.perf_counter() - began) / len(chosen)


async def _live(setting: Setting, point: DecisionPoint[Any], folder: Path) -> Figure:
    world, cases = ClaimsWorld(folder), setting.size(40, 3)
    play = TeamPlay(team, world, conversation)
    env = LiveEnv(point, play)
    _, chosen = _stepped(env, cases)
    last = int(env.reset()[1]["case"].partition("-")[2])  # cases that do not come to the point are played, too

    async def ours() -> float:
        return _stepped(env, cases)[0] * 1000

    async def reference() -> float:
        return _bare(play, point, chosen, range(last)) * 1000

    env.close()
    pairs: list[Pair] = await take_turns(ours, reference, setting.size(7, 1))
    env.close()
    world.close()
    return compare(f"live_decision_{point.name}", "ms", pairs, LIVE)


async def measure(setting: Setting) -> Sequence[Figure]:
    """Both; the live one at both decision points."""
    say("serving: a decision by a learned policy")
    figures = [await _served(setting)]
    for point in (TRIAGE, INVESTIGATE):
        say(f"serving: the claims team, stepped at {point.name!r}")
        figures.append(await _live(setting, point, setting.folder / point.name))
    return figures


if __name__ == "__main__":
    main(measure, __doc__)
