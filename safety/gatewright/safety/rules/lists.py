"""What rules ask of lists beside what CEL's own macros give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def total(values: Sequence[Any]) -> float:
    """The sum of whole and decimal numbers, rounded once; 0.0 for none.

    Raises:
        TypeError: one of them is no number.
        OverflowError: it is larger than a decimal number can be.
    """
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{value!r:.80} cannot be added, it is no number")
    return math.fsum(values)


def flat(values: Sequence[Any]) -> list[Any]:
    """The elements, and of those that are lists their elements in their place; one level."""
    found: list[Any] = []
    for value in values:
        found += value if isinstance(value, list) else [value]
    return found
