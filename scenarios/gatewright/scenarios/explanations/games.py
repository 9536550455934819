"""The game that an explanation divides: which features move a policy's logits away from what is usual, how far.

Features are played against a reference set of logged decisions. A coalition's worth is the mean of the centred logits
over hybrids: the coalition's features as they were decided on, the others from a reference row (interventional, "true
to the model": Chen et al. 2020, arXiv 2006.16234). Hybrids may be combinations that never occur: see `Support`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError

Array = NDArray[np.float64]
Logits = Callable[[Array], Array]
"""Rows of encoded features, shape `(n, columns)`, to logits of all options, shape `(n, options)`."""

LARGEST = 4_096  # rows evaluated at once: what a small network makes of them still fits a cache
PROBES = 200  # hybrids that are looked at for their support
NEAREST = 0.99  # quantile of the reference rows' own distances beyond which a hybrid is off support


class Group(NamedTuple):
    """A feature: its name and the columns that encode it, which move together (one-hot columns are one feature)."""

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The decisions that are usual, encoded: float64, shape `(n, columns)`.

    `query` says how they were found · `first`, `last`: the range of the ledger they were taken from, inclusive.
    """

    rows: Array = field(repr=False)
    query: str
    first: int | None = None
    last: int | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shape and bytes (little-endian float64, row by row)."""
        rows = np.ascontiguousarray(self.rows, dtype="<f8")
        return sha256(repr(rows.shape).encode() + rows.tobytes()).hexdigest()

    def entry(self) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "query": self.query,
            "first": self.first,
            "last": self.last,
            "rows": len(self.rows),
            "sha256": self.digest,
        }


class Game:
    """A policy's centred logits, its features and the reference set; many decisions are explained with one."""

    def __init__(self, logits: Logits, groups: Sequence[Group], reference: Reference, options: Sequence[str]) -> None:
        """`groups` name every column exactly once; `options` are in the order of the logits.

        Raises:
            UsageError: a column has no group or several, there is no reference row, or the logits do not fit.
        """
        width = reference.rows.shape[1] if reference.rows.ndim == 2 else 0
        named = sorted(column for group in groups for column in group.columns)
        if named != list(range(width)):
            raise UsageError(f"groups name the columns {named}; each of the {width} columns belongs to exactly one")
        if not len(reference.rows):
            raise UsageError("the reference set is empty: there is nothing usual to compare with; log decisions first")
        if len(options) < 2:
            raise UsageError(f"a choice among {list(options)!r} needs no explanation; there must be two options")
        self._logits = logits
        self.groups = tuple(groups)
        self.reference = reference
        self.options = tuple(options)
        self.owner = np.empty(width, dtype=np.intp)  # the group of each column
        for place, group in enumerate(groups):
            self.owner[list(group.columns)] = place
        self.usual = self.worth(reference.rows)
        if self.usual.shape[1] != len(options):
            raise UsageError(f"the policy gives {self.usual.shape[1]} logits for {len(options)} options")

    def worth(self, rows: Array) -> Array:
        """Centred logits, shape `(n, options)`: each row sums to 0."""
        parts = [self._logits(rows[start : start + LARGEST]) for start in range(0, len(rows), LARGEST)]
        logits = np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts), dtype=np.float64)
        centred: Array = logits - logits.mean(axis=1, keepdims=True)
        return centred

    @cached_property
    def base(self) -> Array:
        """The mean over the reference set, shape `(options,)`: where every explanation starts."""
        mean: Array = self.usual.mean(axis=0)
        return mean

    @cached_property
    def support(self) -> Support:
        """What has been seen."""
        return Support(self.reference.rows)

    def row(self, features: Array) -> Array:
        """The decision to explain as one row of float64.

        Raises:
            UsageError: it has another number of columns, or is not finite.
        """
        row: Array = np.asarray(features, dtype=np.float64).reshape(-1)
        if len(row) != len(self.owner) or not np.isfinite(row).all():
            raise UsageError(f"a decision has {len(self.owner)} finite columns here, not {features!r}")
        return row

    def strangeness(self, row: Array, kept: NDArray[np.bool_], others: NDArray[np.intp]) -> float:
        """The share of hybrids that are off support, in [0, 1].

        Args:
            kept: shape `(n, groups)`, which features a hybrid has from `row`.
            others: shape `(n,)`, the reference rows that it has the others from.
        """
        return self.support.off(np.where(kept[:, self.owner], row, self.reference.rows[others]))


class Support:
    """Where logged decisions are.

    A row is off support if its nearest reference row is farther away than the nearest other one is for 99 % of the
    reference rows themselves (Euclidean, columns divided by their standard deviations).
    """

    def __init__(self, rows: Array) -> None:
        spread = rows.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)
        self._rows = rows / self._scale
        self._squares = (self._rows**2).sum(axis=1)
        own = self._distances(self._rows[:PROBES])
        own[np.arange(len(own)), np.arange(len(own))] = np.inf
        nearest = own.min(axis=1)
        self._limit = float(np.quantile(nearest, NEAREST)) if len(rows) > 1 else 0.0

    def off(self, rows: Array) -> float:
        """The share of rows that are off support."""
        nearest = self._distances(rows / self._scale).min(axis=1)
        return float((nearest > self._limit + 1e-9).mean())

    def _distances(self, scaled: Array) -> Array:
        squares = (scaled**2).sum(axis=1)[:, None] + self._squares - 2 * scaled @ self._rows.T
        distances: Array = np.maximum(squares, 0.0)  # squared; rounding may bring them below 0
        return distances
