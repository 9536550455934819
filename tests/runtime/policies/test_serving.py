from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, create_model

from gatewright.agents import Choice, DecisionPoint, decide
from gatewright.agents.effects import IDEMPOTENCY_KEY
from gatewright.agents.errors import UsageError
from gatewright.runtime.policies.artefact import Serving
from gatewright.runtime.policies.serving import Exploring, LearnedPolicy, of_effect, probabilities, shares

from .conftest import POINT, Claim, Make, pays

CLAIM = Claim(amount=400, kind="home")
SERVINGS = st.sampled_from(
    [Serving(), Serving(mode="epsilon-greedy", exploration=0.1), Serving(mode="sample", exploration=0.2)]
)


def chosen(policy: Any, times: int, **closed: str) -> Counter[tuple[str, float]]:
    return Counter((made.option, made.propensity) for made in (_decide(policy, closed) for _ in range(times)))


def _decide(policy: Any, closed: dict[str, str]) -> Choice:
    return decide(POINT, CLAIM, closed=closed, policy=policy)


def test_a_greedy_policy_takes_the_best_open_option(make: Make) -> None:
    made = make()
    logits = made.network.logits(made.manifest.encoding.encode(CLAIM))
    first, second, _ = (POINT.options[index] for index in np.argsort(-logits))
    policy = LearnedPolicy(made)
    assert _decide(policy, {}) == Choice(option=first, propensity=1.0, policy=f"ppo@{made.version}")
    assert _decide(policy, {first: "a rule"}).option == second


@pytest.mark.parametrize("mode", ["epsilon-greedy", "sample"])
def test_options_are_drawn_as_often_as_their_propensity_says(make: Make, mode: Any) -> None:
    policy = LearnedPolicy(make(Serving(mode=mode, exploration=0.2)), draw=random.Random(5).random)
    seen = chosen(policy, 4000)
    assert len(seen) == 3
    for (_, propensity), times in seen.items():
        assert times / 4000 == pytest.approx(propensity, abs=0.02)
    assert sum(propensity for _, propensity in seen) == pytest.approx(1.0)


@pytest.mark.parametrize("mode", ["epsilon-greedy", "sample"])
def test_a_closed_option_is_never_drawn(make: Make, mode: Any) -> None:
    policy = LearnedPolicy(make(Serving(mode=mode, exploration=0.2)), draw=random.Random(5).random)
    seen = chosen(policy, 500, refuse="a rule")
    assert {option for option, _ in seen} == {"pay", "inspect"}
    assert sum(propensity for _, propensity in seen) == pytest.approx(1.0)


def test_exploring_is_told_with_what_would_have_been_chosen(make: Make) -> None:
    serving = Serving(mode="epsilon-greedy", exploration=0.2)
    usual = _decide(LearnedPolicy(make(serving), draw=lambda: 0.5), {})
    numbers = iter(range(100))
    policy = LearnedPolicy(make(serving), draw=lambda: next(numbers) / 100)
    drawn = {_decide(policy, {}).reason for _ in range(100)}
    assert drawn == {"", f"explored instead of {usual.option!r}"}


@given(
    st.lists(
        st.tuples(st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.integers(1, 15)), min_size=1, max_size=6
    ),
    SERVINGS,
)
def test_probabilities_of_many_are_those_of_each(rows: list[tuple[list[float], int]], serving: Serving) -> None:
    opened = np.array([[bool(bits >> index & 1) for index in range(4)] for _, bits in rows])
    logits = np.array([scores for scores, _ in rows])
    together = probabilities(logits, opened, serving)
    assert (together[~opened] == 0).all()
    assert together.sum(axis=1) == pytest.approx(1.0)
    for row, scores, mask in zip(together, logits, opened, strict=True):
        assert row[mask].tolist() == pytest.approx(shares(scores[mask].tolist(), serving))
        assert 1 - row.max() <= serving.exploration + 1e-12


@pytest.mark.parametrize(
    ("point", "complaint"),
    [
        (DecisionPoint(name="other", features=Claim, options=POINT.options, policy=pays), "not for 'other'"),
        (
            DecisionPoint(name="triage", features=Claim, options=("pay", "refuse"), policy=pays),
            "made for 'triage' with",
        ),
        (
            DecisionPoint(
                name="triage",
                features=create_model("Wider", __base__=Claim, amount=(float, Field(ge=0, le=5000))),
                options=POINT.options,
                policy=pays,
            ),
            "the features of Wider are not those",
        ),
    ],
)
def test_a_policy_for_something_else_is_refused(make: Make, point: DecisionPoint[Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        LearnedPolicy(make()).at(point)


def test_an_unknown_option_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="knows no option 'sleep'"):
        LearnedPolicy(make())(CLAIM, ["pay", "sleep"])


def test_a_rule_explores_with_exact_propensities() -> None:
    policy = Exploring(0.15, draw=random.Random(3).random).at(POINT)
    seen = chosen(policy, 4000, refuse="a rule")
    assert seen.keys() == {("pay", 0.925), ("inspect", 0.075)}
    assert seen["inspect", 0.075] / 4000 == pytest.approx(0.075, abs=0.01)


def test_a_rule_that_explores_is_still_named_and_keeps_its_reason() -> None:
    made = _decide(Exploring(0.1, draw=lambda: 0.0).at(POINT), {})
    assert (made.policy, made.reason) == ("pays@1+explore=0.1", "always")


def test_a_policy_that_draws_already_does_not_explore_twice() -> None:
    def drawing(features: Claim, open_options: Any) -> Choice:
        return Choice(option="pay", propensity=0.5, policy="drawing@1")

    point = DecisionPoint(name="triage", features=Claim, options=POINT.options, policy=drawing)
    with pytest.raises(UsageError, match="explores already"):
        Exploring(0.1).at(point)(CLAIM, POINT.options)


@pytest.mark.parametrize("share", [0.0, 0.21, float("nan")])
def test_a_share_that_cannot_be_explored_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="above 0 and up to 0.2"):
        Exploring(share)


def test_the_draw_of_an_effect_is_the_same_in_every_replay() -> None:
    numbers: list[float] = []
    for key in ["a", "b", "a"]:
        token = IDEMPOTENCY_KEY.set(key)
        numbers.append(of_effect())
        IDEMPOTENCY_KEY.reset(token)

    assert numbers[0] == numbers[2] != numbers[1]


def test_the_draws_of_effects_are_uniform() -> None:
    counts = [0] * 10
    for number in range(10_000):
        token = IDEMPOTENCY_KEY.set(f"{number:032x}")
        counts[int(of_effect() * 10)] += 1
        IDEMPOTENCY_KEY.reset(token)

    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
