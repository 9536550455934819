"""Why one option rather than another, as the rows of a waterfall: from what is usual to this decision.

Places are percent of the width, so that the drawing is as wide as the page and its words keep their size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from .timeline import preview

SLIVER = 0.4  # percent; the shortest bar that can still be seen
MARGIN = 0.06  # of the whole, free at both sides
LONGEST = 34  # characters of a label

Tone = Literal["for", "against"]


class Step(NamedTuple):
    """A feature's bar. `low`, `high`: where two standard errors about its end reach to · `tie`: whether others have the
    same `rank` · `label`: name and value, cut to what a narrow page holds."""

    feature: str
    value: str
    label: str
    rank: int
    tie: bool
    effect: float
    error: float
    start: float
    width: float
    end: float
    low: float
    high: float
    tone: Tone


class Waterfall(NamedTuple):
    """The rows, and where what is usual (`base`), this decision (`output`) and even odds (`even`) lie."""

    option: str
    against: str
    steps: list[Step]
    base: float
    output: float
    base_at: float
    output_at: float
    even_at: float


def waterfall(explained: Mapping[str, Any]) -> Waterfall:
    """The drawing of an explanation, as `gatewright audit explain --json` gives it."""
    bars: list[Mapping[str, Any]] = explained["bars"]
    base, output = float(explained["base"]), float(explained["output"])
    ends: list[float] = []
    at = base
    for bar in bars:
        at += bar["value"]
        ends.append(at)
    errors = [2 * bar["error"] for bar in bars]
    reached = [0.0, base, output]
    reached += [end + side * error for end, error in zip(ends, errors, strict=True) for side in (-1, 1)]
    low, whole = min(reached), max(reached) - min(reached) or 1.0

    def place(value: float) -> float:
        return round(100 * (MARGIN + (1 - 2 * MARGIN) * (value - low) / whole), 2)

    shared = Counter(bar["rank"] for bar in bars)
    steps: list[Step] = []
    for bar, end, error in zip(bars, ends, errors, strict=True):
        near, far = sorted((place(end - bar["value"]), place(end)))
        name, value = str(bar["feature"]), preview(explained["features"].get(bar["feature"]))
        steps.append(
            Step(
                feature=name,
                value=value,
                label=_cut(f"{name} = {value}"),
                rank=bar["rank"],
                tie=shared[bar["rank"]] > 1,
                effect=bar["value"],
                error=error,
                start=near,
                width=max(round(far - near, 2), SLIVER),
                end=place(end),
                low=place(end - error),
                high=place(end + error),
                tone="for" if bar["value"] >= 0 else "against",
            )
        )
    return Waterfall(
        explained["option"], explained["against"], steps, base, output, place(base), place(output), place(0.0)
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
