"""Databases of each kind for the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.runtime.bus.carriers import Broker, hasten
from tests.runtime.bus.sites import Site

from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.sqlite import Memory

KINDS = ("memory", "sqlite", "postgresql", "kafka")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a test of the contract run on everything that keeps it, but for what the test itself leaves out."""
    if "site" in metafunc.fixturenames:
        left_out = {kind for mark in metafunc.definition.iter_markers("not_on") for kind in mark.args}
        assert left_out < set(KINDS), left_out
        metafunc.parametrize("site", [kind for kind in KINDS if kind not in left_out], indirect=True)


@pytest.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Site]:
    """A database of each kind, and one whose messages go over Kafka."""
    database: Database
    broker = None
    if request.param == "memory":
        database = Memory()
    else:
        database = of(request.getfixturevalue("database_url") if request.param == "postgresql" else "", tmp_path)
    if request.param == "kafka":
        hasten(monkeypatch.setattr)
        broker = Broker(request.getfixturevalue("kafka").bootstrap, request.getfixturevalue("topic_prefix"))
    database.hold()
    try:
        await asyncio.to_thread(database.prepare)
        found = Site(database, broker)
        yield found
        await found.close()
    finally:
        database.release()
