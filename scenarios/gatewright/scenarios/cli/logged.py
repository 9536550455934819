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
        UsageError: a file cannot be read or holds something else, or no decision at that point.
    """
    from gatewright.agents.errors import UsageError
    from gatewright.agents.wording import counted
    from gatewright.environments.decisions.logs import of_episode
    from gatewright.scenarios import episodes

    earned = {} if rewards is None else _rewards(rewards)
    decisions: list[Decision] = []
    count = 0
    for each in episodes.read(log):
        count += 1
        decisions += of_episode(each.episode, point)
        if rewards is None and each.reward is not None:
            earned[each.episode.id] = each.reward
    if not decisions:
        raise UsageError(
            f"{str(log)!r} has no decision at {point!r} in {counted(count, 'episode')}; "
            "record cases that pass this point"
        )
    return Recorded(decisions, earned)


def _rewards(path: Path) -> dict[str, float]:
    from pydantic import TypeAdapter, ValidationError

    from gatewright.agents.errors import UsageError

    try:
        return TypeAdapter(dict[str, float]).validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read rewards from {str(path)!r}: {error.strerror}") from error
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = f"case {str(found['loc'][0])!r}: " if found["loc"] else ""
        raise UsageError(
            f"cannot read rewards from {str(path)!r}: {place}{found['msg']}; expected {{CASE: NUMBER}}"
        ) from error
