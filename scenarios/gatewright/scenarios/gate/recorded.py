"""Results as tables of trials, from our own files and from recorded episodes of other harnesses."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.environments.recordings import Recording
from gatewright.scenarios import importers

from . import trials
from .trials import Table, Trial


def read(path: Path) -> Table:
    """The trials in a result file; its kind is told by what it holds.

    Our own JSON Lines (`trials`), or episodes that `importers` reads. A reward of 1 is a success there, as in
    tau-bench's own tables.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else.
    """
    try:
        with path.open("rb") as file:
            ours = trials.FORMAT.encode() in file.readline()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no result file {str(path)!r}") from error
    except OSError as error:
        raise UsageError(f"cannot read results from {str(path)!r}: {error.strerror}") from error
    if ours:
        return trials.read(path)
    try:
        found = importers.read(path).recordings
    except UsageError as error:
        raise UsageError(f"{error}; nor is it a file of trials, whose first line names {trials.FORMAT!r}") from error
    try:
        return trials.table(path.stem, map(_trial, found))
    except ValidationError as error:
        raise UsageError(f"{str(path)!r}: {trials.first(error)}") from error


def is_success(reward: float) -> bool:
    """Whether a reward is worth a success, by tau-bench's own tolerance."""
    return abs(reward - 1) <= 1e-6


def _trial(recording: Recording) -> Trial:
    success = None if recording.reward is None else is_success(recording.reward)
    return Trial(
        case=recording.task_id,
        trial=recording.trial,
        success=success,
        reward=recording.reward,
        cost=recording.cost,
        note="" if success or recording.ended is None else f"ended by {recording.ended}",
        episode=recording.id,
    )
