"""Decisions of episodes as rows."""

from __future__ import annotations

from tests.scenarios.offices import Office

from gatewright.scenarios.episodes import Recorded
from gatewright.scenarios.episodes.decisions import decisions


async def test_a_decision_is_a_row_with_all_that_learning_needs(office: Office) -> None:
    (episode,) = await office.hold([12])

    (row,) = decisions(Recorded(episode=episode, reward=2.5))

    assert row["episode"] == episode.id
    assert (row["point"], row["features"], row["options"]) == ("size", {"amount": 12}, ["small", "large"])
    assert (row["option"], row["propensity"], row["policy"], row["closed"]) == ("large", 1.0, "threshold-1", {})
    assert row["reward"] == 2.5
    assert not list(decisions(Recorded(episode=episode), "another"))
