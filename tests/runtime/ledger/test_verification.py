"""Verifying a PostgreSQL database: while others write, with records that have no place yet, with few rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError
from gatewright.runtime import leaves, ledger
from gatewright.runtime.clock import Clock
from gatewright.runtime.ledger.sequencer import Sequencer
from gatewright.runtime.ledger.signing import PUBLIC, Keys, Signatory
from gatewright.runtime.store import database as databases
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.writer import Writer, arrival
from gatewright.safety.ledger import records
from gatewright.safety.ledger.checkpoints import SigningKey


class Log:
    """A ledger that two processes write."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self.writers = Writer(database), Writer(database)
        self._engine = database.connect(readonly=True)
        self.sequencer = Sequencer(self.writers[0], self._query)
        assert keys.signer is not None
        self.signatory = Signatory(keys.signer, self.writers[1], Clock())

    async def _query(self, read: Callable[[Connection], bool]) -> bool:
        def run() -> bool:
            with self._engine.connect() as connection:
                return read(connection)

        return await asyncio.to_thread(run)

    async def write(self, *, process: int = 0, at: datetime | None = None, count: int = 1) -> None:
        record = records.Record(
            kind="thread",
            time=records.timestamp(at or datetime.now(UTC)),
            deployment="x",
            detail={"event": "thread.start"},
        )
        written = leaves.written(record)
        await arrival(self.writers[process].submit(lambda tx: [tx.append(*written) for _ in range(count)]))

    async def close(self) -> None:
        for writer in self.writers:
            await asyncio.to_thread(writer.close)
        self._engine.dispose()


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncGenerator[Log]:
    database = databases.of(url, folder)
    database.prepare()
    log = Log(database, ledger.keys(database, folder, path=None, origin="example.org/log"))
    try:
        yield log
    finally:
        await log.close()


async def verify(url: str, folder: Path, **more: Any) -> ledger.Verified:
    return await asyncio.to_thread(lambda: ledger.verify(folder, url=url, **more))


async def test_records_that_wait_for_a_place_are_counted(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        await log.write(count=3)
        await log.sequencer.step()
        await log.signatory.sign()
        await log.write(count=2)
        found = await verify(database_url, tmp_path)
    assert (found.bad, found.size, found.signed, found.waiting) == ((), 3, 3, 2)


async def test_records_that_wait_for_long_are_a_finding(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        await log.write(at=datetime.now(UTC) - timedelta(minutes=2))
        await log.write()
        found = await verify(database_url, tmp_path)
    ((_index, problem),) = found.bad
    assert "2 records have no place in the log" in problem


async def test_a_record_that_nobody_will_give_a_place_is_a_finding(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        await log.write()
        with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
            connection.execute("DELETE FROM pending")
        found = await verify(database_url, tmp_path)
    ((_index, problem),) = found.bad
    assert "has no place in the log, and waits for none" in problem


async def test_what_others_write_meanwhile_is_no_finding(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        stop = asyncio.Event()

        async def write(process: int) -> None:
            while not stop.is_set():
                await log.write(process=process, count=7)

        async def place() -> None:
            while not stop.is_set():
                await log.sequencer.step()
                await log.signatory.sign()

        await log.write()
        await log.sequencer.step()
        await log.signatory.sign()
        tasks = [asyncio.create_task(task) for task in (write(0), write(1), place())]
        sizes: list[int] = []
        while len(sizes) < 5 or sizes[0] == sizes[-1]:
            found = await verify(database_url, tmp_path)
            assert found.bad == ()
            sizes.append(found.size)
        stop.set()
        await asyncio.gather(*tasks)
    assert sizes == sorted(sizes)


async def test_the_key_beside_the_services_is_believed_before_the_databases(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as log:
        await log.write()
        await log.sequencer.step()
        await log.signatory.sign()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert (await verify(database_url, elsewhere)).ok

    (elsewhere / PUBLIC).write_text(str(SigningKey.generate("example.org/log").verifier), "utf-8")
    problems = [problem for _index, problem in (await verify(database_url, elsewhere)).bad]

    assert any("signs the log, and that is no key given" in problem for problem in problems)
    assert any("no checkpoint vouches" in problem for problem in problems)


async def test_a_database_without_a_ledger_is_named(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no ledger in PostgreSQL database"):
        await verify(database_url, tmp_path)


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
async def test_a_role_that_may_only_insert_runs_the_service_and_one_that_may_only_read_verifies(house: Any) -> None:
    server = house.database.replace("+psycopg", "")
    databases.of(house.database, house.folder).prepare()
    with psycopg.connect(server) as connection:
        for statement in (
            "CREATE ROLE {0}_service LOGIN",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0}_service",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {0}_service",
            "REVOKE UPDATE, DELETE ON leaf, place, node, checkpoint FROM {0}_service",
            "CREATE ROLE {0}_auditor LOGIN",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}_auditor",
        ):
            connection.execute(statement.format(connection.info.dbname).encode())
        name = connection.info.dbname
    user = house.database.partition("://")[2].partition("@")[0]
    try:
        house.database = house.database.replace(f"{user}@", f"{name}_service@")
        async with house.open("../crash_graphs/odd:pays") as service:
            run = await service.start_run("x", {"amount": 1})
            assert (await service.wait(run.id, timeout=30)).status == "succeeded"
        url = house.database.replace(f"{name}_service@", f"{name}_auditor@")
        found = await verify(url, house.folder / "data")
        assert (found.bad, found.waiting, found.signed) == ((), 0, found.size)
        with (
            psycopg.connect(house.database.replace("+psycopg", ""), autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("ALTER TABLE leaf DISABLE TRIGGER ALL")
    finally:
        with psycopg.connect(server) as connection:
            for role in (f"{name}_service", f"{name}_auditor"):
                connection.execute(f"DROP OWNED BY {role}".encode())
                connection.execute(f"DROP ROLE {role}".encode())
