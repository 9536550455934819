"""A run's effects as the rows of a timeline: what, when in the run, how long, and how it was judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gatewright.runtime import summaries
from gatewright.runtime.views import RecordView

PREVIEW = 240  # characters
SLIVER = 0.4  # percent; the shortest bar that can still be seen

Tone = Literal["done", "asked", "refused", "plain"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record. `start` and `width` are percent of the whole time; `tone` says how it ended."""

    index: int
    time: datetime
    run_id: str | None
    kind: str
    name: str
    verdict: str
    rules: Sequence[str]
    approver: str
    outcome: str
    args: str
    result: str
    timing: str
    start: float
    width: float
    tone: Tone


def rows(records: Sequence[RecordView]) -> list[Row]:
    """The records in their order, on one scale from the first start to the last end."""
    read = [summaries.of(record) for record in records]
    if not read:
        return []
    first = min(summary.started for summary in read)
    whole = max((summary.ended - first).total_seconds() for summary in read)
    return [_row(record, summary, first, whole) for record, summary in zip(records, read, strict=True)]


def preview(value: Any) -> str:
    """The beginning of a value, on one line."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= PREVIEW else f"{text[: PREVIEW - 1]}…"


def duration(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _row(record: RecordView, summary: summaries.Summary, first: datetime, whole: float) -> Row:
    before = (summary.started - first).total_seconds()
    seconds = (summary.ended - summary.started).total_seconds()
    start = min(100 * before / whole, 100 - SLIVER) if whole else 0.0
    return Row(
        index=record.index,
        time=record.time,
        run_id=record.run_id,
        kind=summary.kind,
        name=summary.name,
        verdict=summary.verdict,
        rules=summary.rules,
        approver=summary.approver,
        outcome=summary.outcome,
        args=preview(summary.args),
        result=preview(summary.result),
        timing=f"{duration(seconds)}, {duration(before)} after the first",
        start=round(start, 2),
        width=round(min(max(100 * seconds / whole, SLIVER), 100 - start), 2) if whole else 100.0,
        tone=_tone(summary),
    )


def _tone(summary: summaries.Summary) -> Tone:
    if summary.verdict in ("deny", "terminate") or summary.outcome in ("denied", "terminated"):
        return "refused"
    if summary.approver:
        return "asked"
    return "done" if summary.outcome == "ok" else "plain"
