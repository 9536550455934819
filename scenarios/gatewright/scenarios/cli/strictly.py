"""Strict replays on the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewright.runtime.cli.desk import Desk, facts

if TYPE_CHECKING:
    from gatewright.scenarios.replay.strict import Replayed

DIFFERS = 1
EMPTY = 3
SHOWN = 20  # divergences


def replay(desk: Desk, paths: Sequence[Path]) -> int:
    """Run the episodes in files of ours again on the configured release; gives the exit code."""
    found, others, seconds = desk.run(_replayed(desk, paths))
    diverged = [each.divergence for each in found if each.divergence is not None]
    value: dict[str, Any] = {
        "episodes": {"equal": len(found) - len(diverged), "total": len(found)},
        "effects": {"equal": sum(each.effects for each in found), "total": sum(each.total for each in found)},
        "decisions": {
            "equal": sum(each.equal_decisions for each in found),
            "total": sum(each.decisions for each in found),
        },
        "same_rules": all(each.rules for each in found),
        "other_versions": others,
        "diverged": [each.plain() for each in diverged],
        "seconds": round(seconds, 3),
    }

    def text() -> str:
        shown = {name: _of(value[name]) for name in ("episodes", "effects", "decisions")}
        shown |= {"rules": "those of the record" if value["same_rules"] else "other than those of the record"}
        shown |= {name: f"recorded with {old}" for name, old in others.items()}
        parts = [facts({**shown, "seconds": f"{seconds:.2f}"})]
        parts += ["\n".join(filter(None, (str(each), each.beside()))) for each in diverged[:SHOWN]]
        if len(diverged) > SHOWN:
            parts.append(f"and {len(diverged) - SHOWN} more; --json has all")
        return "\n\n".join(parts)

    desk.show(value, text)
    if not found:
        return EMPTY
    return DIFFERS if diverged else 0


async def _replayed(desk: Desk, paths: Sequence[Path]) -> tuple[list[Replayed], dict[str, str], float]:
    from gatewright.scenarios.episodes import files
    from gatewright.scenarios.replay import release, strict

    now = files.versions()
    others: dict[str, str] = {}
    found: list[Replayed] = []
    with release.loaded(desk.config()) as ours:
        began = time.perf_counter()
        for path in paths:
            for recorded in files.read(path):
                found.append(await strict.replay(recorded.episode, ours))
                others |= {name: old for name, old in recorded.versions.items() if now.get(name) != old}
        return found, others, time.perf_counter() - began


def _of(ratio: dict[str, int]) -> str:
    return f"{ratio['equal']} of {ratio['total']} equal"
