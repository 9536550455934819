from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.scenarios.explanations import Game, Reference, explain, record, reproduce


def kept(game: Game, case: NDArray[np.float64], *, exact: bool) -> dict[str, object]:
    found = explain(game, case, exact=exact, seed=11)
    said = record(game, case, found, decision=4, policy="f" * 64, contrast=("approve", "reject"), seed=11)
    read: dict[str, object] = json.loads(json.dumps(said))
    return read


@pytest.mark.parametrize("exact", [False, True])
def test_an_explanation_is_computed_anew_bit_for_bit(game: Game, cases: NDArray[np.float64], exact: bool) -> None:
    assert reproduce(kept(game, cases[0], exact=exact), game) == (True, 0.0)


def test_a_value_that_was_changed_does_not_reproduce(game: Game, cases: NDArray[np.float64]) -> None:
    said = kept(game, cases[0], exact=False)
    values = said["values"]
    assert isinstance(values, list)
    values[0][0] += 0.25
    equal, difference = reproduce(said, game)
    assert not equal
    assert difference == pytest.approx(0.25)


def test_another_reference_set_is_refused(game: Game, cases: NDArray[np.float64]) -> None:
    other = Game(game._logits, game.groups, Reference(rows=cases, query="others"), game.options)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(IntegrityError, match="reference set"):
        reproduce(kept(game, cases[0], exact=True), other)


def test_another_version_of_the_methods_is_refused(game: Game, cases: NDArray[np.float64]) -> None:
    said = kept(game, cases[0], exact=True)
    said["method"] = {"version": 99}
    with pytest.raises(UsageError, match="version 99"):
        reproduce(said, game)


def test_the_record_says_what_it_was_held_against(game: Game, cases: NDArray[np.float64]) -> None:
    said = kept(game, cases[0], exact=False)
    assert said["reference"] == {
        "query": "decisions of triage",
        "first": None,
        "last": None,
        "rows": 200,
        "sha256": game.reference.digest,
    }
