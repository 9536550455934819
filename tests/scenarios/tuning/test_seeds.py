from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import UsageError
from gatewright.scenarios.tuning.seeds import LARGEST, MOST_COPIES, MOST_TRAININGS, PURPOSES, worlds

SPANS = st.tuples(st.integers(0, LARGEST), st.sampled_from(PURPOSES), st.integers(0, MOST_TRAININGS - 1))


@given(SPANS, SPANS)
def test_no_two_trainings_and_purposes_share_a_case(one: tuple[int, str, int], other: tuple[int, str, int]) -> None:
    first, second = worlds(*one), worlds(*other)  # type: ignore[arg-type]  # a purpose each
    assert (one == other) == (abs(first - second) < MOST_COPIES)


@pytest.mark.parametrize(("seed", "number"), [(-1, 0), (LARGEST + 1, 0), (0, MOST_TRAININGS), (0, -1)])
def test_what_cannot_be_told_apart_is_refused(seed: int, number: int) -> None:
    with pytest.raises(UsageError):
        worlds(seed, "learning", number)
