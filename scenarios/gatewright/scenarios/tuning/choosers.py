"""Choosers: what picks an option for many cases at once, while policies are made and compared."""

from __future__ import annotations

from collections.abc import Callable
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
    """Episodes that were played; float64, shape `(n_seeds, n_episodes)`, sums over an episode's decisions."""

    rewards: NDArray[np.float64]
    load: NDArray[np.float64]
    violations: NDArray[np.float64]


def play(copies: Copies, seeds: range, episodes: int, choose: Chooser) -> Played:
    """The first episodes of each seed; the same ones whoever chooses, so that differences can be paired."""
    count = len(seeds)
    found = Played(*(np.zeros((count, episodes + 1)) for _ in Played._fields))  # the last column: played too far
    at, everyone = np.zeros(count, np.int64), np.arange(count)
    observations = copies.reset(seeds)
    while at.min() < episodes:
        moment = copies.step(choose(observations, copies.masks, copies.ruled))
        given = (moment.rewards, moment.load, moment.violations.astype(np.float64))
        for kept, added in zip(found, given, strict=True):
            kept[everyone, at] += added
        at = np.minimum(at + moment.settled, episodes)
        observations = moment.observations
    return Played(*(kept[:, :episodes] for kept in found))
