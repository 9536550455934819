"""Pauses and waivers where several processes share a PostgreSQL database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError
from gatewright.runtime.config import Config
from gatewright.runtime.controls.views import ScopeView
from gatewright.runtime.service import Service

House = Any  # of the conftest above, which cannot be imported
SCRIPT = Path(__file__).parent.parent / "executing.py"


@asynccontextmanager
async def process(config: Config, *how: str) -> AsyncGenerator[None]:
    """Another process that executes runs."""
    command = [sys.executable, str(SCRIPT), config.model_dump_json(), *how]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdin is not None and started.stdout is not None
    try:
        assert await asyncio.to_thread(started.stdout.readline) == "ready\n"
        yield
        started.stdin.close()
        assert await asyncio.to_thread(started.wait, 30) == 0
    finally:
        started.kill()
        started.wait()
        started.stdin.close()
        started.stdout.close()


def intended(connection: Connection) -> int:
    """How many effects may have been performed."""
    rows = connection.execute(sa.text("SELECT count(*) FROM effect WHERE status IN ('intended', 'done')"))
    return int(rows.scalar_one())


async def test_after_a_pause_no_process_intends_anything_even_one_that_has_not_heard_of_it(
    house: House, database_url: str
) -> None:
    house.settings(database=database_url)
    config = house.config("spending:sends")
    async with await Service.open(config, execute=False) as service, process(config, "deaf"):
        runs = [await service.start_run("x", {"numbers": list(range(1, 400))}) for _ in range(4)]
        async with asyncio.timeout(60):
            while len(house.done) < 20:
                await asyncio.sleep(0.01)
        await service.pause_deployment("x", by="kim", reason="it sends twice")
        paused = await service._query(intended)  # pyright: ignore[reportPrivateUsage]
        for run in runs:
            waiting = await service.wait(run.id, timeout=60) if (await service.run(run.id)).status == "running" else run
            assert waiting.status != "succeeded"
        async with asyncio.timeout(60):
            while not {(await service.run(run.id)).status for run in runs} <= {"waiting", "queued"}:
                await asyncio.sleep(0.05)

        assert await service._query(intended) == paused  # pyright: ignore[reportPrivateUsage]
        assert len(house.done) == paused
        for found in [await service.run(run.id) for run in runs]:  # queued: of a process that was thought dead
            assert found.status == "queued" or found.waiting_for == ["pause:x"]


async def test_what_was_stopped_by_a_pause_goes_on_and_happens_once(house: House, database_url: str) -> None:
    house.settings(database=database_url)
    config = house.config("spending:sends")
    async with await Service.open(config, execute=False) as service, process(config):
        run = await service.start_run("x", {"numbers": list(range(1, 200))})
        for _ in range(3):
            await service.pause_deployment("x", by="kim", reason="it sends twice")
            with pytest.raises(ConflictError, match="has been paused by 'kim' already"):
                await service.pause_deployment("x", by="lee", reason="r")
            await asyncio.sleep(0.1)
            await service.resume_deployment("x", by="lee")
        ended = await service.wait(run.id, timeout=60)

    assert ended.status == "succeeded", ended.error
    assert house.done == [["send", number] for number in range(1, 200)]


async def test_a_waiver_holds_in_every_process(house: House, database_url: str) -> None:
    house.rules({"id": "no", "on": {"hook": "tool.before", "name": "send"}, "then": "deny"})
    house.settings(database=database_url)
    config = house.config("spending:sends")
    async with await Service.open(config, execute=False) as service, await Service.open(config) as other:

        async def outcome() -> Any:
            run = await service.start_run("x", {"numbers": [1]})
            return (await service.wait(run.id, timeout=30)).output["out"]

        async def known(waivers: int) -> None:
            controls = other._controls  # pyright: ignore[reportPrivateUsage]  # what the chain asks
            async with asyncio.timeout(60):
                while len(controls.waivers("x")) != waivers:
                    await asyncio.sleep(0.01)

        assert await outcome() == ["refused: because of no"]
        waiver = await service.waive(
            "no",
            scope=ScopeView(deployment="x"),
            until=datetime.now(UTC) + timedelta(hours=1),
            by="kim",
            reason="the customer is at the counter",
        )
        await known(1)
        assert await outcome() == ["sent 1"]
        await service.revoke_waiver(waiver.id, by="kim")
        await known(0)
        assert await outcome() == ["refused: because of no"]
