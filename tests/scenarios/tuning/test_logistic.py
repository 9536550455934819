from __future__ import annotations

import numpy as np
import pytest

from gatewright.agents.errors import UsageError
from gatewright.scenarios.tuning import logistic
from gatewright.scenarios.tuning.logs import Rows


def rows(count: int, *, shy: bool = False) -> Rows:
    """Option 0 earns the column, option 1 what is missing to 1. `shy`: option 1 is seldom tried where it is good."""
    random = np.random.default_rng(3)
    x = random.random((count, 1))
    likely = np.where(x[:, 0] < 0.5, 0.05, 0.5) if shy else np.full(count, 0.5)
    second = random.random(count) < likely
    rewards = np.where(second, 1 - x[:, 0], x[:, 0])
    return Rows(
        x.astype(np.float32),
        np.ones((count, 2), bool),
        second.astype(np.int64),
        np.where(second, likely, 1 - likely),
        rewards + random.normal(0, 0.3, count),
    )


@pytest.mark.parametrize("shy", [False, True])
def test_the_option_with_the_larger_reward_has_the_larger_logit(shy: bool) -> None:
    network = logistic.fit(rows(4_000, shy=shy))
    logits = network.logits(np.array([[0.1], [0.4], [0.6], [0.9]]))
    assert logits.argmax(axis=1).tolist() == [1, 1, 0, 0]


def test_the_fit_is_where_the_penalised_likelihood_is_flat() -> None:
    data = rows(500)
    network = logistic.fit(data, ridge=2.0)
    chosen = data.actions == 0
    low, high = data.rewards.min(), data.rewards.max()
    expected = 1 / (1 + np.exp(-network.logits(data.observations.astype(np.float64))[chosen, 0]))
    residuals = (data.rewards[chosen] - low) / (high - low) - expected
    slope = float((data.observations[chosen, 0] * residuals).sum())
    assert slope == pytest.approx(2.0 * float(network.weights[0][0, 0]), abs=1e-4)


def test_an_option_that_is_not_on_record_is_not_chosen() -> None:
    data = rows(200)
    missing = data._replace(actions=np.zeros(200, np.int64))
    assert (logistic.fit(missing).logits(data.observations).argmax(axis=1) == 0).all()


def test_nothing_on_record_is_a_mistake() -> None:
    some = rows(10)
    empty = Rows(*(column[:0] for column in some))  # type: ignore[arg-type]  # each column as it is
    with pytest.raises(UsageError, match="no decisions to learn from"):
        logistic.fit(empty)
