"""Counterfactual replays on the command line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gatewright.agents.errors import UsageError
from gatewright.runtime.cli.desk import Desk, facts

if TYPE_CHECKING:
    from gatewright.runtime.config import Config
    from gatewright.scenarios.replay.counterfactual import Branch

EMPTY = 3
SHOWN = 20  # episodes


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is to be tried: `policies` by decision point, and `rules`, instead of those of the configuration."""

    policies: Sequence[str] = ()
    rules: Path | None = None
    simulate: bool = False
    approvals: Literal["approve", "reject"] | None = None


def replay(desk: Desk, paths: Sequence[Path], candidate: Candidate) -> int:
    """Say what the candidate would have made of the episodes; gives the exit code."""
    began = time.perf_counter()
    found = desk.run(_branches(_tried(desk.config(), candidate, _deployments(paths)), paths, candidate))
    left = [branch for branch in found if branch.left is not None]
    stopped = Counter(branch.stopped for branch in found if branch.stopped)
    value: dict[str, Any] = {
        "episodes": len(found),
        "as_recorded": len(found) - len(left),
        "left": len(left),
        "stopped": dict(stopped.most_common()),
        "branches": [_plain(branch) for branch in found],
        "seconds": round(time.perf_counter() - began, 3),
    }

    def text() -> str:
        shown = {"episodes": len(found), "as recorded": len(found) - len(left), "left the record": len(left)}
        parts = [facts({**shown, "seconds": f"{value['seconds']:.2f}"})]
        parts += [_words(branch) for branch in left[:SHOWN]]
        if len(left) > SHOWN:
            parts.append(f"and {len(left) - SHOWN} more; --json has all")
        return "\n\n".join(parts)

    desk.show(value, text)
    return 0 if found else EMPTY


def _deployments(paths: Sequence[Path]) -> set[str]:
    """The deployments that the episodes are of."""
    from gatewright.scenarios.episodes import files

    return {run.deployment for path in paths for recorded in files.read(path) for run in recorded.episode.runs}


def _tried(config: Config, candidate: Candidate, deployments: Set[str]) -> Config:
    """The configuration with the candidate's policies and rules in these deployments."""
    from gatewright.runtime.config import Config

    policies: dict[str, str] = {}
    for given in candidate.policies:
        point, _, file = given.partition("=")
        if not point or not file:
            raise UsageError(f"--policy {given!r} names no policy; write POINT=FILE, triage=triage.policy for example")
        policies[point] = str(Path(file).resolve())
    plain = config.model_dump(exclude_unset=True)
    for name, deployment in plain.get("deployments", {}).items():
        if name not in deployments:
            continue
        if policies:
            deployment["policies"] = {**deployment.get("policies", {}), **policies}
        if candidate.rules is not None:
            deployment["rules"] = candidate.rules.resolve()
    return Config.model_validate(plain)


async def _branches(config: Config, paths: Sequence[Path], candidate: Candidate) -> list[Branch]:
    from gatewright.scenarios.episodes import files
    from gatewright.scenarios.replay import counterfactual, release

    found: list[Branch] = []
    with release.loaded(config) as tried:
        for path in paths:
            for recorded in files.read(path):
                found.append(
                    await counterfactual.replay(
                        recorded.episode, tried, simulate=candidate.simulate, approvals=candidate.approvals
                    )
                )
    return found


def _plain(branch: Branch) -> dict[str, Any]:
    return {
        "episode": branch.episode,
        "answered": branch.answered,
        "left": None if branch.left is None else branch.left.plain(),
        "off_record": [change._asdict() for change in branch.changes],
        "stopped": branch.stopped or None,
        "reward": branch.reward,
    }


def _words(branch: Branch) -> str:
    lines = [str(branch.left), f"  {branch.answered} effects answered from the record before that"]
    for change in branch.changes:
        result = "" if change.result is None else f": {_short(change.result)}"
        lines.append(f"  off the record: {change.kind} {change.name} {change.how}{result}")
    if branch.stopped:
        lines.append(f"  stopped: {branch.stopped}")
    if branch.reward is not None:
        lines.append(f"  reward {branch.reward:.4g}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:99]}…"
