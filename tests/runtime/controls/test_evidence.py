"""Who writes to the database itself can neither lift a pause nor waive a rule without the auditor seeing it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gatewright.runtime import ledger
from gatewright.runtime.controls.views import ScopeView
from gatewright.runtime.store.sqlite import FILE

if TYPE_CHECKING:
    from tests.runtime.conftest import House


async def steered(house: House) -> None:
    """A service that was paused and resumed, is paused again, and has a waiver that holds and one that was revoked."""
    until = datetime.now(UTC) + timedelta(hours=1)
    scope = ScopeView(tool="send")
    async with house.open("spending:sends") as service:
        await service.pause_deployment("x", by="kim", reason="ask kim@example.org")
        await service.resume_deployment("x", by="lee")
        await service.pause_deployment("x", by="kim", reason="r")
        await service.waive("one", scope=scope, until=until, by="kim", reason="call +49 170 1234567")
        gone = await service.waive("two", scope=scope, until=until, by="kim", reason="r")
        await service.revoke_waiver(gone.id, by="lee")


async def test_what_was_done_through_the_service_verifies(house: House) -> None:
    await steered(house)
    assert ledger.verify(house.folder / "data").bad == ()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM pause", "deployment 'x' is shown as running, the records say otherwise"),
        ("UPDATE pause SET by = 'mallory'", "deployment 'x' is shown as paused, the records say otherwise"),
        ("INSERT INTO pause VALUES ('y', 'mallory', 'r', 1)", "deployment 'y' is shown as paused"),
        ("UPDATE waiver SET revoked_at = NULL, revoked_by = NULL", "is not as the records say"),
        ("UPDATE waiver SET until_at = until_at + 1", "is not as the records say"),
        ("UPDATE waiver SET rule_id = 'everything'", "is not as the records say"),
        ('UPDATE waiver SET scope = \'{"deployment":"x"}\'', "is not as the records say"),
        ("DELETE FROM waiver", "is not as the records say"),
    ],
)
async def test_what_was_done_behind_its_back_does_not(house: House, statement: str, found: str) -> None:
    await steered(house)
    with closing(sqlite3.connect(house.folder / "data" / FILE)) as connection, connection:
        assert connection.execute(statement).rowcount
    problems = [problem for _index, problem in ledger.verify(house.folder / "data").bad]
    assert any(found in problem for problem in problems), problems
