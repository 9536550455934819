"""Everything that can be seen at the two decision points, numbered: the levels of each feature, and the cells.

A cell is one combination of levels. What learners see, what the desk's limits close and what its rules choose are
tables over cells, made by asking the very functions that the team uses.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from gatewright.agents.claims.points import (
    closed_at_investigation,
    closed_at_triage,
)
from gatewright.agents.claims.rules import INVESTIGATE, TRIAGE
from gatewright.agents.decisions import DecisionPoint, Policy
from gatewright.runtime.policies.encoding import Encoding

F = TypeVar("F", bound=BaseModel)

CLAIM_TYPES = ("motor", "home", "travel")
AMOUNTS = (500.0, 1_500.0, 4_000.0, 12_000.0)  # euros
COVERAGES = ("inside", "edge", "outside")
RISKS = tuple(range(11))
LANES = ("standard", "special_unit")
ASSESSMENTS = ("clear", "unclear", "doubtful")
DOCUMENTS = ("not_requested", "consistent", "inconsistent")
INSPECTIONS = ("not_done", "clean", "damaging")

TRIAGE_LEVELS: dict[str, tuple[Any, ...]] = {
    "claim_type": CLAIM_TYPES,
    "amount": AMOUNTS,
    "policy_age_months": (6, 60),
    "prior_claims": (0, 1, 2),
    "channel": ("agent", "online"),
    "documents_complete": (False, True),
    "reported_after_days": (2, 30),
    "coverage": COVERAGES,
    "fraud_score": (0, 1, 2),
    "unit_busy": (False, True),
}
# What a claim is to those who investigate it: its profile, and after it what they found out.
PROFILE_LEVELS: dict[str, tuple[Any, ...]] = {
    "claim_type": CLAIM_TYPES,
    "amount": AMOUNTS,
    "documents_complete": (False, True),
    "coverage": COVERAGES,
    "risk": RISKS,
}
FINDINGS_LEVELS: dict[str, tuple[Any, ...]] = {
    "lane": LANES,
    "assessment": ASSESSMENTS,
    "documents": DOCUMENTS,
    "inspection": INSPECTIONS,
}
PROFILES = tuple(len(levels) for levels in PROFILE_LEVELS.values())
FINDINGS = tuple(len(levels) for levels in FINDINGS_LEVELS.values())


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of one decision point; cell c has the levels `np.unravel_index(c, shape)`."""

    point: DecisionPoint[Any]
    levels: dict[str, tuple[Any, ...]]
    closed: Callable[[Any], dict[str, str]]

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """How many levels each feature has."""
        return tuple(len(levels) for levels in self.levels.values())

    @property
    def size(self) -> int:
        """How many cells there are."""
        return math.prod(self.shape)

    @functools.cached_property
    def indices(self) -> tuple[NDArray[np.intp], ...]:
        """The level of each feature by cell, each of shape `(size,)`."""
        return np.unravel_index(np.arange(self.size), self.shape)

    def features(self, cell: int) -> BaseModel:
        """The cell as the decision point's features."""
        at = np.unravel_index(cell, self.shape)
        return self._features(levels[int(i)] for levels, i in zip(self.levels.values(), at, strict=True))

    def _every(self) -> Iterator[BaseModel]:
        """The features of all cells, in order."""
        return map(self._features, itertools.product(*self.levels.values()))

    def _features(self, values: Iterable[Any]) -> BaseModel:
        found: BaseModel = self.point.features.model_construct(**dict(zip(self.levels, values, strict=True)))
        return found

    def cell(self, features: BaseModel) -> int:
        """The cell that has these features.

        Raises:
            ValueError: a feature has a value that the model never gives.
        """
        at = [levels.index(getattr(features, name)) for name, levels in self.levels.items()]
        return int(np.ravel_multi_index(at, self.shape))

    @functools.cached_property
    def masks(self) -> NDArray[np.bool_]:
        """Which options are open, shape `(size, n_options)`."""
        closed = map(self.closed, self._every())
        masks = np.array([[option not in each for option in self.point.options] for each in closed])
        masks.flags.writeable = False
        return masks

    def choices(self, policy: Policy[Any]) -> NDArray[np.int64]:
        """What a policy chooses when it is asked in every cell, as positions of options, shape `(size,)`."""
        options = self.point.options
        chosen = np.empty(self.size, np.int64)
        for cell, (features, mask) in enumerate(zip(self._every(), self.masks.tolist(), strict=True)):
            open_options = [option for option, is_open in zip(options, mask, strict=True) if is_open]
            chosen[cell] = options.index(policy(features, open_options).option)
        return chosen

    @functools.cached_property
    def rules(self) -> NDArray[np.int64]:
        """What the desk's own rules choose, as positions of options, shape `(size,)`."""
        chosen = self.choices(self.point.policy)
        chosen.flags.writeable = False
        return chosen

    def uniform(self) -> NDArray[np.float64]:
        """The policy that picks any open option alike, shape `(size, n_options)`, rows add up to 1."""
        shares: NDArray[np.float64] = self.masks / self.masks.sum(axis=1, keepdims=True)
        return shares

    def certain(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """The policy that makes one choice in each cell; `chosen` has shape `(size,)`."""
        table: NDArray[np.float64] = np.eye(len(self.point.options))[chosen]
        return table

    @functools.cached_property
    def encoding(self) -> Encoding:
        """How learned policies see the features."""
        return Encoding.of(self.point.features)

    @functools.cached_property
    def observations(self) -> NDArray[np.float32]:
        """The encoded features, shape `(size, n_columns)`.

        Features are encoded one by one, so that one row for each level says how all cells are encoded.
        """
        rows = max(self.shape)
        some = [{name: levels[min(at, len(levels) - 1)] for name, levels in self.levels.items()} for at in range(rows)]
        encoded = self.encoding.encode_many(some)
        table = np.empty((self.size, encoded.shape[1]), np.float32)
        for name, level in zip(self.levels, self.indices, strict=True):
            columns = self.encoding.groups[name]
            table[:, columns] = encoded[level, columns]
        table.flags.writeable = False
        return table


TRIAGE_GRID = Grid(TRIAGE, TRIAGE_LEVELS, closed_at_triage)
INVESTIGATE_GRID = Grid(INVESTIGATE, PROFILE_LEVELS | FINDINGS_LEVELS, closed_at_investigation)
