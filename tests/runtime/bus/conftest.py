"""Databases of each kind for the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.runtime.bus.sites import Site

from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.sqlite import Memory


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Site]:
    """A database of each kind."""
    database: Database
    if request.param == "memory":
        database = Memory()
    else:
        database = of("" if request.param == "sqlite" else request.getfixturevalue("database_url"), tmp_path)
    async with AsyncExitStack() as stack:
        database.hold()
        stack.callback(database.release)
        await asyncio.to_thread(database.prepare)
        yield Site(database, stack)
