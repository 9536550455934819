"""The shop as a world that a team is deployed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from gatewright.environments.domains import Domain, DomainWorld, data_option

from . import calls, dataset, episodes, reward
from .case import Case
from .catalogue import CATALOGUE
from .dataset import Dataset

EST = timezone(timedelta(hours=-5), "EST")  # in which the shop's policy gives its times

RetailWorld = DomainWorld[Dataset, Case]

RETAIL = Domain[Dataset, Case](
    name="retail",
    catalogue=CATALOGUE,
    # Nothing in the shop depends on the time; its recordings say none. It stands with the airline's.
    began=datetime(2024, 5, 15, 15, tzinfo=EST),
    file=dataset.FILE,
    load=dataset.load,
    open=Case,
    perform=calls.perform,
    solution=reward.solution,
    reward=reward.reward,
    parse=episodes.parse,
)
"""tau2-bench's retail domain: its data format, its tools and its reward."""


def retail(state: Path, options: Mapping[str, Any]) -> RetailWorld:
    """Open the shop with its durable state in the folder `state`.

    Args:
        options: `data`, a directory with db.json for threads that name none; no data come along.

    Raises:
        UsageError: an option is unknown.
        UnavailableError: the state cannot be opened.
    """
    return DomainWorld(RETAIL, state, data_option("shop", options))
