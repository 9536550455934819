"""The cells: every one is what the team's own functions and the encoding of policies say it is."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.environments.claims.grid import INVESTIGATE_GRID, TRIAGE_GRID, Grid
from gatewright.runtime.policies.encoding import Encoding


@pytest.fixture(params=[TRIAGE_GRID, INVESTIGATE_GRID], ids=lambda grid: grid.point.name)
def grid(request: pytest.FixtureRequest) -> Grid:
    found: Grid = request.param
    return found


def some(grid: Grid) -> list[int]:
    cells: list[int] = np.random.default_rng(5).integers(0, grid.size, 200).tolist()
    return cells


def test_a_cell_is_that_of_its_features(grid: Grid) -> None:
    assert all(grid.cell(grid.features(cell)) == cell for cell in some(grid))


def test_a_cell_s_features_are_such_as_the_model_takes(grid: Grid) -> None:
    for cell in some(grid):
        features = grid.features(cell)
        assert grid.point.features.model_validate(features.model_dump()) == features


def test_observations_are_what_policies_are_given(grid: Grid) -> None:
    cells = some(grid)
    encoding = Encoding.of(grid.point.features)
    assert (grid.observations[cells] == encoding.encode_many([grid.features(cell) for cell in cells])).all()


def test_some_option_is_open_in_every_cell_and_the_rules_choose_it(grid: Grid) -> None:
    assert grid.masks.any(axis=1).all()
    assert grid.masks[np.arange(grid.size), grid.rules].all()
