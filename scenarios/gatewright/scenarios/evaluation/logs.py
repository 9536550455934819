"""Logs: decisions that were made, beside how likely another policy would have made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.runtime.policies import serving
from gatewright.runtime.policies.artefact import Artefact

if TYPE_CHECKING:  # it imports gymnasium, which nothing here needs
    from gatewright.environments.decisions.logs import Decision, Log

Floats = NDArray[np.float64]

CLOSE = 1e-6  # of sums of probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class Logged:
    """n decisions among k options. A case may hold several; its rows are in the order in which they were made.

    `rewards`: float64, shape `(n,)`. `actions`: int64, `(n,)`, positions of the options that were chosen.
    `propensities`: float64, `(n,)`, how likely these were when they were chosen, NaN where that is not on record.
    `target`: float64, `(n, k)`, how likely the policy that is evaluated chooses each; rows add up to 1, and closed
    options have 0. `opened`: bool, `(n, k)`. `observations`: `(n, any)`, what a reward model may learn from.
    `cases`: int64, `(n,)`, the number of each row's case, from 0 without gaps; each row is its own case by default.

    Raises:
        UsageError: shapes or values are others than these.
    """

    rewards: Floats
    actions: NDArray[np.int64]
    propensities: Floats
    target: Floats
    opened: NDArray[np.bool_]
    observations: Floats | None = None
    cases: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        rows = len(self.rewards)
        if not rows:
            raise UsageError("there are no decisions to evaluate a policy by; log some first")
        shapes = {
            "rewards": (rows,),
            "actions": (rows,),
            "propensities": (rows,),
            "opened": self.target.shape,
            "target": (rows, self.target.shape[-1]),
            "cases": (rows,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise UsageError(f"{name!r} has the shape {value.shape}; with {rows} rewards it must be {shape}")
        if self.observations is not None and (self.observations.ndim != 2 or len(self.observations) != rows):
            raise UsageError(f"'observations' has the shape {self.observations.shape}; give a row for each decision")
        every = np.arange(rows)
        options = self.target.shape[1]
        _check(self.rewards, np.isfinite(self.rewards), "a reward that is finite")
        _check(self.actions, (self.actions >= 0) & (self.actions < options), f"a position below {options}")
        _check(self.actions, self.opened[every, self.actions], "a choice among the open options")
        _check(self.propensities, ~(self.propensities > 1 + CLOSE), "a propensity of at most 1")
        sums = np.where(self.opened, self.target, 0.0).sum(axis=1)
        _check(sums, (np.abs(sums - 1) < CLOSE) & (self.target >= 0).all(axis=1), "probabilities of open options")
        if self.cases is not None:
            _check(self.cases, np.isin(self.cases, every), "a number of a case")
            if len(np.unique(self.cases)) != self.cases.max() + 1:
                raise UsageError(f"'cases' goes up to {self.cases.max()} with gaps; number cases from 0 on")

    def __len__(self) -> int:
        return len(self.rewards)

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Rows whose propensity is on record and above 0; shape `(n,)`."""
        return np.asarray(self.propensities > 0)

    @cached_property
    def agreeing(self) -> Floats:
        """How likely the policy that is evaluated makes the choice on record; shape `(n,)`."""
        return np.asarray(self.target[np.arange(len(self)), self.actions])

    @cached_property
    def ratios(self) -> Floats:
        """How much likelier the policy makes each choice than who made it; shape `(n,)`, NaN where not usable."""
        found = np.full(len(self), np.nan)
        np.divide(self.agreeing, self.propensities, out=found, where=self.usable)
        return found

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Of each row's case; shape `(n,)`."""
        return np.arange(len(self)) if self.cases is None else self.cases

    @cached_property
    def backwards(self) -> list[NDArray[np.int64]]:
        """Rows by their place from the end of their case: the last ones, those before them, and so on."""
        order = np.argsort(self.numbers, kind="stable")
        sizes = np.bincount(self.numbers)
        places = np.repeat(sizes.cumsum(), sizes) - 1 - np.arange(len(self))
        return [order[places == place] for place in range(sizes.max())]

    @cached_property
    def weights(self) -> Floats:
        """The product of the ratios of each case; shape `(n_cases,)`."""
        found = np.ones(int(self.numbers.max()) + 1)
        np.multiply.at(found, self.numbers, self.ratios)
        return found

    @cached_property
    def earned(self) -> Floats:
        """The sum of the rewards of each case; shape `(n_cases,)`."""
        return np.bincount(self.numbers, self.rewards).astype(np.float64)

    @cached_property
    def returns(self) -> Floats:
        """What each row's case earned from there to its end; shape `(n,)`."""
        found, later = np.zeros(len(self)), np.zeros(len(self.earned))
        for rows in self.backwards:
            later[self.numbers[rows]] += self.rewards[rows]
            found[rows] = later[self.numbers[rows]]
        return found


class Gathered(NamedTuple):
    """Decisions as arrays. `left_out`: cases whose reward is not known."""

    logged: Logged
    left_out: tuple[str, ...]


def of_log(log: Log, artefact: Artefact) -> Logged:
    """Decisions as `gatewright.environments.decisions` has them, for the policy of an artefact.

    Raises:
        UsageError: the policy is one for another point, other options or features, or another encoding than the log's.
    """
    manifest = artefact.manifest
    if (log.point.name, log.point.options) != (manifest.point, manifest.options):
        raise UsageError(
            f"the log is of {log.point.name!r} with the options {list(log.point.options)}, and the policy for "
            f"{manifest.point!r} with {list(manifest.options)}; evaluate it on decisions at its own point"
        )
    if log.encoding.digest != manifest.features_digest:
        raise UsageError(
            f"the log has other columns than policy {artefact.version[:12]} reads; make it with the policy's encoding: "
            "Log.of(…, encoding=artefact.manifest.encoding)"
        )
    numbers = {case: number for number, case in enumerate(dict.fromkeys(log.cases))}
    return Logged(
        rewards=log.rewards,
        actions=log.actions,
        propensities=log.propensities,
        target=_target(artefact, log.observations, log.opened),
        opened=log.opened,
        observations=log.observations.astype(np.float64),
        cases=np.array([numbers[case] for case in log.cases], np.int64),
    )


def of_decisions(decisions: Iterable[Decision], artefact: Artefact, rewards: Mapping[str, float]) -> Gathered:
    """Recorded decisions for the policy of an artefact, without the cases whose reward is not known.

    A case's reward is that of its last decision; those before it have 0.

    Raises:
        UsageError: a decision is one between other options, or of other features, or no case has a known reward.
    """
    manifest = artefact.manifest
    every = list(decisions)
    rows = [row for row in every if row.case_id in rewards]
    left_out = tuple(dict.fromkeys(row.case_id for row in every if row.case_id not in rewards))
    if not rows:
        raise UsageError(
            f"there is no decision at {manifest.point!r} with a known reward ({len(left_out)} cases have none); record "
            "rewards with the episodes, or name them with --rewards"
        )
    for row in rows:
        if tuple(row.options) != manifest.options or row.choice.option in row.closed:
            raise UsageError(
                f"the decision of case {row.case_id!r} (record {row.position}) took {row.choice.option!r} among "
                f"{list(row.options)} without {sorted(row.closed)}; the policy chooses among {list(manifest.options)}"
            )
    observations = manifest.encoding.encode_many([row.features for row in rows])
    opened = np.array([[option not in row.closed for option in manifest.options] for row in rows])
    last = {row.case_id: at for at, row in enumerate(rows)}
    numbers = {case: number for number, case in enumerate(last)}
    logged = Logged(
        rewards=np.array([rewards[row.case_id] if last[row.case_id] == at else 0.0 for at, row in enumerate(rows)]),
        actions=np.array([manifest.options.index(row.choice.option) for row in rows], np.int64),
        propensities=np.array([row.choice.propensity for row in rows], np.float64),
        target=_target(artefact, observations, opened),
        opened=opened,
        observations=observations.astype(np.float64),
        cases=np.array([numbers[row.case_id] for row in rows], np.int64),
    )
    return Gathered(logged, left_out)


def _target(artefact: Artefact, observations: NDArray[np.float32], opened: NDArray[np.bool_]) -> Floats:
    return serving.probabilities(artefact.network.logits(observations), opened, artefact.manifest.serving)


def _check(values: NDArray[np.float64] | NDArray[np.int64], good: NDArray[np.bool_], wanted: str) -> None:
    if not good.all():
        at = int(np.argmin(good))
        raise UsageError(f"decision {at} has {values[at]!r}, which is not {wanted}")
