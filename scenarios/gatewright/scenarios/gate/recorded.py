"""Results as tables of trials, from our own files and from those of tau-bench and tau2-bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from gatewright.agents.errors import NotFoundError, UsageError

from . import trials
from .trials import Table, Trial


def read(path: Path) -> Table:
    """The trials in a result file; its kind is told by what it holds.

    Our own JSON Lines (`trials`), tau2-bench's `{tasks, simulations}`, or tau-bench's list of episodes. A reward of 1
    is a success there, as in their own tables; what a model without a known price cost is recorded there as 0, so a
    cost of 0 in a tau2 file is read as unknown.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else.
    """
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
            if trials.FORMAT in first:
                return trials.read(path)
            found = json.loads(first + file.read())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no result file {str(path)!r}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read results from {str(path)!r}: {error}; {_EXPECTED}") from error
    try:
        return trials.table(path.stem, _trials(found))
    except (KeyError, TypeError, AttributeError, ValueError, ValidationError) as error:
        raise UsageError(
            f"{str(path)!r} holds no results: {type(error).__name__}: {str(error).splitlines()[0]}; {_EXPECTED}"
        ) from error


_EXPECTED = (
    "expected trials as JSON Lines, tau2-bench's {tasks, simulations}, or tau-bench's list of {task_id, trial, reward}"
)


def _trials(found: Any) -> list[Trial]:
    if isinstance(found, dict):
        return [_tau2(each) for each in cast("dict[str, Any]", found)["simulations"]]
    return [_tau(each) for each in found]


def _tau2(simulation: dict[str, Any]) -> Trial:
    scored: dict[str, Any] | None = simulation.get("reward_info")
    reward = None if scored is None else float(scored["reward"])
    return Trial(
        case=str(simulation["task_id"]),
        trial=simulation.get("trial") or 0,
        success=None if reward is None else _is_success(reward),
        reward=reward,
        cost=simulation.get("agent_cost") or None,
        latency=simulation.get("duration"),
        note="" if reward is None or _is_success(reward) else _why(simulation),
        episode=str(simulation.get("id", "")),
    )


def _tau(episode: dict[str, Any]) -> Trial:
    reward = float(episode["reward"])
    return Trial(case=str(episode["task_id"]), trial=episode["trial"], success=_is_success(reward), reward=reward)


def _is_success(reward: float) -> bool:
    return abs(reward - 1) <= 1e-6  # tau-bench's own tolerance


def _why(simulation: dict[str, Any]) -> str:
    parts = {
        name: value
        for name, value in (simulation["reward_info"].get("reward_breakdown") or {}).items()
        if not _is_success(float(value))
    }
    ended = simulation.get("termination_reason") or "unknown"
    return f"ended by {ended}" + "".join(f"; {name} {value:g}" for name, value in parts.items())
