"""Timelines: one scale for all bars, and words for what the bars say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.console import timeline
from gatewright.runtime.views import RecordView

NOON = datetime(2026, 8, 19, 12, tzinfo=UTC)


def record(index: int, *, end: float = 0.0, duration_ms: int | None = 0, **fields: Any) -> RecordView:
    opened = fields.pop("opened", {})
    verdict = fields.pop("verdict", "allow")
    rules = [{"id": name, "verdict": verdict, "reason": ""} for name in fields.pop("rules", [])]
    body = {
        "effect": {"kind": "tool", "name": "refund"},
        "guard": {"before": {"verdict": verdict, "rules": rules, "pack": "p"}, "after": None},
        "outcome": "ok",
        "duration_ms": duration_ms,
        **fields,
    }
    return RecordView(
        index=index,
        time=NOON + timedelta(seconds=end),
        kind="effect",
        run_id="r",
        case_id="c",
        leaf_hash="00",
        record=body,
        opened=opened,
    )


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**8)), min_size=1, max_size=30))
def test_every_bar_lies_within_the_scale(times: list[tuple[float, int]]) -> None:
    rows = timeline.rows([record(n, end=end, duration_ms=took) for n, (end, took) in enumerate(times)])

    assert all(0 <= row.start <= 100 and 0 < row.width and row.start + row.width <= 100.01 for row in rows)


def test_bars_stand_where_their_effects_began() -> None:
    first, second = timeline.rows([record(0, end=1, duration_ms=1000), record(1, end=4, duration_ms=2000)])

    assert (first.start, first.width) == (0, 25)
    assert (second.start, second.width) == (50, 50)
    assert second.timing == "2.0 s, 2.0 s after the first"


def test_a_row_tells_who_judged_and_who_approved() -> None:
    approval = {"id": "a", "verdict": "approve", "by": "ada", "reason": ""}

    (row,) = timeline.rows([record(0, verdict="ask", rules=["large-refund"], approval=approval)])

    assert (row.verdict, row.rules, row.approver, row.tone) == ("ask", ["large-refund"], "ada", "asked")


def test_a_denied_effect_is_told_apart() -> None:
    (row,) = timeline.rows([record(0, verdict="deny", outcome="denied", duration_ms=None)])

    assert (row.verdict, row.tone) == ("deny", "refused")


def test_the_stricter_judgement_on_the_result_is_shown() -> None:
    guard = {
        "before": {"verdict": "allow", "rules": [], "pack": "p"},
        "after": {"verdict": "deny", "rules": [{"id": "leak"}], "pack": "p"},
    }

    (row,) = timeline.rows([record(0, guard=guard, outcome="denied")])

    assert (row.verdict, row.rules) == ("deny", ["leak"])


def test_values_that_were_erased_leave_no_preview() -> None:
    (row,) = timeline.rows([record(0, opened={})])

    assert (row.args, row.result) == ("", "")


def test_long_values_are_cut_to_one_line() -> None:
    shown = timeline.preview("line one\nline two " + "x" * 1000)

    assert len(shown) == timeline.PREVIEW
    assert shown.startswith("line one line two")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0004, "0 ms"), (0.25, "250 ms"), (61, "61.0 s"), (150, "2 min 30 s"), (7500, "2 h 5 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert timeline.duration(seconds) == said


def test_no_records_make_no_rows() -> None:
    assert timeline.rows([]) == []
