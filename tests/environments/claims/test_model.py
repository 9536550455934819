"""The model: its probabilities are such, what is drawn follows them, and a seed's claims can be had one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gatewright.environments.claims.core import CELL, DOCUMENTS, INSPECTION, SPECIAL, STANDARD, TRUTH
from gatewright.environments.claims.model import DRAWS, Model, claim, default, stream
from gatewright.environments.claims.parameters import Parameters

MANY = 200_000


def test_cells_and_truths_are_probability_distributions() -> None:
    model = default()
    assert model.weight.sum() == pytest.approx(1)
    assert (model.weight > 0).all()
    assert model.truth.sum(axis=1) == pytest.approx(np.ones(len(model.truth)))
    assert (model.truth > 0).all()


def test_what_is_drawn_comes_as_often_as_the_model_says() -> None:
    model = default()
    claims = model.draw(stream(7).random((MANY, DRAWS)))
    for risk in range(11):
        drawn = (model.risk[claims[:, CELL]] == risk).mean()
        assert drawn == pytest.approx(model.weight[model.risk == risk].sum(), abs=4 / MANY**0.5)
    truths = np.bincount(claims[:, TRUTH], minlength=3) / MANY
    assert truths == pytest.approx(model.weight @ model.truth[model.profile], abs=4 / MANY**0.5)


def test_evidence_is_drawn_by_the_truth() -> None:
    model = default()
    claims = model.draw(stream(8).random((MANY, DRAWS)))
    for truth in range(3):
        of_truth = claims[claims[:, TRUTH] == truth]
        tolerance = 4 / len(of_truth) ** 0.5
        for lane, column in enumerate((STANDARD, SPECIAL)):
            shares = np.bincount(of_truth[:, column], minlength=3) / len(of_truth)
            assert shares == pytest.approx(model.assessment[lane, truth], abs=tolerance)
        assert (of_truth[:, DOCUMENTS] == 1).mean() == pytest.approx(model.documents[truth, 0], abs=tolerance)
        assert (of_truth[:, INSPECTION] == 1).mean() == pytest.approx(model.inspection[truth, 0], abs=tolerance)


def test_a_claim_of_a_seed_is_drawn_without_those_before_it() -> None:
    model = default()
    in_order = model.draw(stream(3).random((50, DRAWS)))
    assert all((claim(model, 3, number) == in_order[number]).all() for number in (0, 1, 49))
    assert (claim(model, 4, 0) != in_order[0]).any()


def test_probabilities_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        Model(dataclasses.replace(Parameters(), coverage=(0.5, 0.5, 0.1)))
