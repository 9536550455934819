"""Typed features: what a decision point's pydantic model says about each of its fields, as far as a policy needs it."""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from gatewright.agents.errors import UsageError

Kind = Literal["number", "flag", "category"]
"""`number`: an int or a float · `flag`: a bool · `category`: one of a few values, a Literal or an Enum."""


class Feature(BaseModel):
    """One typed feature, and where it lies in the numbers that a policy sees.

    `low` and `high` are a number's bounds, inclusive, both or none. A number without them is shown as
    `(value - mean) / scale`; bounded ones are not normalised. `values`: those of a category, in the model's order.
    `whole`: only whole numbers. `optional`: it may be None, which a column of its own says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    optional: bool = False
    whole: bool = False
    low: float | None = None
    high: float | None = None
    values: tuple[bool | int | str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @model_validator(mode="after")
    def _consistent(self) -> Feature:
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        numbers = (*bounds, self.mean, self.scale)
        if len(bounds) == 1 or bounds != sorted(bounds) or not all(map(math.isfinite, numbers)) or self.scale <= 0:
            raise ValueError(f"feature {self.name!r} has bounds {bounds} and scale {self.scale!r}")
        if (self.kind == "category") != bool(self.values) or len(set(self.values)) != len(self.values):
            raise ValueError(f"feature {self.name!r}, a {self.kind}, has the values {list(self.values)}")
        return self

    @property
    def bounded(self) -> bool:
        """Whether it is a number between two bounds."""
        return self.low is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns: one for a number or flag, one for each value of a category, one for presence."""
        own = [f"{self.name}={value}" for value in self.values] if self.kind == "category" else [self.name]
        return (*own, f"{self.name}?") if self.optional else tuple(own)


def of_model(model: type[BaseModel]) -> tuple[Feature, ...]:
    """The features of a pydantic model, in its order.

    Raises:
        UsageError: it has none, or one whose type has no natural number; the message names it and the remedy.
    """
    if not model.model_fields:
        raise UsageError(f"{model.__name__} has no fields; a policy needs at least one feature to decide by")
    return tuple(_feature(model, name, field) for name, field in model.model_fields.items())


def _feature(model: type[BaseModel], name: str, field: FieldInfo) -> Feature:
    place = f"feature {name!r} of {model.__name__}"
    kinds, metadata = _unwrapped(field.annotation)
    optional = type(None) in kinds
    kinds = [kind for kind in kinds if kind is not type(None)]
    if len(kinds) != 1:
        raise UsageError(f"{place} is {field.annotation}; give it one type: {_REMEDY}")
    [kind] = kinds
    if kind is bool:
        return Feature(name=name, kind="flag", optional=optional)
    if kind in (int, float):
        low, high = _bounds([*field.metadata, *metadata], whole=kind is int)
        if low is not None and high is not None and low > high:
            raise UsageError(f"{place} is bounded by {low:g} and {high:g}, which nothing can be; correct its bounds")
        return Feature(name=name, kind="number", optional=optional, whole=kind is int, low=low, high=high)
    values = _values(kind)
    if values is None:
        raise UsageError(f"{place} is a {getattr(kind, '__name__', kind)}, which is no number; {_remedy(kind)}")
    if None in values:
        optional, values = True, [value for value in values if value is not None]
    if (
        not values
        or len(set(values)) != len(values)
        or not all(isinstance(value, bool | int | str) for value in values)
    ):
        raise UsageError(f"{place} has the values {values}; give it different texts or whole numbers")
    return Feature(name=name, kind="category", optional=optional, values=tuple(values))


_REMEDY = "a bool, an int or float (best with bounds: `Field(ge=0, le=100)`), a Literal or an Enum, `| None` if needed"


def _remedy(kind: Any) -> str:
    if kind is str:
        return "make it a Literal or an Enum of the values that matter, or a number computed from the text"
    if getattr(kind, "__module__", "") == "datetime":
        return "make it a number measured from the case, for example `days_open: int = Field(ge=0, le=365)`"
    return f"make it {_REMEDY}"


def _unwrapped(annotation: Any) -> tuple[list[Any], list[Any]]:
    """The types that an annotation is a union of, and what `Annotated` says about them."""
    if isinstance(value := getattr(annotation, "__value__", None), object) and value is not None:
        return _unwrapped(value)  # `type X = ...`
    if (supertype := getattr(annotation, "__supertype__", None)) is not None:
        return _unwrapped(supertype)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        kinds, more = _unwrapped(inner)
        return kinds, [*more, *metadata]
    if origin in (Union, types.UnionType):
        found = [_unwrapped(part) for part in get_args(annotation)]
        return [kind for kinds, _ in found for kind in kinds], [fact for _, facts in found for fact in facts]
    return [annotation], []


def _facts(metadata: Iterable[Any]) -> Iterator[Any]:
    for fact in metadata:
        if isinstance(fact, FieldInfo):
            yield from _facts(fact.metadata)
        elif isinstance(fact, GroupedMetadata):
            yield from _facts(fact)
        else:
            yield fact


def _bounds(metadata: Iterable[Any], *, whole: bool) -> tuple[float | None, float | None]:
    """The tightest bounds, both or none: a number that is open to one side needs a normaliser anyway."""
    lows: list[float] = []
    highs: list[float] = []
    step = 1 if whole else 0
    for fact in _facts(metadata):
        match fact:
            case Ge():
                lows.append(float(cast("Any", fact.ge)))
            case Gt():
                lows.append(float(cast("Any", fact.gt)) + step)
            case Le():
                highs.append(float(cast("Any", fact.le)))
            case Lt():
                highs.append(float(cast("Any", fact.lt)) - step)
            case _:
                pass
    low, high = max(lows, default=-math.inf), min(highs, default=math.inf)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _values(kind: Any) -> list[Any] | None:
    """The values of a Literal or an Enum as they are in JSON; None for other types."""
    if get_origin(kind) is Literal:
        given = list(get_args(kind))
    elif isinstance(kind, type) and issubclass(kind, enum.Enum) and not issubclass(kind, enum.Flag):
        given = list(kind)
    else:
        return None
    return [value.value if isinstance(value, enum.Enum) else value for value in given]
