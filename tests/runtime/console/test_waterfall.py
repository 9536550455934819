"""Waterfalls: where bars begin and end, what is a tie, and that all of it lies within the drawing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.console.waterfall import SLIVER, waterfall

NUMBERS = st.floats(-50, 50)


def explained(*bars: tuple[str, float, float, int], base: float = 0.5) -> dict[str, Any]:
    named = [dict(zip(("feature", "value", "error", "rank"), bar, strict=True)) for bar in bars]
    output = base + sum(bar[1] for bar in bars)
    said = {"option": "pay", "against": "refuse", "base": base, "output": output}
    return {**said, "bars": named, "features": {bar[0]: 7 for bar in bars}}


def test_each_bar_begins_where_the_one_before_it_ended() -> None:
    drawn = waterfall(explained(("amount", 2.0, 0.1, 1), ("age", -1.0, 0.1, 2)))
    first, second = drawn.steps

    assert first.start == drawn.base_at
    assert first.start + first.width == pytest.approx(first.end, abs=0.02)
    assert second.start + second.width == pytest.approx(first.end, abs=0.02)
    assert second.end == pytest.approx(second.start, abs=0.02)
    assert second.end == drawn.output_at
    assert (first.tone, second.tone) == ("for", "against")


def test_the_bars_of_errors_are_two_standard_errors_to_both_sides() -> None:
    (step,) = waterfall(explained(("amount", 2.0, 0.25, 1), base=0.0)).steps

    assert step.error == 0.5
    assert (step.end - step.low) / (step.end - step.start) == pytest.approx(0.25, abs=0.01)
    assert step.high - step.end == pytest.approx(step.end - step.low, abs=0.02)


def test_features_of_the_same_rank_are_ties() -> None:
    steps = waterfall(explained(("a", 2.0, 0.5, 1), ("b", 1.9, 0.5, 1), ("c", 0.1, 0.0, 3))).steps

    assert [step.tie for step in steps] == [True, True, False]


@given(NUMBERS, st.lists(st.tuples(NUMBERS, st.floats(0, 5)), max_size=12))
def test_everything_lies_within_the_drawing(base: float, bars: list[tuple[float, float]]) -> None:
    named = [(f"f{place}", value, error, place + 1) for place, (value, error) in enumerate(bars)]
    drawn = waterfall(explained(*named, base=base))
    places = [drawn.base_at, drawn.output_at, drawn.even_at]
    for step in drawn.steps:
        places += [step.start, step.start + step.width - SLIVER, step.end, step.low, step.high]

    assert all(0 <= place <= 100 for place in places)


def test_a_long_value_is_cut_in_the_label_and_whole_beside_it() -> None:
    said = explained(("comment", 1.0, 0.0, 1))
    said["features"]["comment"] = "x" * 100
    (step,) = waterfall(said).steps

    assert len(step.label) < 40 and step.label.endswith("…")
    assert step.value == "x" * 100
