"""What other components offer to the pages of decisions, found by entry points and loaded when it is asked for.

The group `gatewright.console` names them: `explain` says why an option was chosen rather than another, `replay` runs a
case again. What they give are JSON values: those of `gatewright audit explain --json`, and of a replay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.operations import Host

GROUP = "gatewright.console"


class Explain(Protocol):
    """Explains the decision at an index: its option against the runner-up, or against another.

    Raises:
        NotFoundError: no learned policy made it, or there is nothing to compare it with.
        UsageError: `against` is not another option of it.
    """

    def __call__(self, host: Host, index: int, against: str | None) -> Awaitable[Mapping[str, Any]]: ...


class Replay(Protocol):
    """Does a case again on the configured release, with every effect answered from the record.

    Raises:
        ConflictError: it has not ended.
    """

    def __call__(self, host: Host, case_id: str) -> Awaitable[Mapping[str, Any]]: ...


def explain() -> Explain:
    """What explains decisions.

    Raises:
        UnavailableError: it is not installed, or cannot be loaded.
    """
    return cast("Explain", _named("explain", "explains decisions"))


def replay() -> Replay:
    """What replays cases.

    Raises:
        UnavailableError: it is not installed, or cannot be loaded.
    """
    return cast("Replay", _named("replay", "replays cases"))


def _named(name: str, what: str) -> Any:
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise UnavailableError(
            f"nothing that {what} is installed here; the scenarios component of Gatewright offers it (entry point "
            f"{name!r} of {GROUP!r})"
        )
    try:
        return found.load()
    except (ImportError, AttributeError) as error:
        raise UnavailableError(f"what {what} cannot be loaded from {found.value!r}: {error}") from error
