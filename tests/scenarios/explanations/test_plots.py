from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, sample, to_shap

pytestmark = pytest.mark.slow  # importing shap takes seconds


@pytest.fixture(autouse=True)
def _no_display() -> None:
    pytest.importorskip("matplotlib").use("Agg")


def test_a_waterfall_can_be_drawn(game: Game, cases: NDArray[np.float64]) -> None:
    found = sample(game, cases[0], seed=0)
    shown = {"amount": 1, "age": 2, "history": 3, "channel": "web"}
    shap = pytest.importorskip("shap", reason="the extra `audit` is not installed")
    axes = shap.plots.waterfall(to_shap(found, "approve", "reject", shown), show=False)
    assert any("channel" in label.get_text() for label in axes.get_yticklabels())


def test_several_explanations_make_one(game: Game, cases: NDArray[np.float64]) -> None:
    pytest.importorskip("shap", reason="the extra `audit` is not installed")
    found = [sample(game, case, seed=0) for case in cases[:3]]
    together = to_shap(found, "approve", "reject")
    assert np.shape(together.values) == (3, 4)
    assert together.values[1].sum() + together.base_values[1] == pytest.approx(
        found[1].contrast("approve", "reject").output
    )


def test_none_at_all_are_refused() -> None:
    pytest.importorskip("shap", reason="the extra `audit` is not installed")
    with pytest.raises(UsageError, match="at least one"):
        to_shap([], "approve", "reject")
