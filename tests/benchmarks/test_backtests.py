"""The ledger that the back-test's speed is measured on."""

from __future__ import annotations

from pathlib import Path

from benchmarks import backtests


def test_every_event_of_the_ledger_is_judged(tmp_path: Path) -> None:
    figures = backtests.measure(tmp_path / "data", 400)

    assert [figure.name for figure in figures] == ["backtest", "backtest_growth"]
    assert figures[0].ours > 0
