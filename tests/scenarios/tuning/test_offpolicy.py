from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import UsageError
from gatewright.environments.claims.simulator import TRIAGE
from gatewright.runtime.policies import networks
from gatewright.runtime.policies.artefact import Origin, Serving, compose
from gatewright.scenarios.tuning import offpolicy
from gatewright.scenarios.tuning.logs import Rows, simulated

FIRST, SECOND = 0.3, 0.6  # what the options earn


def logged(count: int, seed: int, share: float = 0.2) -> Rows:
    """The second option is chosen so often."""
    random = np.random.default_rng(seed)
    second = random.random(count) < share
    rewards = (random.random(count) < np.where(second, SECOND, FIRST)).astype(float)
    propensities = np.where(second, share, 1 - share)
    return Rows(np.zeros((count, 1), np.float32), np.ones((count, 2), bool), second.astype(int), propensities, rewards)


def always(rows: Rows, option: int) -> NDArray[np.float64]:
    made: NDArray[np.float64] = (rows.actions == option).astype(np.float64)
    return made


def test_what_the_logging_policy_itself_earns_is_the_mean_of_the_log() -> None:
    rows = logged(500, 1)
    found = offpolicy.estimate(rows, rows.propensities)
    assert found.value.mean == pytest.approx(rows.rewards.mean())
    assert found.effective == pytest.approx(500)
    assert found.largest == pytest.approx(1 / 500)


def test_intervals_cover_the_truth_in_95_of_100_logs() -> None:
    covered = gains = 0
    for seed in range(500):
        rows = logged(2_000, seed)
        value, gain = (
            offpolicy.estimate(rows, always(rows, 1)).value,
            offpolicy.gain(rows, always(rows, 1), always(rows, 0)),
        )
        covered += value.low <= SECOND <= value.high
        gains += gain.low <= SECOND - FIRST <= gain.high
    assert 465 <= covered <= 485 + 5 and 465 <= gains <= 490


def test_few_decisions_that_matter_are_thin_support() -> None:
    thin, enough = logged(1_000, 1, share=0.05), logged(1_000, 1, share=0.3)
    assert not offpolicy.estimate(thin, always(thin, 1)).supported
    assert offpolicy.estimate(enough, always(enough, 1)).supported


def test_a_policy_of_which_nothing_is_on_record_is_refused() -> None:
    rows = logged(10, 1)
    with pytest.raises(UsageError, match="none of the 10 choices"):
        offpolicy.estimate(rows, np.zeros(10))


def test_the_probabilities_are_those_with_which_a_policy_is_served() -> None:
    rows = simulated(TRIAGE, 0, 1_024, seed=1)
    made = compose(
        networks.majority(rows.observations.shape[1], [0, 1, 0, 0]),
        point="triage",
        options=TRIAGE.point.options,
        encoding=TRIAGE.encoding,
        origin=Origin(algorithm="majority"),
        serving=Serving(mode="epsilon-greedy", exploration=0.1),
    )
    standard = rows.actions == 1  # which is always open
    expected = 0.1 / rows.opened.sum(axis=1) + 0.9 * standard
    assert offpolicy.likely(made, rows) == pytest.approx(expected)
