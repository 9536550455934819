"""Many desks at once: each is what it would be alone."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.environments.claims.core import REFUSED, Core
from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.optimum import GRIDS, Point, rules, uniform

POINTS: tuple[Point, ...] = ("triage", "investigate")


@pytest.mark.parametrize("point", POINTS)
def test_a_seed_gives_the_same_claims_whatever_the_number_of_copies(point: Point) -> None:
    many, alone = Core(point, 7), Core(point, 1)
    seen_by_many, seen_alone = many.reset(range(10, 17)), alone.reset([13])
    random = np.random.default_rng(1)
    for _ in range(300):  # more than are drawn ahead, and copies that end their episodes at different times
        assert (seen_by_many[3] == seen_alone[0]).all()
        actions = np.where(many.masks, random.random(many.masks.shape), -1).argmax(axis=1)
        step, single = many.step(actions), alone.step(actions[3:4])
        assert step.rewards[3] == single.rewards[0] and step.settled[3] == single.settled[0]
        assert (step.last[3] == single.last[0]).all()
        seen_by_many, seen_alone = step.observations, single.observations


@pytest.mark.parametrize("point", POINTS)
def test_what_is_closed_is_refused_and_the_next_claim_is_as_if_nothing_was(point: Point) -> None:
    refused, left = Core(point, 64), Core(point, 64)
    refused.reset(range(64))
    left.reset(range(64))
    closed = (~refused.masks).argmax(axis=1)
    chosen = np.where(refused.masks.all(axis=1), 0, closed)
    hit = ~refused.masks[np.arange(64), chosen]
    step = refused.step(chosen)
    left.skip()
    assert hit.any() and (step.refused == hit).all() and step.settled[hit].all()
    assert (step.rewards[hit] == REFUSED).all() and not step.components[hit].any()
    assert (refused.cells[hit] == left.cells[hit]).all()


def test_nothing_that_is_open_is_as_bad_as_being_refused_on_average() -> None:
    core = Core("triage", 512)
    core.reset(range(512))
    for option in range(4):
        actions = np.where(core.masks[:, option], option, GRIDS["triage"].rules[core.cells])
        assert core.step(actions).rewards.mean() > REFUSED


def test_policies_that_leave_something_to_chance_cannot_be_the_other_point_s() -> None:
    with pytest.raises(ValueError, match="zeros and ones"):
        Core("triage", 1, others=uniform())


def test_policies_that_choose_what_is_closed_cannot_be_the_other_point_s() -> None:
    fast = TRIAGE_GRID.certain(np.zeros(TRIAGE_GRID.size, np.int64))
    with pytest.raises(ValueError, match="closed"):
        Core("investigate", 1, others=rules()._replace(triage=fast))


def test_a_seed_is_needed_for_each_copy() -> None:
    with pytest.raises(ValueError, match="2 seeds were given for 3 copies"):
        Core("triage", 3).reset([1, 2])
