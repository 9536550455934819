"""The smallest change of a decision's features that would have flipped the choice.

A search of a grid: every single change, then every two together. Which features may change, and which way, is said
where they are declared: `Field(json_schema_extra={"actionable": False})` or `{"monotonic": "increase"}` (`"decrease"`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel

from gatewright.agents.errors import UsageError

from .games import Array, Game, Group

GRID = 10  # values tried of a number
MANY = 40  # values tried of a category
Direction = Literal["either", "increase", "decrease"]


class Step(NamedTuple):
    """A feature with another value. `columns`: the encoded value, which `before` and `after` are words for.

    `size` in [0, 1]: for a number, the share of the reference rows that lie between the two values; for a category,
    the share of those that have another one than the new.
    """

    feature: str
    before: Any
    after: Any
    size: float


class Change(NamedTuple):
    """What would have led to `option`; `size` is the sum of the steps' sizes."""

    option: str
    steps: tuple[Step, ...]
    size: float


@dataclass(frozen=True, kw_only=True)
class Lever:
    """The values of one feature that are tried. `encoded`: shape `(values, columns of the group)`."""

    group: Group
    encoded: Array = field(repr=False)
    steps: tuple[Step, ...]


def directions(features: type[BaseModel]) -> dict[str, Direction]:
    """Which way each feature may change; those that may not are left out.

    Raises:
        UsageError: a field says something else than the module's text.
    """
    found: dict[str, Direction] = {}
    for name, declared in features.model_fields.items():
        extra = declared.json_schema_extra
        said: Mapping[str, Any] = extra if isinstance(extra, Mapping) else {}
        direction = said.get("monotonic", "either")
        if direction not in ("either", "increase", "decrease") or not isinstance(said.get("actionable", True), bool):
            raise UsageError(
                f"feature {name!r} says {dict(said)!r}; `actionable` is true or false, `monotonic` is 'increase' or"
                " 'decrease'"
            )
        if said.get("actionable", True):
            found[name] = direction
    return found


def levers(
    game: Game,
    features: Array,
    allowed: Mapping[str, Direction],
    spoken: Callable[[Group, Array], Any] | None = None,
) -> list[Lever]:
    """The values to try, taken from the reference set: quantiles of numbers, the categories that occur.

    Args:
        allowed: by feature, from `directions`; others do not change.
        spoken: gives an encoded value in words; without it, numbers are as encoded, categories their column's number.
    """
    row, say = game.row(features), spoken or _encoded
    return [
        _lever(group, game.reference.rows[:, list(group.columns)], row[list(group.columns)], allowed[group.name], say)
        for group in game.groups
        if group.name in allowed
    ]


def _encoded(_group: Group, value: Array) -> Any:
    return float(value[0]) if len(value) == 1 else int(value.argmax())


def _lever(
    group: Group, usual: Array, own: Array, direction: Direction, spoken: Callable[[Group, Array], Any]
) -> Lever:
    if len(group.columns) == 1:
        column = np.sort(usual[:, 0])
        values = np.unique(np.quantile(column, np.linspace(0, 1, GRID)))[:, None]
        sizes = np.abs(np.searchsorted(column, values[:, 0]) - np.searchsorted(column, own[0])) / len(column)
        possible = {"either": values != own, "increase": values > own, "decrease": values < own}[direction][:, 0]
    else:
        values, counts = np.unique(usual, axis=0, return_counts=True)
        if len(values) > MANY:  # a number that may be missing, too
            some = np.linspace(0, len(values) - 1, MANY).astype(np.intp)
            values, counts = values[some], counts[some]
        sizes = 1 - counts / len(usual)
        possible = (values != own).any(axis=1) & (direction == "either")  # categories have no order to keep to
    values, sizes = values[possible], sizes[possible]
    before = spoken(group, own)
    steps = [
        Step(group.name, before, spoken(group, value), float(size)) for value, size in zip(values, sizes, strict=True)
    ]
    return Lever(group=group, encoded=values, steps=tuple(steps))


def smallest_change(
    game: Game, features: Array, tried: Sequence[Lever], *, open_options: Sequence[bool], option: str | None = None
) -> Change | None:
    """The smallest change that makes the policy prefer `option`, or any other one; None if the grid has none.

    Args:
        open_options: which options could be chosen, in their order; a closed one is never preferred.
        option: open, and not the one that is preferred already.

    Raises:
        UsageError: `option` is closed, unknown or preferred already.
    """
    row = game.row(features)
    closed = np.where(np.asarray(open_options), 0.0, -np.inf)
    present = int((game.worth(row[None])[0] + closed).argmax())
    if option is not None and (option not in game.options or not open_options[game.options.index(option)]):
        raise UsageError(f"no change of features leads to {option!r}: it is closed, or no option of {game.options}")
    if option == game.options[present]:
        raise UsageError(f"the policy prefers {option!r} already; name another option")
    target = None if option is None else game.options.index(option)

    def flipped(rows: Array) -> Array:
        preferred = (game.worth(rows) + closed).argmax(axis=1)
        return np.where(preferred != present if target is None else preferred == target, preferred, -1).astype(float)

    single = [[(lever, place)] for lever in tried for place in range(len(lever.steps))]
    found = _least(row, single, flipped)
    if found is None:
        double = [
            [(first, i), (second, j)]
            for first, second in combinations(tried, 2)
            for i in range(len(first.steps))
            for j in range(len(second.steps))
        ]
        found = _least(row, double, flipped)
    if found is None:
        return None
    preferred, steps = found
    return Change(game.options[preferred], steps, sum(step.size for step in steps))


def _least(
    row: Array, candidates: Sequence[Sequence[tuple[Lever, int]]], flipped: Callable[[Array], Array]
) -> tuple[int, tuple[Step, ...]] | None:
    """The candidate of the least size among those that flip the choice, the first of several."""
    if not candidates:
        return None
    rows = np.tile(row, (len(candidates), 1))
    for number, candidate in enumerate(candidates):
        for lever, place in candidate:
            rows[number, list(lever.group.columns)] = lever.encoded[place]
    preferred = flipped(rows)
    sizes = [sum(lever.steps[place].size for lever, place in candidate) for candidate in candidates]
    good = np.flatnonzero(preferred >= 0)
    if not len(good):
        return None
    best = int(min(good, key=lambda number: sizes[number]))
    return int(preferred[best]), tuple(lever.steps[place] for lever, place in candidates[best])
