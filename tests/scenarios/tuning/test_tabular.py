from __future__ import annotations

import numpy as np
import pytest

from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.optimum import rules, solver, uniform
from gatewright.environments.claims.simulator import INVESTIGATE, TRIAGE, DeskSimulator
from gatewright.scenarios.tuning import tabular
from gatewright.scenarios.tuning.choosers import greedy
from gatewright.scenarios.tuning.tabular import Values


def test_a_table_earns_more_than_chance_and_nearly_as_much_as_it_was_shown() -> None:
    network = tabular.learn(TRIAGE, first=0, seed=1, steps=300_000, exploration=0.3)
    chosen = greedy(network)(TRIAGE_GRID.observations, TRIAGE_GRID.masks, TRIAGE_GRID.rules)
    assert TRIAGE_GRID.masks[np.arange(TRIAGE_GRID.size), chosen].all()
    share = solver().share(rules()._replace(triage=TRIAGE_GRID.certain(chosen)), "triage")
    assert 0.6 < share < 1
    assert solver().share(rules()._replace(triage=uniform().triage), "triage") == pytest.approx(0)


@pytest.mark.parametrize("simulator", [TRIAGE, INVESTIGATE], ids=["triage", "investigate"])
def test_one_seed_gives_equal_tables(simulator: DeskSimulator) -> None:
    made = [tabular.learn(simulator, first=7, seed=2, steps=20_000, exploration=0.1) for _ in range(2)]
    for name, array in made[0].arrays().items():
        assert np.array_equal(array, made[1].arrays()[name]), name
    other = tabular.learn(simulator, first=7, seed=3, steps=20_000, exploration=0.1)
    assert not np.array_equal(other.values, made[0].values)


def test_a_value_is_the_mean_of_all_that_was_earned_in_its_cell() -> None:
    values = Values([[0.5]], 2)
    rows = values.rows(np.array([[1.0], [0.0], [1.0]], np.float32))
    assert rows.tolist() == [1, 0, 1]
    values.learn(rows, np.array([0, 1, 0]), np.array([2.0, 5.0, 4.0]), np.inf)
    values.learn(rows[:1], np.array([0]), np.array([6.0]), np.inf)
    assert values.values.tolist() == [[0, 5], [4, 0]]
    assert values.visits.tolist() == [[0, 1], [3, 0]]


def test_what_was_never_tried_is_worth_the_mean_of_the_option() -> None:
    values = Values([[0.5]], 2)
    values.learn(values.rows(np.array([[0.0], [1.0]], np.float32)), np.array([0, 0]), np.array([1.0, 3.0]), np.inf)
    assert values.table().logits(np.array([[0.0], [1.0]], np.float32)).tolist() == [[1, 0], [3, 0]]


def test_cells_that_come_late_keep_the_values_of_the_others() -> None:
    values = Values([[0.5, 1.5]], 1)
    values.learn(values.rows(np.array([[2.0]], np.float32)), np.array([0]), np.array([7.0]), np.inf)
    assert values.rows(np.array([[0.0], [2.0]], np.float32)).tolist() == [0, 1]
    assert values.values.tolist() == [[0], [7]]


def test_a_column_of_many_values_is_cut_where_as_many_cases_fall_into_each_part() -> None:
    column = np.arange(800, dtype=np.float32)
    levels = np.asarray(tabular.cut(column))
    parts = np.bincount((column[:, None] >= levels).sum(axis=1))
    assert parts.tolist() == [100] * 8
    assert tabular.cut(np.array([0, 1, 0], np.float32)) == [0.5]
    assert tabular.cut(np.zeros(3, np.float32)) == []
