from __future__ import annotations

import numpy as np
import pytest

from gatewright.agents.errors import UsageError
from gatewright.scenarios.tuning.choosers import Played
from gatewright.scenarios.tuning.comparisons import Limits, paired, proposed, standing

RANDOM = np.random.default_rng(4)
NOISE = RANDOM.normal(0, 1, (20, 50))


def played(gain: float, *, load: float = 60.0, violations: float = 0.0, spread: float = 0.2) -> Played:
    """Episodes that earn so much more than the rule's in the mean, exactly."""
    shape = NOISE.shape
    own = np.random.default_rng(int(gain * 1e6) % 1000 + 7).normal(0, spread, shape)
    return Played(1 + NOISE + gain + own - own.mean(), np.full(shape, load), {"wrong": np.full(shape, violations)})


RULE = Played(1 + NOISE, np.full(NOISE.shape, 60.0), {"wrong": np.zeros(NOISE.shape)})


def test_noise_that_both_sides_share_does_not_widen_the_interval() -> None:
    found = paired(played(0.1).rewards - RULE.rewards)
    assert found.mean == pytest.approx(0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.2 / np.sqrt(NOISE.size), rel=0.1)


def test_the_interval_covers_the_truth_in_95_of_100_cases() -> None:
    random = np.random.default_rng(1)
    covered = [(found := paired(random.normal(0.3, 1, 400))).low <= 0.3 <= found.high for _ in range(1_000)]
    assert 930 <= sum(covered) <= 970


def test_a_gain_that_is_clear_of_zero_is_proposed() -> None:
    assert proposed([("rules", RULE), ("majority", played(-0.5)), ("ppo", played(0.1))], Limits()) == 2


def test_at_a_tie_the_simpler_one_is_proposed() -> None:
    better, nearly = played(0.1), played(0.1004)
    assert paired(nearly.rewards - better.rewards).low < 0
    assert proposed([("rules", RULE), ("maskable-ppo", nearly), ("logistic", better)], Limits()) == 2
    assert proposed([("rules", RULE), ("ppo", played(0.001))], Limits()) == 0


def test_a_policy_that_is_better_than_a_simpler_proposal_takes_its_place() -> None:
    assert proposed([("rules", RULE), ("logistic", played(0.1)), ("q-learning", played(0.2))], Limits()) == 2


@pytest.mark.parametrize(
    ("candidate", "word"), [(played(0.5, load=64.0), "load"), (played(0.5, violations=0.01), "wrong")]
)
def test_a_reward_does_not_buy_off_a_limit(candidate: Played, word: str) -> None:
    [broken] = standing(candidate, RULE, Limits()).broken
    assert broken.startswith(word)
    assert proposed([("rules", RULE), ("ppo", candidate)], Limits()) == 0


def test_less_work_for_people_keeps_the_limits() -> None:
    assert standing(played(0.1, load=40.0), RULE, Limits(load=0.0)).broken == ()


def test_a_load_that_may_be_too_high_is_not_taken_for_one_that_is_not() -> None:
    shaky = played(0.1)._replace(load=60 + RANDOM.normal(0, 100, NOISE.shape))
    assert standing(shaky, RULE, Limits(load=0.01)).broken


def test_limits_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="finite"):
        Limits(load=float("nan"))


def test_what_the_rule_never_does_must_not_be_done_whatever_the_margin() -> None:
    [broken] = standing(played(0.5, violations=0.001), RULE, Limits(violations=10.0)).broken
    assert broken == "wrong: up to +0.001 an episode, +0 allowed"


def test_a_margin_is_a_share_of_what_the_rule_does_of_that_kind() -> None:
    rule = RULE._replace(violations={"wrong": np.full(NOISE.shape, 0.1), "late": np.full(NOISE.shape, 0.4)})
    candidate = played(0.5)._replace(violations={"wrong": np.full(NOISE.shape, 0.108), "late": np.zeros(NOISE.shape)})
    [broken] = standing(candidate, rule, Limits(violations=0.05)).broken
    assert broken.startswith("wrong: up to +0.008 an episode, +0.005 allowed")
    assert not standing(candidate, rule, Limits(violations=0.1)).broken


def test_a_training_aims_below_what_is_allowed() -> None:
    assert Limits(load=0.25, violations=0.02).aimed() == Limits(load=0.2, violations=0.0)
