"""Chance in a trial: everything that is drawn comes from the trial's own seeds, whatever else runs beside it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import Any

import numpy as np
from pydantic import BaseModel

from gatewright.agents.decisions import Choice, DecisionPoint, PointPolicy, Policy
from gatewright.runtime.config import Deployment
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.policies import serving


def words(text: str) -> list[int]:
    """A text as entropy: 8 words of 32 bits."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return [int.from_bytes(digest[place : place + 4]) for place in range(0, 32, 4)]


def number(seeds: np.random.SeedSequence) -> int:
    """A seed for something that takes one number, below 2**63."""
    return int(seeds.generate_state(1, np.uint64)[0] >> 1)


class Chance:
    """What policies draw from: a number for each decision, by the trial and what is decided.

    It does not depend on which of two decisions at the same time is made first. Keys of effects would not do: they are
    made with the secret of their thread.
    """

    def __init__(self) -> None:
        self._entropy: list[int] = [0]
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._about: ContextVar[str] = ContextVar("about", default="")

    def begin(self, seeds: np.random.SeedSequence) -> None:
        """From now on for this trial; seeds Python's and NumPy's global generators too, for tools that use them."""
        self._entropy = [int(word) for word in seeds.generate_state(4, np.uint32)]
        self._asked.clear()
        random.seed(number(seeds))
        np.random.seed(self._entropy)

    def __call__(self) -> float:
        """In [0, 1)."""
        about = self._about.get()
        with self._lock:
            self._asked[about] += 1
            asked = self._asked[about]
        drawn = np.random.SeedSequence([*self._entropy, *words(about), asked])
        return float(np.random.default_rng(drawn).random())

    @contextmanager
    def about(self, what: str) -> Generator[None]:
        """Draws within are about this."""
        token = self._about.set(what)
        try:
            yield
        finally:
            self._about.reset(token)


class Seeded:
    """A policy that draws from `chance`."""

    def __init__(self, policy: PointPolicy, chance: Chance) -> None:
        self._policy = policy
        self._chance = chance

    def at(self, point: DecisionPoint[Any]) -> Policy[Any]:
        """The policy for `point`."""
        inner = self._policy.at(point)

        def choose(features: BaseModel, open_options: Sequence[str]) -> Choice:
            with self._chance.about("\n".join((point.name, features.model_dump_json(), *open_options))):
                return inner(features, open_options)

        return choose


def reseed(loaded: LoadedDeployment, settings: Deployment, chance: Chance) -> None:
    """Have the deployment's policies draw from `chance`."""
    for point, policy in loaded.policies.items():
        explore = settings.policies[point].explore
        if isinstance(policy, serving.LearnedPolicy):
            drawing: PointPolicy = serving.LearnedPolicy(policy.artefact, draw=chance)
        else:
            drawing = serving.Exploring(explore, draw=chance)
        loaded.policies[point] = Seeded(drawing, chance)
