"""Serving: learned policies where decisions are made, and exploration, so that decisions can be learned from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from random import SystemRandom
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from gatewright.agents import idempotency_key
from gatewright.agents.decisions import Choice, DecisionPoint, Policy
from gatewright.agents.errors import UsageError

from . import MOST_EXPLORATION
from .artefact import Artefact, Serving
from .networks import Numbers

Draw: TypeAlias = Callable[[], float]
"""Gives numbers in [0, 1)."""

_SYSTEM: Draw = SystemRandom().random


def of_effect() -> float:
    """The draw of the effect that is being performed: uniform over effects, and the same in every replay of one.

    It is made of the effect's idempotency key, so whoever knows the ids of run and step can work it out. Outside of an
    effect it is the system's.
    """
    key = idempotency_key()
    if key is None:
        return _SYSTEM()
    return (int.from_bytes(sha256(f"draw\n{key}".encode()).digest()[:8]) >> 11) / 2**53


class LearnedPolicy:
    """The policy of an artefact, for `gatewright.agents.decide`. Its choices are named `ALGORITHM@VERSION`."""

    def __init__(self, artefact: Artefact, *, draw: Draw = of_effect) -> None:
        """`draw`: where chance comes from; give a seeded one to repeat what was chosen."""
        self.artefact = artefact
        self.title = f"{artefact.manifest.origin.algorithm}@{artefact.version}"
        self._encoding = artefact.manifest.encoding
        self._network = artefact.network
        self._serving = artefact.manifest.serving
        self._indices = {option: index for index, option in enumerate(artefact.manifest.options)}
        self._draw = draw
        self._fits: set[type[BaseModel]] = set()

    def at(self, point: DecisionPoint[Any]) -> Policy[Any]:
        """This policy, once it is known to be one for `point`.

        Raises:
            UsageError: it was made for another point, other options or other features.
        """
        manifest = self.artefact.manifest
        if point.name != manifest.point or point.options != manifest.options:
            raise UsageError(
                f"policy {self.title!r} was made for {manifest.point!r} with the options {list(manifest.options)}, not "
                f"for {point.name!r} with {list(point.options)}; train one for this decision point"
            )
        self._check(point.features)
        return self

    def __call__(self, features: BaseModel, open_options: Sequence[str]) -> Choice:
        """Pick one of the open options.

        Raises:
            UsageError: the features or options are not those that the policy was made for.
        """
        if type(features) not in self._fits:
            self._check(type(features))
        try:
            considered = [self._indices[option] for option in open_options]
        except KeyError as error:
            raise UsageError(f"policy {self.title!r} knows no option {error}; it knows {list(self._indices)}") from None
        logits = self._network.logits(self._encoding.encode(features)).tolist()
        scores = [logits[index] for index in considered]
        best = scores.index(max(scores))
        if not math.isfinite(sum(scores)):
            raise UsageError(f"policy {self.title!r} gives {scores} to {features!r}; its weights are too large")
        if self._serving.mode == "greedy":
            return Choice(option=open_options[best], policy=self.title)
        return _drawn(open_options, shares(scores, self._serving), self._draw(), self.title, best)

    def _check(self, features: type[BaseModel]) -> None:
        if features not in self._fits:
            try:
                self._encoding.check(features)
            except UsageError as error:
                raise UsageError(f"policy {self.title!r}: {error}") from error
            self._fits.add(features)


class Exploring:
    """A decision point's own policy, but with the probability `share` any open option, each as likely.

    It makes a rule's decisions ones that other policies can be judged by. Its choices are named after the rule.
    """

    def __init__(self, share: float, *, draw: Draw = of_effect) -> None:
        """`share`: in (0, 0.2].

        Raises:
            UsageError: it is not.
        """
        if not 0 < share <= MOST_EXPLORATION:
            raise UsageError(f"a share of {share!r} cannot be explored; give one above 0 and up to {MOST_EXPLORATION}")
        self._share = share
        self._draw = draw

    def at(self, point: DecisionPoint[Any]) -> Policy[Any]:
        """The policy of `point`, exploring."""

        def choose(features: BaseModel, open_options: Sequence[str]) -> Choice:
            own = point.policy(features, open_options)
            if own.option not in open_options:
                return own  # for `decide` to refuse
            if own.propensity != 1:
                raise UsageError(
                    f"policy {own.policy!r} of {point.name!r} explores already (its propensity was "
                    f"{own.propensity!r}); take `explore` out of the deployment's configuration"
                )
            best = open_options.index(own.option)
            mixed = _mixed(len(open_options), best, self._share)
            made = _drawn(open_options, mixed, self._draw(), f"{own.policy}+explore={self._share:g}", best)
            return made if made.reason else made.model_copy(update={"reason": own.reason})

        return choose


def shares(scores: Sequence[float], serving: Serving) -> list[float]:
    """The probability of each open option by the logits of the open options; they add up to 1."""
    best = scores.index(max(scores))
    if serving.mode != "sample":
        return _mixed(len(scores), best, serving.exploration)
    weights = [math.exp(score - scores[best]) for score in scores]
    others = sum(weights) - 1.0
    explored = min(others / (1.0 + others), serving.exploration)
    found = [explored * weight / others if others else 0.0 for weight in weights]
    found[best] = 1.0 - explored
    return found


def probabilities(logits: Numbers, opened: NDArray[np.bool_], serving: Serving) -> NDArray[np.float64]:
    """`shares` for many decisions at once.

    `logits`: shape `(n, n_options)`; `opened`: of the same shape, which options are open, at least one in each row.
    Gives float64 of that shape; rows add up to 1, and closed options have 0.
    """
    scores = np.where(opened, logits.astype(np.float64), -np.inf)
    rows = np.arange(len(scores))
    best = scores.argmax(axis=1)
    if serving.mode == "sample":
        weights = np.exp(scores - scores[rows, best, None])
        others = weights.sum(axis=1) - 1.0
        explored = np.minimum(others / (1.0 + others), serving.exploration)
        rest = weights * (explored / np.where(others > 0, others, 1.0))[:, None]
    else:
        rest = opened * (serving.exploration / opened.sum(axis=1))[:, None]
        explored = serving.exploration - rest[rows, best]
    rest[rows, best] = 1.0 - explored
    return np.asarray(rest, np.float64)


def _mixed(count: int, best: int, share: float) -> list[float]:
    """The best of `count` options, but with the probability `share` any of them."""
    found = [share / count] * count
    found[best] = 1.0 - (share - share / count)
    return found


def _drawn(options: Sequence[str], shares: Sequence[float], drawn: float, title: str, best: int) -> Choice:
    picked, reached = best, 0.0
    for index, share in enumerate(shares):
        reached += share
        if drawn < reached:
            picked = index
            break
    reason = "" if picked == best else f"explored instead of {options[best]!r}"
    return Choice(option=options[picked], propensity=shares[picked], policy=title, reason=reason)
