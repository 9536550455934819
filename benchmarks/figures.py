"""Figures: two things measured in turns, their ratio, and the bar that it has to reach."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Turn = Callable[[], Awaitable[float]]
"""Measures one side once; gives a number in the figure's unit."""


class Pair(NamedTuple):
    """Both sides, measured one right after the other."""

    ours: float
    reference: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a figure has to reach.

    `of` is `ratio` where the ratio is held against the bar, and `ours` where it is our own number, in `Figure.unit`.
    """

    value: float
    sense: Literal["at most", "at least"]
    of: Literal["ratio", "ours"] = "ratio"

    def passes(self, figure: Figure) -> bool:
        """Whether the figure reaches the bar; a figure without the number that is asked for does not."""
        number = figure.ratio if self.of == "ratio" else figure.ours
        if number is None or math.isnan(number):
            return False
        return number <= self.value if self.sense == "at most" else number >= self.value


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of ours beside the reference.

    `ratio` is the median of the turns' ratios, ours over reference. It is not exactly `ours / reference`: those are
    medians of their own, and a slow second of the machine moves them but not the ratio of the turn that it fell into.
    """

    name: str
    unit: str
    ours: float
    reference: float | None = None
    ratio: float | None = None
    bar: Bar | None = None

    @property
    def passed(self) -> bool:
        """Whether the bar is reached. A figure without a bar is there for information, and passes."""
        return self.bar is None or self.bar.passes(self)

    def entry(self) -> dict[str, Any]:
        """The figure as `--json` prints it."""
        return {
            "ours": _rounded(self.ours),
            "reference": _rounded(self.reference),
            "ratio": _rounded(self.ratio),
            "bar": None if self.bar is None else self.bar.value,
            "pass": self.passed,
        }

    def line(self) -> str:
        """The figure for a person."""
        reference = "-" if self.reference is None else f"{self.reference:.4g}"
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}x"
        bar = ""
        if self.bar is not None:
            of = "" if self.bar.of == "ratio" else f" {self.unit}"
            bar = f"{'pass' if self.passed else 'FAIL'}, {self.bar.sense} {self.bar.value:g}{of or 'x'}"
        return f"{self.name:<36}{self.ours:>10.4g}{reference:>11} {self.unit:<7}{ratio:>8}  {bar}".rstrip()


HEADING = f"{'figure':<36}{'ours':>10}{'reference':>11} {'unit':<7}{'ratio':>8}"


def _rounded(number: float | None) -> float | None:
    """Four significant digits: what is behind them is noise."""
    return None if number is None or not math.isfinite(number) else float(f"{number:.4g}")


async def take_turns(ours: Turn, reference: Turn, turns: int) -> list[Pair]:
    """Measure both sides `turns` times, one after the other, each going first every second time.

    A turn of each before that is thrown away: imports, caches, files that grow for the first time.
    """
    await ours()
    await reference()
    pairs: list[Pair] = []
    for turn in range(turns):
        if turn % 2:
            second = await reference()
            pairs.append(Pair(await ours(), second))
        else:
            pairs.append(Pair(await ours(), await reference()))
    return pairs


def compare(name: str, unit: str, pairs: Sequence[Pair], bar: Bar | None = None) -> Figure:
    """The figure that turns give: medians of both sides, and the median of the turns' ratios."""
    return Figure(
        name=name,
        unit=unit,
        ours=statistics.median(pair.ours for pair in pairs),
        reference=statistics.median(pair.reference for pair in pairs),
        ratio=statistics.median(pair.ours / pair.reference for pair in pairs if pair.reference) if pairs else None,
        bar=bar,
    )


def report(figures: Sequence[Figure], *, as_json: bool) -> int:
    """Print the figures; gives the exit code: 0, or 1 where a bar was missed."""
    if as_json:
        print(json.dumps({figure.name: figure.entry() for figure in figures}, indent=2))
    else:
        print("\n".join([HEADING, *(figure.line() for figure in figures)]))
    return 0 if all(figure.passed for figure in figures) else 1


def say(text: str) -> None:
    """Tell a person how far it is, beside the figures."""
    print(text, file=sys.stderr, flush=True)
