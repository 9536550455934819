"""Logs of the `tune` commands: the decisions in a file of episodes, and what their cases earned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gatewright.environments.decisions.logs import Decision


class Recorded(NamedTuple):
    """Decisions at one point, and what is known of what their cases earned."""

    decisions: list[Decision]
    earned: Mapping[str, float]


def recorded(log: Path, point: str, rewards: Path | None) -> Recorded:
    """The decisions at a point in a file of episodes; without `rewards`, cases earned what the file says.

    Raises:
        UsageError: a file cannot be read or holds something else.
    """
    from gatewright.environments.decisions.logs import of_episode
    from gatewright.scenarios import episodes

    earned = {} if rewards is None else _rewards(rewards)
    decisions: list[Decision] = []
    for each in episodes.read(log):
        decisions += of_episode(each.episode, point)
        if rewards is None and each.reward is not None:
            earned[each.episode.id] = each.reward
    return Recorded(decisions, earned)


def _rewards(path: Path) -> dict[str, float]:
    from pydantic import TypeAdapter, ValidationError

    from gatewright.agents.errors import UsageError

    try:
        return TypeAdapter(dict[str, float]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"cannot read rewards from {str(path)!r}: {error}; expected {{CASE: NUMBER}}") from error
