"""The airline as a world that a team is deployed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from gatewright.environments.domains import Called, Domain, DomainWorld, data_option

from . import calls, dataset, episodes, reward
from .case import Case
from .catalogue import CATALOGUE
from .dataset import Dataset
from .reservations import NOW

CONVERSATIONS = dataset.BUILT_IN / "conversations.json"

EST = timezone(timedelta(hours=-5), "EST")  # in which the airline's policy gives its time

AirlineWorld = DomainWorld[Dataset, Case]


def _perform(case: Case, call: Called) -> str:
    return calls.perform(case, call.name, call.args)


AIRLINE = Domain[Dataset, Case](
    name="airline",
    catalogue=CATALOGUE,
    began=datetime.fromisoformat(NOW).replace(tzinfo=EST),
    load=dataset.load,
    open=Case,
    perform=_perform,
    solution=reward.solution,
    reward=reward.reward,
    parse=episodes.parse,
    file="flights.json",
    built_in=CONVERSATIONS,
)
"""tau-bench's airline: its data format, its tools and its reward."""


def airline(state: Path, options: Mapping[str, Any]) -> AirlineWorld:
    """Open the airline with its durable state in the folder `state`.

    Args:
        options: `data`, a directory with flights.json, reservations.json and users.json for threads that name none;
            without it, the small airline that comes along.

    Raises:
        UsageError: an option is unknown.
        UnavailableError: the state cannot be opened.
    """
    return DomainWorld(AIRLINE, state, data_option("airline", options) or dataset.BUILT_IN.resolve())
