"""Choosers: what picks an option for many cases at once, while policies are made and compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gatewright.environments.simulators import Copies
from gatewright.runtime.policies.networks import Network

Chooser: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]], NDArray[np.int64]]
"""Given observations, masks and what the rule chooses, each with a row a case: the positions that it chooses."""


def ruled(observations: NDArray[np.float32], masks: NDArray[np.bool_], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """The decision point's own rule."""
    return own


def greedy(network: Network) -> Chooser:
    """The best open option; what is closed is never chosen, whatever the network was taught."""

    def choose(
        observations: NDArray[np.float32], masks: NDArray[np.bool_], own: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        best: NDArray[np.int64] = np.where(masks, network.logits(observations), -np.inf).argmax(axis=1)
        return best

    return choose


def drawn(masks: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    """Any open option, each as likely; shape `(n,)`."""
    picked: NDArray[np.int64] = np.where(masks, random.random(masks.shape), -1.0).argmax(axis=1)
    return picked


class Played(NamedTuple):
    """Episodes that were played; float64, shape `(n_seeds, n_episodes)`, sums over an episode's decisions.

    `violations` are those of each kind that the simulator tells apart.
    """

    rewards: NDArray[np.float64]
    load: NDArray[np.float64]
    violations: Mapping[str, NDArray[np.float64]]


def play(copies: Copies, seeds: range, episodes: int, choose: Chooser) -> Played:
    """The first episodes of each seed; the same ones whoever chooses, so that differences can be paired."""
    count = len(seeds)

    def none() -> NDArray[np.float64]:
        return np.zeros((count, episodes + 1))  # the last column: played too far

    rewards, load = none(), none()
    violations: defaultdict[str, NDArray[np.float64]] = defaultdict(none)
    at, everyone = np.zeros(count, np.int64), np.arange(count)
    observations = copies.reset(seeds)
    while at.min() < episodes:
        moment = copies.step(choose(observations, copies.masks, copies.ruled))
        rewards[everyone, at] += moment.rewards
        load[everyone, at] += moment.load
        for kind, committed in moment.violations.items():
            violations[kind][everyone, at] += committed
        at = np.minimum(at + moment.settled, episodes)
        observations = moment.observations
    kinds = {kind: committed[:, :episodes] for kind, committed in violations.items()}
    return Played(rewards[:, :episodes], load[:, :episodes], kinds)
