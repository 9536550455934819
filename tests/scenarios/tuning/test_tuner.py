from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright.agents.errors import UsageError
from gatewright.environments.claims.simulator import TRIAGE
from gatewright.runtime.policies.serving import LearnedPolicy
from gatewright.scenarios import tuning
from gatewright.scenarios.tuning import Limits, Order, tune

QUICK = Order(
    simulator=TRIAGE,
    algorithm=tuning.named("q-learning"),
    seed=3,
    steps=60_000,
    log_size=5_000,
    validation=(64, 4),
    held_out=(200, 10),
)


@pytest.fixture(scope="module")
def found() -> tuning.Tuned:
    return tune(QUICK)


def test_the_simple_policies_always_stand_beside(found: tuning.Tuned) -> None:
    assert [each.algorithm for each in found.candidates] == ["rules", "majority", "logistic", "q-learning"]
    assert found.candidates[0].standing.gain == (0, 0, 0)
    logistic = tune(replace(QUICK, algorithm=tuning.named("logistic")))
    assert [each.algorithm for each in logistic.candidates] == ["rules", "majority", "logistic"]


def test_every_training_is_told_and_the_one_that_validated_best_is_the_candidate(found: tuning.Tuned) -> None:
    assert [each.training for each in found.repeats] == [3, 4, 5]  # 0 to 2 are the search's
    assert len({each.standing.reward for each in found.repeats}) == 3
    assert any(each is found.candidates[-1] for each in found.repeats)


def test_what_is_not_shown_to_be_better_than_the_rules_is_not_proposed(found: tuning.Tuned) -> None:
    assert found.candidates[-1].standing.gain.low < 0  # so short a training is worth less than the rules
    assert found.proposed.algorithm == "rules"
    with pytest.raises(UsageError, match="rules are in the team's code"):
        found.artefact(found.proposed)


def test_one_seed_gives_equal_artefacts(found: tuning.Tuned) -> None:
    version = found.artefact(found.candidates[-1]).version
    again = tune(QUICK)
    assert again.artefact(again.candidates[-1]).version == version
    other = tune(replace(QUICK, seed=4))
    assert other.artefact(other.candidates[-1]).version != version


def test_an_artefact_says_how_it_was_made_and_is_served(found: tuning.Tuned) -> None:
    candidate = found.candidates[-1]
    made = found.artefact(candidate, parent="a" * 64, explore=0.1)
    origin = made.manifest.origin
    assert (origin.algorithm, origin.seeds, origin.parent) == ("q-learning", (3, candidate.training), "a" * 64)
    assert origin.settings == {
        "exploration": 0.3,
        "steps": 60_000,
        **{f"price of {name}": price for name, price in found.prices.items()},
    }
    assert origin.versions["numpy"] == np.__version__
    assert origin.metrics["held_out_reward"] == candidate.standing.reward
    assert origin.metrics["held_out_paid_wrongly"] == candidate.standing.violations["paid wrongly"].mean
    assert {f"held_out_reward_training_{number}" for number in (3, 4, 5)} <= set(origin.metrics)
    assert origin.data is not None and origin.data.decisions == 60_000
    assert made.manifest.serving.exploration == 0.1
    LearnedPolicy(made).at(TRIAGE.point)


def test_a_search_takes_the_best_median_and_shares_its_seeds() -> None:
    order = replace(
        QUICK, algorithm=tuning.named("logistic"), trials=3, how="grid", limits=Limits(load=10.0, violations=10.0)
    )
    done = tune(order)
    assert sorted(float(trial.settings["ridge"] or 0) for trial in done.trials) == pytest.approx([0.01, 10**0.5, 1000])
    medians = [trial.median for trial in done.trials if trial.median is not None]
    assert medians == sorted(medians, reverse=True) and len(medians) == 3
    assert done.settings == done.trials[0].settings
    assert all(len(trial.rewards) == 3 for trial in done.trials)


@pytest.mark.parametrize("how", ["random", "bayesian"])
def test_a_search_is_repeatable(how: str) -> None:
    order = replace(QUICK, algorithm=tuning.named("logistic"), trials=3, how=how)  # type: ignore[arg-type]
    one, again = tune(order), tune(order)
    assert [trial.settings for trial in one.trials] == [trial.settings for trial in again.trials]
    assert len({trial.settings["ridge"] for trial in one.trials}) == 3


def test_a_search_does_not_take_what_breaks_limits() -> None:
    order = replace(QUICK, algorithm=tuning.named("logistic"), trials=2, how="random")
    strict = tune(replace(order, limits=Limits(load=0.0)))
    for trial in strict.trials:
        assert trial.median is None
    assert strict.settings == tuning.named("logistic").settings


def test_progress_adds_up_to_what_was_planned() -> None:
    told: list[int] = []
    order = replace(QUICK, steps=8 * 1024, trials=2, how="random")
    tune(order, told.append)
    assert sum(told) == order.planned


@pytest.mark.parametrize("wrong", [{"repeats": 2}, {"trials": -1}, {"steps": 0}])
def test_an_order_that_tells_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        replace(QUICK, **wrong)  # type: ignore[arg-type]
