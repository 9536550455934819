from __future__ import annotations

import numpy as np

from gatewright.environments.claims.core import Core
from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.moments import CLOSED, VIOLATIONS
from gatewright.environments.claims.simulator import INVESTIGATE, TRIAGE
from gatewright.runtime.policies import networks
from gatewright.scenarios.tuning import choosers

ENCODED = len(TRIAGE.encoding.columns)


def test_the_same_episodes_are_played_whoever_chooses() -> None:
    played = choosers.play(TRIAGE.copies(3), range(20, 23), 4, choosers.ruled)
    core = Core("triage", 3)
    core.reset([20, 21, 22])
    expected = np.stack([core.step(TRIAGE_GRID.rules[core.cells]).rewards for _ in range(4)], axis=1)
    assert np.array_equal(played.rewards, expected)
    assert played.load.shape == (3, 4) and (played.load >= 0).all()
    assert {name: each.shape for name, each in played.violations.items()} == dict.fromkeys(VIOLATIONS, (3, 4))


def test_episodes_of_several_decisions_are_summed_and_none_is_cut_off() -> None:
    few = choosers.play(INVESTIGATE.copies(5), range(5), 3, choosers.ruled)
    more = choosers.play(INVESTIGATE.copies(5), range(5), 9, choosers.ruled)
    assert np.array_equal(few.rewards, more.rewards[:, :3])
    assert np.array_equal(few.load, more.load[:, :3])


def test_a_closed_option_is_never_chosen_however_much_the_network_wants_it() -> None:
    eager = choosers.greedy(networks.linear(np.zeros((ENCODED, 4)), [100.0, 0.0, 0.0, 50.0]))
    played = choosers.play(TRIAGE.copies(50), range(50), 10, eager)
    assert not played.violations[CLOSED].any()


def test_a_closed_option_counts_as_a_violation() -> None:
    played = choosers.play(TRIAGE.copies(50), range(50), 10, lambda seen, masks, own: (~masks).argmax(axis=1))
    assert played.violations[CLOSED].mean() > 0.9
