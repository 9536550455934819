"""Networks: what gives every option a number, from plain arrays, in NumPy alone.

There are two kinds. An `Mlp` is a stack of dense layers; without hidden ones it is the linear model of logistic
regression. A `Table` looks the numbers up by the cell that the columns fall into, as tabular Q-learning does; with one
cell it always says the same, as a majority policy does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from gatewright.agents.errors import UsageError

Activation = Literal["tanh", "relu"]
Numbers: TypeAlias = NDArray[np.floating[Any]]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]

MOST_CELLS = 2**62  # of a table: cells are numbered in 64 bits


class Architecture(BaseModel):
    """Which network the arrays are of. `activation` follows every layer of an `mlp` but the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mlp", "table"]
    activation: Activation | None = None


class Network(Protocol):
    """Gives every option a number, the larger the better."""

    @property
    def architecture(self) -> Architecture: ...

    @property
    def columns(self) -> int:
        """How many columns it reads."""
        ...

    @property
    def options(self) -> int:
        """How many options it tells apart."""
        ...

    def arrays(self) -> Arrays:
        """All that it is made of, by name."""
        ...

    def logits(self, x: Numbers) -> Numbers:
        """Shape `(n, n_columns)` gives `(n, n_options)`, and a single row without `n` likewise; of the dtype of `x`."""
        ...


@dataclass(frozen=True, eq=False)
class Mlp:
    """Dense layers. `weights[i]`: float32, shape `(inputs, outputs)`; `biases[i]`: float32, shape `(outputs,)`.

    Raises:
        UsageError: shapes do not follow from one another, or a number is not finite.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        shapes = [(w.shape, b.shape) for w, b in zip(self.weights, self.biases, strict=False)]
        fits = len(self.weights) == len(self.biases) > 0
        fits &= all(len(w) == 2 and b == w[1:] for w, b in shapes)
        fits &= all(first[0][-1] == then[0][0] for first, then in zip(shapes, shapes[1:], strict=False))
        if not fits:
            raise UsageError(f"layers of the shapes {shapes} do not follow from one another: give (in, out) and (out,)")
        _check_finite([*self.weights, *self.biases])

    @property
    def architecture(self) -> Architecture:
        return Architecture(kind="mlp", activation=self.activation)

    @property
    def columns(self) -> int:
        return int(self.weights[0].shape[0])

    @property
    def options(self) -> int:
        return int(self.weights[-1].shape[1])

    def arrays(self) -> Arrays:
        named = {f"w{index}": array for index, array in enumerate(self.weights)}
        return named | {f"b{index}": array for index, array in enumerate(self.biases)}

    def logits(self, x: Numbers) -> Numbers:
        tanh, last = self.activation == "tanh", len(self.weights) - 1
        for at, weight in enumerate(self.weights):
            x = x.dot(weight)
            x += self.biases[at]
            if at == last:
                break
            if tanh:
                np.tanh(x, x)
            else:
                np.maximum(x, 0, out=x)
        return x


@dataclass(frozen=True, eq=False)
class Table:
    """Values by cell.

    `cuts`: float32, shape `(n_columns, most_cuts)`, each row ascending and filled up with inf; a column's number is how
    many of its cuts it has reached. `cells`: int64, ascending, the cells that have values of their own, numbered with
    the last column running fastest. `values`: float32, shape `(len(cells) + 1, n_options)`; the last row is for every
    other cell.

    Raises:
        UsageError: shapes or order are not these, or a number is not finite.
    """

    cuts: NDArray[np.float32]
    cells: NDArray[np.int64]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        dimensions = (self.cuts.ndim, self.cells.ndim, self.values.ndim)
        if dimensions != (2, 1, 2) or len(self.values) != len(self.cells) + 1:
            raise UsageError(
                f"a table of cuts {self.cuts.shape}, cells {self.cells.shape} and values {self.values.shape} does not "
                "fit together: give (columns, cuts), (cells,) and (cells + 1, options)"
            )
        if (
            np.isnan(self.cuts).any()
            or (self.cuts[:, 1:] < self.cuts[:, :-1]).any()
            or (np.diff(self.cells) <= 0).any()
        ):
            raise UsageError("cuts and cells of a table must ascend, and be numbers")
        if (most := float(np.prod(1.0 + np.isfinite(self.cuts).sum(axis=1)))) > MOST_CELLS:
            raise UsageError(f"the cuts make {most:.2g} cells and may make {MOST_CELLS:.2g}; cut fewer columns")
        _check_finite([self.values])

    @property
    def architecture(self) -> Architecture:
        return Architecture(kind="table")

    @property
    def columns(self) -> int:
        return int(self.cuts.shape[0])

    @property
    def options(self) -> int:
        return int(self.values.shape[1])

    def arrays(self) -> Arrays:
        return {"cuts": self.cuts, "cells": self.cells, "values": self.values}

    def cells_of(self, x: Numbers) -> NDArray[np.int64]:
        """The numbers of the cells that rows fall into: shape `(n, n_columns)` gives `(n,)`."""
        return np.asarray((x[..., None] >= self.cuts).sum(axis=-1) @ self._strides, np.int64)

    def logits(self, x: Numbers) -> Numbers:
        cells = self.cells_of(x)
        rows = np.searchsorted(self.cells, cells)
        known = self._padded[rows] == cells
        return self.values[np.where(known, rows, len(self.cells))].astype(x.dtype, copy=False)

    @cached_property
    def _strides(self) -> NDArray[np.int64]:
        sizes = 1 + np.isfinite(self.cuts).sum(axis=1, dtype=np.int64)
        return np.concatenate([np.cumprod(sizes[:0:-1])[::-1], np.ones(1, np.int64)])

    @cached_property
    def _padded(self) -> NDArray[np.int64]:
        return np.append(self.cells, np.int64(-1))


def linear(weights: ArrayLike, biases: ArrayLike) -> Mlp:
    """One dense layer: `weights` of shape `(n_columns, n_options)`, `biases` of `(n_options,)`."""
    return Mlp((np.array(weights, np.float32),), (np.array(biases, np.float32),))


def table(cuts: Sequence[Sequence[float]], values: Mapping[int, Sequence[float]], other: Sequence[float]) -> Table:
    """A table from each column's cuts (none for a column that does not matter) and the values of visited cells."""
    most = max(map(len, cuts), default=0)
    padded = np.full((len(cuts), most), np.inf, np.float32)
    for row, own in zip(padded, cuts, strict=True):
        row[: len(own)] = own
    cells = sorted(values)
    rows = [*(values[cell] for cell in cells), other]
    return Table(padded, np.array(cells, np.int64), np.array(rows, np.float32))


def majority(columns: int, counts: Sequence[float]) -> Table:
    """Always prefers the option that was chosen most often; `counts` by option, which may be 0."""
    return table([()] * columns, {}, np.log(np.maximum(counts, 1e-3)).tolist())


def build(architecture: Architecture, arrays: Arrays) -> Network:
    """The network of these arrays.

    Raises:
        UsageError: an array is missing, too many are there, or they do not fit together.
    """
    try:
        if architecture.kind == "table":
            network: Network = Table(arrays["cuts"], arrays["cells"], arrays["values"])
        else:
            layers = range(len(arrays) // 2)
            network = Mlp(
                tuple(arrays[f"w{index}"] for index in layers),
                tuple(arrays[f"b{index}"] for index in layers),
                architecture.activation or "tanh",
            )
    except KeyError as error:
        raise UsageError(f"a network of kind {architecture.kind!r} needs an array {error}") from None
    if network.architecture != architecture or set(network.arrays()) != set(arrays):
        raise UsageError(f"the arrays {sorted(arrays)} are not those of {architecture!r}")
    for name, array in arrays.items():
        if array.dtype != (wanted := np.int64 if name == "cells" else np.float32):
            raise UsageError(f"array {name!r} of a network must be {np.dtype(wanted)}, and is {array.dtype}")
    return network


def _check_finite(arrays: Sequence[NDArray[Any]]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise UsageError("a network holds a number that is not finite; its training diverged")
