"""Files of recorded episodes, whose format is told by what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gatewright.agents.errors import UsageError
from gatewright.environments.airline import AIRLINE
from gatewright.environments.domains import AnyDomain
from gatewright.environments.recordings import Recording, content
from gatewright.environments.retail import RETAIL

from . import whowhen

FORMATS = (
    "tau-bench's list of {task_id, trial, reward, info, traj}, tau2-bench's {info, tasks, simulations}, or the "
    "list of {history, mistake_agent, mistake_step, ...} of Who&When"
)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The episodes of one file. `domain` is what they can be executed in again; None if there is nothing of the kind.

    `data` is the folder of the file, if the domain's data set is in it.
    """

    recordings: list[Recording]
    domain: AnyDomain | None
    data: Path | None


def read(path: Path) -> Imported:
    """The episodes in a file of any known format.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else.
    """
    value = content(path)
    domain = _domain(value)
    try:
        if domain is not None:
            return Imported(recordings=domain.parse(value), domain=domain, data=domain.beside(path))
        if _is_whowhen(value):
            return Imported(recordings=whowhen.parse(value), domain=None, data=None)
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from error
    raise UsageError(f"{str(path)!r} holds no episodes of a known format; there are {FORMATS}")


def _first(value: object) -> Mapping[str, Any]:
    """The first of a list of objects; empty if it is something else."""
    first = cast("list[object]", value)[0] if isinstance(value, list) and value else None
    return cast("dict[str, Any]", first) if isinstance(first, dict) else {}


def _domain(value: object) -> AnyDomain | None:
    if isinstance(value, dict) and "simulations" in value:
        return RETAIL
    return AIRLINE if value == [] or "traj" in _first(value) else None


def _is_whowhen(value: object) -> bool:
    return "mistake_agent" in _first(value)
