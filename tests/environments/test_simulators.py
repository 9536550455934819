from __future__ import annotations

import numpy as np
import pytest

from gatewright.agents.errors import UsageError
from gatewright.environments.claims import simulator
from gatewright.environments.claims.grid import INVESTIGATE_GRID, TRIAGE_GRID
from gatewright.environments.simulators import Simulator, named


def test_those_that_come_along_have_names() -> None:
    assert named("claims.triage") is simulator.TRIAGE
    assert named("gatewright.environments.claims.simulator:INVESTIGATE") is simulator.INVESTIGATE


@pytest.mark.parametrize("name", ["claims.nothing", "json", "json:dumps", "json:nothing", "nowhere.at:all"])
def test_what_is_no_simulator_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="simulator"):
        named(name)


@pytest.mark.parametrize("made", [simulator.TRIAGE, simulator.INVESTIGATE], ids=["triage", "investigate"])
def test_the_vectorised_environment_is_the_simulator(made: Simulator) -> None:
    copies, environments = made.copies(6), made.environments(6, {})
    environments.seed(30)
    seen, theirs = copies.reset(range(30, 36)), np.asarray(environments.reset())
    for _ in range(40):
        assert np.array_equal(seen, theirs)
        moment = copies.step(copies.ruled)
        observed, rewards, settled, _ = environments.step(_ruled(made, theirs))
        assert np.array_equal(moment.rewards.astype(np.float32), rewards)
        assert np.array_equal(moment.settled, settled)
        seen, theirs = moment.observations, np.asarray(observed)


def _ruled(made: Simulator, observations: object) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """What the rules choose, found by the observations."""
    grid = TRIAGE_GRID if made is simulator.TRIAGE else INVESTIGATE_GRID
    known = {row.tobytes(): choice for row, choice in zip(grid.observations, grid.rules.tolist(), strict=True)}
    return np.array([known[row.tobytes()] for row in np.asarray(observations)])


def test_load_is_the_minutes_of_people() -> None:
    copies = simulator.TRIAGE.copies(200)
    copies.reset(range(200))
    standard = copies.step(np.full(200, 1))
    assert (standard.load >= 40).all()  # an adjuster's
    assert not standard.violations["closed option"].any()
    closed = copies.step((~copies.masks).argmax(axis=1))
    assert closed.violations["closed option"].sum() > 150
