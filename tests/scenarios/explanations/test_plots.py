from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import needs

from gatewright.agents.errors import UsageError
from gatewright.scenarios.explanations import Game, sample, to_shap

pytestmark = pytest.mark.slow  # importing shap takes seconds


@pytest.fixture(autouse=True)
def _no_display() -> None:
    needs.module("matplotlib", "audit").use("Agg")


def test_a_waterfall_can_be_drawn(game: Game, cases: NDArray[np.float64]) -> None:
    found = sample(game, cases[0], seed=0)
    shown = {"amount": 1, "age": 2, "history": 3, "channel": "web"}
    shap = needs.module("shap", "audit")
    axes = shap.plots.waterfall(to_shap(found, "approve", "reject", shown), show=False)
    assert any("channel" in label.get_text() for label in axes.get_yticklabels())


def test_several_explanations_make_one(game: Game, cases: NDArray[np.float64]) -> None:
    needs.module("shap", "audit")
    found = [sample(game, case, seed=0) for case in cases[:3]]
    together = to_shap(found, "approve", "reject")
    assert np.shape(together.values) == (3, 4)
    assert together.values[1].sum() + together.base_values[1] == pytest.approx(
        found[1].contrast("approve", "reject").output
    )


@pytest.mark.parametrize("plot", ["beeswarm", "violin"])
def test_several_explanations_are_drawn_with_the_numbers_shown(
    game: Game, cases: NDArray[np.float64], plot: str
) -> None:
    shap = needs.module("shap", "audit")
    found = [sample(game, case, seed=0) for case in cases[:5]]
    shown = [{name: number + at for at, name in enumerate(found[0].features)} for number in range(5)]
    getattr(shap.plots, plot)(to_shap(found, "approve", "reject", shown), show=False)
    labels = [label.get_text() for label in needs.module("matplotlib.pyplot", "audit").gca().get_yticklabels()]
    assert "channel" in labels


def test_none_at_all_are_refused() -> None:
    needs.module("shap", "audit")
    with pytest.raises(UsageError, match="at least one"):
        to_shap([], "approve", "reject")
