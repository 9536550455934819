"""The tuner: search settings, train afresh, hold the result against simpler policies on cases that nothing has seen."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gatewright.agents.errors import UsageError
from gatewright.environments.simulators import Prices, Simulator
from gatewright.runtime.policies import networks
from gatewright.runtime.policies.artefact import Artefact, Data, Origin, Serving, compose
from gatewright.runtime.policies.networks import Network

from . import algorithms, choosers, logs, prices, seeds
from .algorithms import Algorithm, Lesson, Value
from .choosers import Chooser, Played
from .comparisons import Limits, Standing, proposed, standing
from .logs import Rows
from .searching import Search, Trial, Tried, search

FEWEST = 3  # seeds of a trial, and of the training after it
SEARCH_SHARE = 4  # a training of a search makes one of so many steps


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be tuned, and how.

    Args:
        steps: decisions of one training; the algorithm's own number without.
        trials: settings that are tried; none means that the algorithm's own ones are taken.
        repeats: how often the final settings are trained, with fresh seeds each; also the seeds of a trial.
        rows: logged decisions, and `data` where they come from; without, the rules are played, exploring.
        log_size: how many decisions are played then.
        held_out, validation: (seeds, episodes of each).
    """

    simulator: Simulator
    algorithm: Algorithm
    seed: int = 0
    steps: int | None = None
    trials: int = 0
    how: Search = "bayesian"
    repeats: int = FEWEST
    limits: Limits = field(default_factory=Limits)
    rows: Rows | None = None
    data: Data | None = None
    log_size: int = 100_000
    validation: tuple[int, int] = (1_000, 200)
    held_out: tuple[int, int] = (400, 250)

    def __post_init__(self) -> None:
        if self.repeats < FEWEST:
            raise UsageError(f"{self.repeats} seeds tell little about an algorithm; give at least {FEWEST}")
        if self.trials < 0 or (self.steps is not None and self.steps < 1):
            raise UsageError(f"{self.trials} trials of {self.steps} steps cannot be made; give positive numbers")

    @property
    def budget(self) -> int:
        """Decisions of one training; 0 if it learns from the log alone."""
        return self.algorithm.steps if self.steps is None or not self.algorithm.steps else self.steps

    @property
    def planned(self) -> int:
        """Decisions that are made in all, for a progress bar; at least 1."""
        searched = self.repeats * self.trials * (self.budget // SEARCH_SHARE)
        return max((prices.ROUNDS + self.repeats) * self.budget + searched, 1)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A policy and how it stands on the held-out episodes, which it has `played`.

    `network` is None for the current rules; `training` counts trainings.
    """

    algorithm: str
    network: Network | None
    training: int | None
    settings: Mapping[str, Value]
    played: Played
    standing: Standing


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What came of it. `candidates`: the rules, the simple ones, and the algorithm's (the best by validation).

    `prices`: what violations and minutes cost while the algorithm learnt. `repeats`: every training of the final
    settings, with what it is worth on the held-out cases.
    """

    order: Order
    prices: Prices
    trials: list[Trial]
    settings: Mapping[str, Value]
    repeats: list[Candidate]
    candidates: list[Candidate]
    proposed: Candidate

    def artefact(self, candidate: Candidate, *, parent: str | None = None, explore: float = 0.0) -> Artefact:
        """A candidate as a policy that can be served; `explore` is the share of decisions that is left to chance.

        Raises:
            UsageError: it is the rule, which is no learned policy.
        """
        if candidate.network is None:
            raise UsageError("the rules are in the team's code; there is nothing to write")
        order, simulator = self.order, self.order.simulator
        known = algorithms.ALGORITHMS.get(candidate.algorithm)
        origin = Origin(
            algorithm=candidate.algorithm,
            seeds=(order.seed,) if candidate.training is None else (order.seed, candidate.training),
            threads=known.threads if known else None,
            versions={"python": platform.python_version()} | (known.versions() if known else {"numpy": np.__version__}),
            settings={**candidate.settings, **({} if candidate.training is None else self._trained())},
            data=_data(order, candidate),
            metrics=_metrics(candidate.standing, [] if candidate.training is None else self.repeats),
            parent=parent,
        )
        return compose(
            candidate.network,
            point=simulator.point.name,
            options=simulator.point.options,
            encoding=simulator.encoding,
            origin=origin,
            serving=Serving(mode="epsilon-greedy", exploration=explore) if explore else Serving(),
        )

    def _trained(self) -> dict[str, Value]:
        return {"steps": self.order.budget, **{f"price of {name}": price for name, price in self.prices.items()}}


def tune(order: Order, progress: Callable[[int], None] = lambda made: None) -> Tuned:
    """Search, train and compare; `progress` is told of decisions made, `order.planned` in all.

    Raises:
        UsageError: something that it needs is not installed.
    """
    rows = order.rows or logs.simulated(order.simulator, seeds.worlds(order.seed, "logged"), order.log_size, order.seed)
    trainer = _Trainer(order, rows, progress)
    trainer.find_prices()
    trials = search(order.algorithm, order.how, order.trials, order.seed, trainer.tried) if order.trials else []
    settings = next((trial.settings for trial in trials if trial.median is not None), dict(order.algorithm.settings))
    rule = _played(order, "held-out", choosers.ruled)

    def candidate(
        name: str, network: Network | None, training: int | None, made_with: Mapping[str, Value]
    ) -> Candidate:
        played = rule if network is None else _played(order, "held-out", choosers.greedy(network))
        return Candidate(
            algorithm=name,
            network=network,
            training=training,
            settings=made_with,
            played=played,
            standing=standing(played, rule, order.limits),
        )

    fresh = range(order.repeats, 2 * order.repeats)  # those before are the search's
    trained = [(number, trainer.train(settings, number, order.budget)) for number in fresh]
    repeats = [candidate(order.algorithm.name, network, number, settings) for number, network in trained]
    validated = [trainer.validated(network) for _, network in trained]
    best = max(range(len(trained)), key=lambda at: (not validated[at].broken, validated[at].reward))
    candidates = [
        candidate("rules", None, None, {}),
        candidate("majority", _majority(order.simulator, rows), None, {}),
        *([] if order.algorithm.name == "logistic" else [candidate("logistic", *_simple(trainer))]),
        repeats[best],
    ]
    return Tuned(
        order=order,
        prices=trainer.prices,
        trials=trials,
        settings=settings,
        repeats=repeats,
        candidates=candidates,
        proposed=proposal(candidates, order.limits),
    )


def proposal(candidates: Sequence[Candidate], limits: Limits) -> Candidate:
    """The one that is proposed among candidates of the same held-out episodes, the rules among them."""
    return candidates[proposed([(each.algorithm, each.played) for each in candidates], limits)]


class _Trainer:
    """Trains, and tries what was trained on the validation cases."""

    def __init__(self, order: Order, rows: Rows, progress: Callable[[int], None]) -> None:
        self._order = order
        self._rows = rows
        self._progress = progress
        self._fitted: dict[tuple[str, str], Network] = {}
        self.prices: Prices = {}

    def find_prices(self) -> None:
        """Find what violations and minutes have to cost, with the algorithm's own settings."""
        order = self._order
        if not order.budget:
            return
        made = 0

        def tried(asked: Prices) -> Standing:
            nonlocal made
            made += 1
            self.prices = asked
            return self._stands(self.train(order.algorithm.settings, 0, order.budget))

        self.prices = prices.found(self._rule, tried)
        self._progress((prices.ROUNDS - made) * order.budget)

    def train(self, settings: Mapping[str, Value], number: int, steps: int, by: Algorithm | None = None) -> Network:
        algorithm = by or self._order.algorithm
        if algorithm.steps:
            return self._learnt(algorithm, settings, number, steps)
        made_with = (algorithm.name, repr(sorted(settings.items())))
        if made_with not in self._fitted:  # to the log alone, whatever the seed
            self._fitted[made_with] = self._learnt(algorithm, settings, number, steps)
        return self._fitted[made_with]

    def _learnt(self, algorithm: Algorithm, settings: Mapping[str, Value], number: int, steps: int) -> Network:
        seed, simulator = self._order.seed, self._order.simulator
        return algorithm.learn(
            Lesson(
                simulator=prices.Priced(simulator, self.prices) if self.prices else simulator,
                rows=self._rows,
                first=seeds.worlds(seed, "learning", number),
                seed=algorithms.learner_seed(seed, number),
                steps=steps,
                settings=settings,
                progress=self._progress,
            )
        )

    def tried(self, settings: Mapping[str, Value]) -> list[Tried]:
        """What settings come to, with the seeds that every trial has."""
        steps = max(self._order.budget // SEARCH_SHARE, 1)
        return [self.validated(self.train(settings, number, steps)) for number in range(self._order.repeats)]

    @functools.cached_property
    def _rule(self) -> Played:
        return _played(self._order, "validation", choosers.ruled)

    def validated(self, network: Network) -> Tried:
        """What a policy earns on the validation cases, and whether it keeps what trainings aim at."""
        found = self._stands(network)
        return Tried(found.reward, found.broken)

    def _stands(self, network: Network) -> Standing:
        played = _played(self._order, "validation", choosers.greedy(network))
        return standing(played, self._rule, self._order.limits.aimed())


def _simple(trainer: _Trainer) -> tuple[Network, None, Mapping[str, Value]]:
    simple = algorithms.ALGORITHMS["logistic"]
    return trainer.train(simple.settings, 0, 0, by=simple), None, simple.settings


def _played(order: Order, purpose: seeds.Purpose, choose: Chooser) -> Played:
    count, episodes = order.held_out if purpose == "held-out" else order.validation
    first = seeds.worlds(order.seed, purpose)
    return choosers.play(order.simulator.copies(count), range(first, first + count), episodes, choose)


def _majority(simulator: Simulator, rows: Rows) -> Network:
    options = len(simulator.point.options)
    return networks.majority(rows.observations.shape[1], np.bincount(rows.actions, minlength=options).tolist())


def _data(order: Order, candidate: Candidate) -> Data:
    learnt_from_log = candidate.training is None or not order.budget
    if learnt_from_log and order.data is not None:
        return order.data
    decisions = order.log_size if learnt_from_log else order.budget
    return Data(source=f"simulator of {order.simulator.point.name}", decisions=decisions)


def _metrics(stands: Standing, repeats: list[Candidate]) -> dict[str, float]:
    found: dict[str, Any] = {
        "held_out_reward": stands.reward,
        "held_out_gain": stands.gain.mean,
        "held_out_gain_low": stands.gain.low,
        "held_out_gain_high": stands.gain.high,
    }
    for name, rate in stands.limited.items():
        key = f"held_out_{name.replace(' ', '_')}"
        found |= {key: rate.mean, f"{key}_change_high": rate.change.high}
    return found | {f"held_out_reward_training_{each.training}": each.standing.reward for each in repeats}
