from __future__ import annotations

import json

import pytest
from benchmarks.figures import Bar, Figure, Pair, compare, report, take_turns


async def test_each_side_goes_first_every_second_turn_after_one_that_is_thrown_away() -> None:
    order: list[str] = []

    async def ours() -> float:
        order.append("ours")
        return 1.0

    async def reference() -> float:
        order.append("reference")
        return 2.0

    assert await take_turns(ours, reference, 2) == [Pair(1.0, 2.0), Pair(1.0, 2.0)]
    assert order == ["ours", "reference", "ours", "reference", "reference", "ours"]


def test_the_ratio_is_the_median_of_the_turns_ratios() -> None:
    slow_second = Pair(900.0, 300.0)  # both sides suffer
    figure = compare("p50", "ms", [Pair(1.0, 2.0), slow_second, Pair(1.2, 2.0)])
    assert (figure.ours, figure.reference, figure.ratio) == (1.2, 2.0, 0.6)


@pytest.mark.parametrize(
    ("bar", "passed"),
    [
        (Bar(value=2.0, sense="at least"), True),
        (Bar(value=2.1, sense="at least"), False),
        (Bar(value=2.0, sense="at most"), True),
        (Bar(value=1.9, sense="at most"), False),
        (Bar(value=5.0, sense="at most", of="ours"), False),
        (Bar(value=6.0, sense="at most", of="ours"), True),
        (None, True),
    ],
)
def test_a_bar_is_for_the_ratio_or_for_our_own_number(bar: Bar | None, passed: bool) -> None:
    assert Figure(name="f", unit="s", ours=6.0, reference=3.0, ratio=2.0, bar=bar).passed is passed


def test_a_ratio_that_could_not_be_measured_misses_its_bar() -> None:
    assert not Figure(name="f", unit="s", ours=6.0, bar=Bar(value=2.0, sense="at most")).passed


def test_figures_are_printed_as_json_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    missed = Figure(name="f", unit="s", ours=1.23456, reference=1.0, ratio=1.23456, bar=Bar(value=1.0, sense="at most"))
    assert report([missed], as_json=True) == 1
    expected = {"f": {"ours": 1.235, "reference": 1.0, "ratio": 1.235, "bar": 1.0, "pass": False}}
    assert json.loads(capsys.readouterr().out) == expected


def test_the_table_says_what_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [
        Figure(name="slow", unit="ms", ours=3.0, reference=2.0, ratio=1.5, bar=Bar(value=1.2, sense="at most")),
        Figure(name="alone", unit="s", ours=3.0),
    ]
    assert report(figures, as_json=False) == 1
    out = capsys.readouterr().out
    assert "FAIL, at most 1.2x" in out and "alone" in out
