"""Strict replays for the console's page of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gatewright.agents.errors import ConflictError
from gatewright.runtime import episodes
from gatewright.runtime.config import Config
from gatewright.runtime.operations import Host
from gatewright.runtime.policy import backtest
from gatewright.runtime.store import database

from . import release, strict


async def replay(host: Host, case_id: str) -> Mapping[str, Any]:
    """Do a case again on the configured release: counts of equal `effects` and `decisions`, whether the rules are the
    same, where it `diverged` first (None where it did not) and the two sides `beside` one another.

    Raises:
        ConflictError: the case has not ended.
    """
    return await asyncio.to_thread(_replayed, host.config, case_id)


def _replayed(config: Config, case_id: str) -> Mapping[str, Any]:
    """In a thread with a loop of its own, so that the service goes on beside it."""
    with backtest.ledger(database.of(config.database, config.data_dir)) as engine, engine.connect() as connection:
        episode = episodes.read(connection, case_id)
    if not episode.ended:
        raise ConflictError(f"case {case_id!r} has not ended; it can be replayed when all of it is on record")
    with release.loaded(config) as ours:
        found = asyncio.run(strict.replay(episode, ours))
    return {
        "effects": {"equal": found.effects, "total": found.total},
        "decisions": {"equal": found.equal_decisions, "total": found.decisions},
        "same_rules": found.rules,
        "diverged": found.divergence and found.divergence.plain(),
        "beside": found.divergence.beside() if found.divergence else "",
    }
