"""The decisions of an episode as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .files import Recorded


def decisions(recorded: Recorded, point: str | None = None) -> Iterator[dict[str, Any]]:
    """The decisions that were made, in the order of the log.

    Each with `episode`, `run_id`, `position`, `point`, `features`, `options`, `closed` (with reasons), `option`,
    `propensity`, `policy`, and the episode's `reward`, None where it has none. Refused ones, those that people
    made in place of the policy, and those whose values were erased, are left out.

    Args:
        point: only those of this decision point.
    """
    for entry in recorded.episode.entries:
        effect = entry.record.effect
        if effect is None or effect.kind != "decision" or (point is not None and effect.name != point):
            continue
        if entry.record.outcome != "ok" or not {"args", "result"} <= entry.values.keys():
            continue
        if entry.record.approval is not None and entry.record.approval.verdict == "answer":
            continue
        args, made = entry.values["args"].decoded(), entry.values["result"].decoded()
        yield {
            "episode": recorded.episode.id,
            "run_id": entry.record.run_id,
            "position": entry.position,
            "point": effect.name,
            "features": args["features"],
            "options": args["options"],
            "closed": args["closed"],
            "option": made["option"],
            "propensity": made["propensity"],
            "policy": made["policy"],
            "reward": recorded.reward,
        }
