"""Exact values: they agree with simulation, and nothing is better than the optimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.environments.claims.core import Core
from gatewright.environments.claims.grid import INVESTIGATE_GRID, TRIAGE_GRID, Grid
from gatewright.environments.claims.optimum import GRIDS, Point, Policies, rules, solver, uniform

POINTS: tuple[Point, ...] = ("triage", "investigate")


def at_random(grid: Grid, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A policy that chooses some open option in each cell."""
    drawn = np.random.default_rng(seed).random(grid.masks.shape)
    return grid.certain(np.where(grid.masks, drawn, -1).argmax(axis=1))


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1))
def test_no_policy_is_worth_more_than_the_best(seed: int) -> None:
    some = Policies(at_random(TRIAGE_GRID, seed), at_random(INVESTIGATE_GRID, seed + 1))
    exact = solver()
    best = exact.worth(exact.best()).value
    assert exact.worth(some).value < best
    for point in POINTS:
        better = exact.worth(exact.best(point, some)).value
        assert exact.worth(some).value <= better <= best


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("policy", ["rules", "best"])
def test_the_exact_value_is_that_of_simulated_claims(point: Point, policy: str) -> None:
    exact = solver()
    policies = rules() if policy == "rules" else exact.best(point)
    chosen = getattr(policies, point).argmax(axis=1)
    core = Core(point, 256)
    core.reset(range(256))
    rewards = []
    ended = 0
    for _ in range(400):
        step = core.step(chosen[core.cells])
        rewards.append(step.rewards)
        ended += int(step.settled.sum())
    got = np.concatenate(rewards)
    value = exact.worth(policies).value if point == "triage" else exact.investigated(policies)
    assert got.sum() / ended == pytest.approx(value, abs=4 * got.std() / ended**0.5)


def test_the_desk_s_rules_are_between_chance_and_the_optimum() -> None:
    exact = solver()
    low, current, high = (exact.worth(each).value for each in (uniform(), rules(), exact.best()))
    assert low < current < 0.9 * high
    for point in POINTS:
        assert 0.5 < exact.share(rules(), point) < 0.9
        assert exact.share(exact.best(point), point) == pytest.approx(1)


def test_the_value_is_the_sum_of_its_parts_and_the_lanes_are_shares() -> None:
    worth = solver().worth(rules())
    assert worth.value == pytest.approx(sum(worth.components.values()))
    assert sum(worth.lanes.values()) == pytest.approx(1)
    assert worth.minutes == pytest.approx(-worth.components["human"] / 0.001)


@pytest.mark.parametrize("point", POINTS)
def test_policies_choose_open_options_only(point: Point) -> None:
    for policies in (uniform(), rules(), solver().best()):
        table = getattr(policies, point)
        assert table.sum(axis=1) == pytest.approx(np.ones(GRIDS[point].size))
        assert not table[~GRIDS[point].masks].any()
