"""A report as one HTML page that needs nothing else: no script, no request, plots as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from gatewright.runtime.display import clean
from gatewright.scenarios.gate import measures, wording

from .document import AS_BASELINE, BEFOREHAND, Document, Line, Row

PLOTTED = 60  # cases in the picture; the table below it has all
WIDTH, LEFT, RIGHT = 720.0, 150.0, 30.0  # of the pictures, in their own units
STEP = 26.0  # between two lines of a picture


def _shown(value: object) -> object:
    """What a template writes, without what misleads; markup of its own macros stays markup."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_shown,
)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One line of a picture: from `low` to `high`, a dot `at` a place, a ring at `past`; `words` tell it as text."""

    label: str
    y: float
    kind: str
    words: str
    at: float
    low: float
    high: float
    past: float | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Lines with a common scale. `ticks` are places with what is written there, `zero` is where nothing changes."""

    title: str
    height: float
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None = None


def html(document: Document) -> str:
    """The page."""
    return _TEMPLATES.get_template("page.html.jinja").render(
        document=document,
        width=WIDTH,
        left=LEFT,
        right=RIGHT,
        metrics=_metrics(document),
        cases=_cases(document),
        wording=wording,
        broken=document.changed("broken"),
        fixed=document.changed("fixed"),
        beforehand=BEFOREHAND if document.base is not None else AS_BASELINE,
        gone=document.changed("gone"),
        new=document.changed("new"),
        title=f"{document.name} against {document.base}" if document.base is not None else document.name,
    )


def _metrics(document: Document) -> Picture | None:
    """The changes of shares with their intervals, better to the right; without a baseline the shares themselves."""
    compared = document.base is not None
    rows = [row for row in document.rows if measures.is_share(row.name) and _ends(row, compared) is not None]
    if not rows:
        return None
    reach = max(max(abs(number) for number in _ends(row, compared) or (0.0,)) for row in rows) if compared else 1.0
    reach = next((step for step in (0.05, 0.1, 0.2, 0.3, 0.5) if reach <= step), 1.0)
    first = -reach if compared else 0.0

    def place(number: float) -> float:
        return LEFT + (number - first) / (reach - first) * (WIDTH - LEFT - RIGHT)

    marks: list[Mark] = []
    for number, row in enumerate(rows):
        low, at, high = _ends(row, compared) or (0.0, 0.0, 0.0)
        marks.append(
            Mark(
                label=row.name,
                y=STEP * (number + 1),
                kind="worse" if compared and high < 0 else "better" if compared and low > 0 else "open",
                words=_words(row, compared),
                at=place(at),
                low=place(low),
                high=place(high),
            )
        )
    spots = [first, (first + reach) / 2, reach] if not compared else [-reach, -reach / 2, 0.0, reach / 2, reach]
    return Picture(
        title="Change of each share, in points, with its 95 % interval" if compared else "Shares with 95 % intervals",
        height=STEP * (len(rows) + 2),
        marks=tuple(marks),
        ticks=tuple(
            (place(spot), (f"{100 * spot:+.3g}" if spot else "0") if compared else f"{100 * spot:.3g} %")
            for spot in spots
        ),
        zero=place(0.0) if compared else None,
    )


def _ends(row: Row, compared: bool) -> tuple[float, float, float] | None:
    interval, at = (row.interval, row.difference) if compared else (row.own, row.value)
    return None if interval is None or at is None else (interval.low, at, interval.high)


def _words(row: Row, compared: bool) -> str:
    if compared and row.interval is not None:
        ends = wording.interval(row.name, row.interval)
        return f"{row.name} {wording.change(row.name, row.difference)} points, {ends}"
    ends = " to ".join(wording.value(row.name, end) for end in row.own or ())
    return f"{row.name} {wording.known(row.name, row.value)}, {ends}"


def _cases(document: Document) -> Picture | None:
    """The cases whose share of successes moved: from the baseline's (ring) to the candidate's (dot), worst first."""
    moved = [
        (line.share - line.base_share, line)
        for line in document.lines
        if line.share is not None and line.base_share is not None and line.share != line.base_share
    ]
    if not moved:
        return None
    moved.sort(key=lambda each: (each[0], each[1].name))
    shown = moved if len(moved) <= PLOTTED else [*moved[: PLOTTED // 2], *moved[-PLOTTED // 2 :]]

    def place(share: float) -> float:
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    return Picture(
        title=f"Cases that moved ({len(moved)}{f', the {PLOTTED} that moved most' if len(shown) < len(moved) else ''})",
        height=STEP * (len(shown) + 2),
        marks=tuple(
            _moved(number, line, place(line.base_share or 0.0), place(line.share or 0.0))
            for number, (_, line) in enumerate(shown)
        ),
        ticks=tuple((place(share), f"{100 * share:g} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
    )


def _moved(number: int, line: Line, past: float, now: float) -> Mark:
    return Mark(
        label=line.name,
        y=STEP * (number + 1),
        kind="worse" if now < past else "better",
        words=f"{line.name}: {line.base_result} before, {line.result} now",
        at=now,
        low=min(now, past),
        high=max(now, past),
        past=past,
    )
