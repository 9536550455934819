"""Numbers as the reports say them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import measures
from .statistics import Interval
from .trials import Trial


def value(name: str, number: float) -> str:
    """A mean of this metric."""
    if math.isnan(number):
        return "unknown"
    return f"{100 * number:.1f} %" if measures.is_share(name) else f"{number:.4g}"


def known(name: str, number: float | None) -> str:
    """A mean of this metric, or that there is none."""
    return "unknown" if number is None else value(name, number)


def change(name: str, number: float | None) -> str:
    """A difference of this metric, with its sign; shares in points of a hundred."""
    if number is None or math.isnan(number):
        return "unknown"
    return f"{100 * number:+.1f}" if measures.is_share(name) else f"{number:+.4g}"


def size(name: str, number: float) -> str:
    """A difference of this metric without a sign, with its unit."""
    return f"{100 * number:.1f} points" if measures.is_share(name) else f"{number:.4g}"


def interval(name: str, found: Interval) -> str:
    """An interval of differences."""
    return f"{change(name, found.low)} to {change(name, found.high)}"


def chance(p: float) -> str:
    """A p-value."""
    if math.isnan(p):
        return "unknown"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def probability(p: float) -> str:
    """A p-value within a sentence: `p = 0.03`, `p < 0.0001`."""
    said = chance(p)
    return f"p {said}" if said.startswith("<") else f"p = {said}"


def trials(found: Sequence[Trial]) -> str:
    """How many of a case's trials succeeded: `3/4`; those of which it is not known are told apart."""
    known = [trial for trial in found if trial.success is not None]
    share = measures.reduced("success", found)
    said = "?" if share is None else f"{sum(bool(trial.success) for trial in known)}/{len(known)}"
    return said if len(known) in (0, len(found)) else f"{said} ({len(found) - len(known)} unknown)"
