"""How much each feature moved each option, and what that says about one option rather than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from gatewright.agents.errors import UsageError

from .games import Array

Method = Literal["sampled", "exact"]
"""`sampled`: antithetic permutations with reference rows · `exact`: all coalitions with all reference rows."""


class Bar(NamedTuple):
    """What one feature says for an option and against another, in logits.

    `error` is one standard error, from sampling alone · `rank`: from 1 by size; bars whose intervals overlap with the
    largest of a rank share it.
    """

    feature: str
    value: float
    error: float
    rank: int


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Why `option` rather than `against`: log odds of the one against the other, which no closed option changes.

    `base`: the usual log odds · `output`: those of this decision · `residual`: what the bars leave unexplained.
    """

    option: str
    against: str
    bars: tuple[Bar, ...]
    base: float
    output: float
    residual: float


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Shapley values of one decision, in centred logits.

    `values`: shape `(features, options)` · `covariance`: of the estimates of one feature, shape `(features, options,
    options)`, 0 where exact · `base`, `output`: shape `(options,)` · `pairs`: antithetic pairs of permutations, 0 where
    exact · `evaluations`: rows given to the policy · `off_support`: share of hybrids unlike any logged decision ·
    `settled`: whether the stopping rule was met.
    """

    method: Method
    features: tuple[str, ...]
    options: tuple[str, ...]
    values: Array = field(repr=False)
    covariance: Array = field(repr=False)
    base: Array = field(repr=False)
    output: Array = field(repr=False)
    off_support: float
    evaluations: int
    pairs: int = 0
    settled: bool = True

    @property
    def errors(self) -> Array:
        """Standard errors, shape `(features, options)`."""
        errors: Array = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return errors

    @property
    def residual(self) -> Array:
        """What the values leave unexplained of each option's logit, shape `(options,)`; rounding, if all is well."""
        residual: Array = self.output - self.base - self.values.sum(axis=0)
        return residual

    def contrast(self, option: str, against: str) -> Contrast:
        """Why one option rather than another, largest bar first; needs no further evaluation.

        Raises:
            UsageError: one of them is no option, or they are the same.
        """
        a, b = self._place(option), self._place(against)
        if a == b:
            raise UsageError(f"{option!r} is not to be told from itself; name another of {list(self.options)}")
        values = self.values[:, a] - self.values[:, b]
        spread = self.covariance[:, a, a] + self.covariance[:, b, b] - 2 * self.covariance[:, a, b]
        errors = np.sqrt(np.maximum(spread, 0.0))
        order = sorted(range(len(values)), key=lambda place: -abs(float(values[place])))
        ranked = ranks([abs(float(values[place])) for place in order], [float(errors[place]) for place in order])
        return Contrast(
            option=option,
            against=against,
            bars=tuple(
                Bar(self.features[place], float(values[place]), float(errors[place]), rank)
                for place, rank in zip(order, ranked, strict=True)
            ),
            base=float(self.base[a] - self.base[b]),
            output=float(self.output[a] - self.output[b]),
            residual=float(self.residual[a] - self.residual[b]),
        )

    def _place(self, option: str) -> int:
        if option not in self.options:
            raise UsageError(f"{option!r} is no option of this decision; it had {list(self.options)}")
        return self.options.index(option)


def ranks(sizes: Sequence[float], errors: Sequence[float]) -> list[int]:
    """Ranks from 1 of sizes that are in descending order; a tie with the first of a rank is a tie.

    >>> ranks([3.0, 2.9, 1.0], [0.1, 0.1, 0.1])
    [1, 1, 3]
    """
    found: list[int] = []
    leader = 0
    for place, (size, error) in enumerate(zip(sizes, errors, strict=True)):
        if size + 2 * error < sizes[leader] - 2 * errors[leader]:
            leader = place
        found.append(leader + 1)
    return found
