"""Encoding: typed features as the vector of numbers that policies learn from, decide by and are explained with."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gatewright.agents.errors import UsageError
from gatewright.safety import canonical

from .features import Feature, of_model

Vector: TypeAlias = NDArray[np.float32]
Features: TypeAlias = "BaseModel | Mapping[str, Any]"
"""A decision point's features: its model, or the same in JSON, as decision records hold it."""

LARGEST = float(np.finfo(np.float32).max)


class _Part(NamedTuple):
    """How one feature is encoded. `low`, `high`: what is taken; `center`, `spread`: how a number is moved."""

    name: str
    start: int
    presence: int | None
    low: float
    high: float
    center: float
    spread: float
    indices: Mapping[Any, int] | None


class Encoding(BaseModel):
    """How the features of a decision point become float32 columns; equal for equal feature models.

    Bounded numbers lie in [-1, 1]; others are `(value - mean) / scale`, with 0 and 1 until `fitted`. Flags are 0 or 1.
    A category has one column for each value. An optional feature ends with a column that is 1 where it is present; its
    other columns are 0 where it is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Feature, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Encoding:
        if len({feature.name for feature in self.features}) != len(self.features):
            raise ValueError(f"two features have one name: {[feature.name for feature in self.features]}")
        return self

    @classmethod
    def of(cls, model: type[BaseModel]) -> Encoding:
        """The encoding of a feature model, without statistics for unbounded numbers.

        Raises:
            UsageError: a field has no natural number; the message names it and the remedy.

        >>> from typing import Literal
        >>> class Claim(BaseModel):
        ...     amount: float = Field(ge=0, le=1000)
        ...     kind: Literal["car", "home"]
        >>> Encoding.of(Claim).encode(Claim(amount=750, kind="home"))
        array([0.5, 0. , 1. ], dtype=float32)
        """
        return cls(features=of_model(model))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The name of each column, for example `amount`, `kind=car`, `age?` (present)."""
        return tuple(column for feature in self.features for column in feature.columns)

    @cached_property
    def groups(self) -> dict[str, slice]:
        """The columns of each feature: explanations treat them as one."""
        found: dict[str, slice] = {}
        start = 0
        for feature in self.features:
            found[feature.name] = slice(start, start := start + len(feature.columns))
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the features are, not of the statistics of unbounded ones: equal where vectors fit."""
        return canonical.digest(
            [feature.model_dump(mode="json", exclude={"mean", "scale"}) for feature in self.features]
        )

    @property
    def low(self) -> Vector:
        """The least value of each column, shape `(n_columns,)`; -inf for unbounded numbers."""
        return self._limits(-1.0, 0.0, -math.inf)

    @property
    def high(self) -> Vector:
        """The largest value of each column, shape `(n_columns,)`; inf for unbounded numbers."""
        return self._limits(1.0, 1.0, math.inf)

    def _limits(self, bounded: float, other: float, unbounded: float) -> Vector:
        limits = np.full(len(self.columns), other, np.float32)
        for part, feature in zip(self._parts, self.features, strict=True):
            if feature.kind == "number":
                limits[part.start] = bounded if feature.bounded else unbounded
        return limits

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        return tuple(_part(feature, self.groups[feature.name]) for feature in self.features)

    def encode(self, features: Features) -> Vector:
        """One decision's features, float32, shape `(n_columns,)`.

        Raises:
            UsageError: a feature is missing, or has a value that the feature model does not take.
        """
        row: Mapping[str, Any] = features.__dict__ if isinstance(features, BaseModel) else features
        numbers = [0.0] * len(self.columns)
        name = ""
        try:
            for name, start, presence, low, high, center, spread, indices in self._parts:
                value = row[name]
                if presence is not None:
                    if value is None:
                        continue
                    numbers[presence] = 1.0
                if indices is not None:
                    index = indices.get(value)
                    numbers[start + (indices[_plain(value)] if index is None else index)] = 1.0
                elif low <= value <= high:
                    numbers[start] = (value - center) / spread
                else:
                    raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            raise _unfit(next(part for part in self._parts if part.name == name), row) from None
        return np.array(numbers, np.float32)

    def encode_many(self, rows: Sequence[Features]) -> Vector:
        """Many decisions' features, float32, shape `(len(rows), n_columns)`; each row as `encode` gives it.

        Raises:
            UsageError: as `encode`.
        """
        shown = [row.__dict__ if isinstance(row, BaseModel) else row for row in rows]
        try:
            return self._encoded(shown)
        except (KeyError, TypeError, ValueError, OverflowError):
            return np.array([self.encode(row) for row in shown], np.float32)  # says which row, and why

    def _encoded(self, rows: Sequence[Mapping[str, Any]]) -> Vector:
        out = np.zeros((len(rows), len(self.columns)), np.float32)
        everyone = np.arange(len(rows))
        for part in self._parts:
            column = [row[part.name] for row in rows]
            there = everyone
            if part.presence is not None:
                there = np.flatnonzero([value is not None for value in column])
                column = [value for value in column if value is not None]
                out[there, part.presence] = 1.0
            if part.indices is not None:
                chosen = [part.indices[_plain(value)] for value in column]
                out[there, part.start + np.array(chosen, np.intp)] = 1.0
                continue
            if any(isinstance(value, str | bytes) for value in column):
                raise TypeError
            numbers = np.array(column, np.float64)
            if not ((numbers >= part.low) & (numbers <= part.high)).all():
                raise ValueError
            out[there, part.start] = (numbers - part.center) / part.spread
        return out

    def fitted(self, rows: Sequence[Features]) -> Encoding:
        """This encoding with mean and standard deviation of unbounded numbers as they are in `rows`.

        A feature that is never there, or always the same, keeps the scale 1.
        """
        shown = [row.__dict__ if isinstance(row, BaseModel) else row for row in rows]
        features: list[Feature] = []
        for feature in self.features:
            if feature.kind == "number" and not feature.bounded:
                numbers = np.array([row[feature.name] for row in shown if row[feature.name] is not None], np.float64)
                if numbers.size:
                    statistics = {"mean": float(numbers.mean()), "scale": float(numbers.std()) or 1.0}
                    feature = Feature.model_validate(feature.model_dump() | statistics)
            features.append(feature)
        return Encoding(features=tuple(features))

    def check(self, model: type[BaseModel]) -> None:
        """Check that this encoding is one of `model`.

        Raises:
            UsageError: the feature model differs; the message names the first difference.
        """
        now = Encoding.of(model)
        if now.digest == self.digest:
            return
        pairs = zip_longest(map(_schema, self.features), map(_schema, now.features))
        mine, other = next((mine, other) for mine, other in pairs if mine != other)
        raise UsageError(
            f"the features of {model.__name__} are not those that were encoded: {mine or 'no feature'} was expected, "
            f"and {other or 'no feature'} is there; train the policy again for the changed model, or restore the model"
        )


def _schema(feature: Feature) -> str:
    return str(feature.model_dump(mode="json", exclude={"mean", "scale"}, exclude_defaults=True))


def _part(feature: Feature, columns: slice) -> _Part:
    low, high, center, spread = -LARGEST, LARGEST, feature.mean, feature.scale
    if feature.low is not None and feature.high is not None:
        low, high = feature.low, feature.high
        center, spread = (low + high) / 2, (high - low) / 2 or 1.0
    elif feature.kind == "number":
        reach = LARGEST * min(spread, 1.0) / 4  # so that the quotient is a float32, too
        low, high = -reach, reach
    if feature.kind == "flag":
        low, high, center, spread = 0.0, 1.0, 0.0, 1.0
    return _Part(
        name=feature.name,
        start=columns.start,
        presence=columns.stop - 1 if feature.optional else None,
        low=low,
        high=high,
        center=center,
        spread=spread,
        indices={value: index for index, value in enumerate(feature.values)} if feature.kind == "category" else None,
    )


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _unfit(part: _Part, row: Mapping[str, Any]) -> UsageError:
    if part.name not in row:
        return UsageError(f"feature {part.name!r} is missing; there are {sorted(row)}")
    takes = f"one of {list(part.indices)}" if part.indices else f"a number from {part.low:g} to {part.high:g}"
    takes += "" if part.presence is None else ", or None"
    return UsageError(f"feature {part.name!r} is {row[part.name]!r}; it takes {takes}")
