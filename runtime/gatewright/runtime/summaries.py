"""A decision record in the words of those who read it: what happened, how it was judged, and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .views import RecordView


class Summary(NamedTuple):
    """`verdict` is that of the rules on the wish, or on the result where that was stricter; "" where none judged.

    `args` and `result` are None where they were erased; of a tool message, `result` is the content. `started` is
    `ended` less the duration on record.
    """

    kind: str
    name: str
    verdict: str
    rules: Sequence[str]
    approver: str
    outcome: str
    args: Any
    result: Any
    started: datetime
    ended: datetime


def of(view: RecordView) -> Summary:
    """The summary of a record."""
    record = view.record
    effect: Mapping[str, Any] = record.get("effect") or {}
    detail: Mapping[str, Any] = record.get("detail") or {}
    approval: Mapping[str, Any] = record.get("approval") or {}
    judgements = list(_judgements(record))
    strictest = [found["verdict"] for found in judgements if found["verdict"] != "allow"]
    return Summary(
        kind=effect.get("kind") or view.kind,
        name=effect.get("name") or str(detail.get("status") or detail.get("event") or approval.get("verdict") or ""),
        verdict=strictest[-1] if strictest else "allow" if judgements else "",
        rules=[rule["id"] for found in judgements for rule in found["rules"]],
        approver=str(approval.get("by") or ""),
        outcome=record.get("outcome") or "",
        args=view.opened.get("args"),
        result=_said(view.opened.get("result")),
        started=view.time - timedelta(milliseconds=record.get("duration_ms") or 0),
        ended=view.time,
    )


def _said(result: Any) -> Any:
    """What a tool gave, without LangChain's message around it."""
    if isinstance(result, Mapping) and result.get("type") == "tool":
        return result.get("content")
    return result


def _judgements(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    guard = record.get("guard") or {}
    for stage in ("before", "after"):
        if guard.get(stage):
            yield guard[stage]
