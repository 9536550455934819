"""The default gate on simulated agents: 50 cases of 4 trials with rates as fitted to 200 recorded episodes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from gatewright.scenarios.gate import Gate, Table, Trial, judge, table
from gatewright.scenarios.gate.statistics import Floats

CASES, TRIALS = 50, 4
FITTED = (0.65, 0.85)  # of a beta distribution: tau-bench's airline, gpt-4o


def tried(rates: Floats, random: np.random.Generator) -> Table:
    succeeded = random.random((len(rates), TRIALS)) < rates[:, None]
    return table(
        "side",
        [
            Trial(case=str(case), trial=trial, success=bool(succeeded[case, trial]))
            for case, trial in np.ndindex(succeeded.shape)
        ],
    )


def judged(draws: int, drop: float, gate: Gate, seed: int = 0) -> Counter[str]:
    """What the gate says of a candidate whose mean is lower by `drop`, each rate in proportion.

    `lower` counts the candidates whose mean was seen to be lower at all.
    """
    left = 1 - drop * sum(FITTED) / FITTED[0]
    random = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for _ in range(draws):
        rates = random.beta(*FITTED, CASES)
        base, candidate = tried(rates, random), tried(rates * left, random)
        verdict = judge(base, candidate, gate)
        found[verdict.outcome] += 1
        found["lower"] += verdict.comparison.metrics["success"].difference < 0
    return found


def within(count: int, draws: int, rate: float, errors: float = 3.3) -> bool:
    """Whether a share is this rate, as far as so many draws tell (1 of 1,000 times they do not)."""
    return bool(abs(count / draws - rate) <= errors * (rate * (1 - rate) / draws) ** 0.5)


def test_the_default_gate_rarely_blocks_an_unchanged_agent() -> None:
    found = judged(60, 0.0, Gate())
    assert within(found["fail"], 60, 0.05)
    assert found["lower"] > 3 * found["fail"]


def test_the_default_gate_catches_most_drops_of_20_points() -> None:
    assert judged(30, 0.2, Gate())["fail"] >= 29


@pytest.mark.slow
def test_an_unchanged_agent_is_blocked_in_5_of_100_runs() -> None:
    found = judged(3000, 0.0, Gate())
    assert within(found["fail"], 3000, 0.05), found
    assert within(found["lower"], 3000, 0.47), found
    assert found["inconclusive"] <= 30, found


@pytest.mark.slow
def test_a_drop_of_10_points_is_caught_in_78_of_100_runs() -> None:
    found = judged(3000, 0.1, Gate())
    assert found["fail"] >= 0.78 * 3000 or within(found["fail"], 3000, 0.78, 2), found


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.05, 0.1])
def test_a_margin_is_proven_of_an_agent_that_is_worse_by_it_in_no_more_than_5_of_100_runs(margin: float) -> None:
    found = judged(1000, margin, Gate(margins={"success": margin}))
    assert found["pass"] < 0.05 * 1000 or within(found["pass"], 1000, 0.05), found
