"""The release gate beside "block if the mean is lower": how often each blocks an agent that did not change, or misses.

Agents are simulated: 50 cases of 4 trials, whose chances of success are drawn as fitted to 200 recorded episodes of
tau-bench's airline with gpt-4o (a beta distribution of 0.65 and 0.85). Ours is the default gate, with its reports'
numbers and all.

- `false_block_rate`: percent of unchanged agents that are blocked.
- `caught`: percent of agents that are blocked whose rate of success dropped by 10 points, each case's in proportion.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gatewright.scenarios.gate import Table, Trial, judge, table

from .figures import Bar, Figure, say
from .program import Setting, main

CASES, TRIALS = 50, 4
FITTED = (0.65, 0.85)
DROP = 0.1
MONTE_CARLO = 3.3  # standard errors: a gate of exactly 5 % misses the bar in 1 of 2,000 rounds


class Blocked(NamedTuple):
    """Percent of candidates that were blocked, by the gate and because their mean was lower."""

    gate: float
    lower: float


def _tried(rates: np.ndarray[tuple[int], np.dtype[np.float64]], random: np.random.Generator) -> Table:
    succeeded = random.random((CASES, TRIALS)) < rates[:, None]
    return table(
        "side",
        [
            Trial(case=str(case), trial=trial, success=bool(succeeded[case, trial]))
            for case in range(CASES)
            for trial in range(TRIALS)
        ],
    )


def blocked(drop: float, draws: int) -> Blocked:
    """Judge so many candidates whose rate of success is lower by `drop`."""
    random = np.random.default_rng(20)
    left = 1 - drop * sum(FITTED) / FITTED[0]
    gate = lower = 0
    for _ in range(draws):
        rates = random.beta(*FITTED, size=CASES)
        verdict = judge(_tried(rates, random), _tried(rates * left, random))
        gate += verdict.outcome == "fail"
        lower += verdict.comparison.metrics["success"].difference < 0
    return Blocked(100 * gate / draws, 100 * lower / draws)


async def measure(setting: Setting) -> Sequence[Figure]:
    """Both figures."""
    draws = setting.size(1_000, 40)
    began = time.process_time()
    unchanged, worse = blocked(0.0, draws), blocked(DROP, draws)
    say(f"gate: {2 * draws} verdicts, {1000 * (time.process_time() - began) / (2 * draws):.0f} ms of CPU each")
    most = 5 + MONTE_CARLO * 100 * (0.05 * 0.95 / draws) ** 0.5
    least = 78 - MONTE_CARLO * 100 * (0.78 * 0.22 / draws) ** 0.5
    return [
        Figure(
            name="false_block_rate",
            unit="%",
            ours=unchanged.gate,
            reference=unchanged.lower,
            ratio=unchanged.gate / unchanged.lower if unchanged.lower else None,
            bar=Bar(value=round(most, 1), sense="at most", of="ours"),
        ),
        Figure(
            name="caught",
            unit="%",
            ours=worse.gate,
            reference=worse.lower,
            ratio=worse.gate / worse.lower if worse.lower else None,
            bar=Bar(value=round(least, 1), sense="at least", of="ours"),
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
