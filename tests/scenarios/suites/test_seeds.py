from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gatewright.scenarios.suites import seeds
from gatewright.scenarios.suites.seeds import Chance


def begun(seed: int) -> Chance:
    chance = Chance()
    chance.begin(np.random.SeedSequence(seed))
    return chance


def drawn(chance: Chance, what: str) -> float:
    with chance.about(what):
        return chance()


@given(st.integers(0, 2**63 - 1), st.permutations(["a", "b", "b", "c"]))
def test_what_a_decision_draws_does_not_depend_on_those_before_it(seed: int, order: list[str]) -> None:
    first, second = begun(seed), begun(seed)
    assert sorted(drawn(first, what) for what in "abbc") == sorted(drawn(second, what) for what in order)


def test_decisions_and_trials_draw_apart() -> None:
    chance = begun(1)
    found = [drawn(chance, "a"), drawn(chance, "a"), drawn(chance, "b"), drawn(begun(2), "a")]
    assert len(set(found)) == 4 and all(0 <= number < 1 for number in found)


def test_global_generators_are_seeded_with_the_trial() -> None:
    begun(3)
    first = random.random(), np.random.random()
    begun(3)
    assert (random.random(), np.random.random()) == first


@given(st.text(), st.text())
def test_texts_are_told_apart(one: str, other: str) -> None:
    assert (seeds.words(one) == seeds.words(other)) == (one == other)
