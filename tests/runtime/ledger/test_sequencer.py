"""Several writers on one PostgreSQL database, each with a thread and a connection as in a process of its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gatewright.agents.errors import GatewrightError
from gatewright.runtime import ledger
from gatewright.runtime.ledger.sequencer import Sequencer
from gatewright.runtime.store import database as databases
from gatewright.runtime.store.appending import Leaf
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.writer import Transaction, Writer, arrival
from gatewright.safety.ledger import merkle

_TURN = sa.text("UPDATE meter SET used = used + 1 WHERE holder = :run RETURNING used")
_METER = "INSERT INTO meter (deployment, budget, holder, slot, used) VALUES ('', '', %s, 0, 0)"


class NotAllowedError(GatewrightError):
    """What a duty says that is not held any more."""


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Database:
    found = databases.of(database_url, tmp_path)
    found.prepare()
    return found


@pytest.fixture
def reading(database: Database) -> Generator[Engine]:
    engine = database.connect(readonly=True)
    yield engine
    engine.dispose()


@pytest.fixture
def raw(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A connection on which transactions stay open as long as a test wants."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        yield connection


@asynccontextmanager
async def writer(database: Database) -> AsyncGenerator[Writer]:
    made = Writer(database)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


def sequencer(writer: Writer, engine: Engine) -> Sequencer:
    async def query(read: Callable[[Connection], bool]) -> bool:
        def run() -> bool:
            with engine.connect() as connection:
                return read(connection)

        return await asyncio.to_thread(run)

    return Sequencer(writer, query)


async def append(writer: Writer, *bodies: bytes) -> None:
    await arrival(writer.submit(lambda tx: [tx.append(Leaf("effect", "run", None, body)) for body in bodies]))


def log(engine: Engine) -> list[bytes]:
    """The records in their order, each at the place that its number says."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT p.position, l.body FROM place p JOIN leaf l ON l.id = p.leaf ORDER BY p.position")
        ).all()
        assert [row[0] for row in rows] == list(range(len(rows)))
        head = ledger.head(connection)
    bodies = [bytes(row[1]) for row in rows]
    assert (head.size, head.root()) == (len(bodies), merkle.root(merkle.leaf_hash(body) for body in bodies))
    return bodies


async def test_records_get_places_in_the_order_in_which_they_were_written(database: Database, reading: Engine) -> None:
    async with writer(database) as ours:
        await append(ours, b"0", b"1")
        await append(ours, b"2")
        assert await sequencer(ours, reading).step() == 3
    assert log(reading) == [b"0", b"1", b"2"]


async def test_records_of_one_run_keep_their_order_whichever_process_writes_them(
    database: Database, reading: Engine, raw: psycopg.Connection[Any]
) -> None:
    runs, turns = [f"run-{number}" for number in range(5)], 40
    with raw.transaction():
        for run in runs:
            raw.execute(_METER, [run])

    def write(run: str) -> Callable[[Transaction], None]:
        def work(transaction: Transaction) -> None:  # as what holds a run does: lock it, then append
            turn = transaction.all(_TURN, run=run)[0][0]
            transaction.append(Leaf("effect", run, None, f"{run}:{turn}".encode()))

        return work

    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(writer(database)) for _ in range(4)]
        places = sequencer(writers[0], reading)
        task = asyncio.create_task(places.run(lambda _transaction: None))
        await asyncio.gather(
            *(arrival(each.submit(write(run))) for _turn in range(turns) for each in writers for run in runs)
        )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await places.finish()
    found: dict[str, list[int]] = defaultdict(list)
    for body in log(reading):
        run, _, turn = body.decode().partition(":")
        found[run].append(int(turn))
    assert found == {run: list(range(1, 4 * turns + 1)) for run in runs}


async def test_a_transaction_that_commits_late_loses_nothing(
    database: Database, reading: Engine, raw: psycopg.Connection[Any]
) -> None:
    async with writer(database) as ours:
        places = sequencer(ours, reading)
        raw.execute("INSERT INTO leaf (kind, body) VALUES ('effect', 'late')")
        raw.execute("INSERT INTO pending (leaf, hash) VALUES (lastval(), %s)", [merkle.leaf_hash(b"late")])
        for number in range(4):  # long enough for it to be passed over and forgotten, were it to be forgotten
            await append(ours, b"%d" % number)
            assert await places.step() == 1
        raw.commit()
        assert await places.step() == 1
        await append(ours, b"last")
        assert await places.step() == 1
    assert log(reading) == [b"0", b"1", b"2", b"3", b"late", b"last"]


async def test_it_does_not_look_again_at_what_can_hold_nothing_any_more(database: Database, reading: Engine) -> None:
    async with writer(database) as ours:
        places = sequencer(ours, reading)
        for _ in range(3):
            await append(ours, b"x")
            await places.step()
        with reading.connect() as connection:
            seen = connection.execute(sa.text("SELECT last_value FROM pending_number_seq")).scalar_one()
        assert places.low in (seen - 1, seen)


async def test_several_at_once_make_one_log(database: Database, reading: Engine) -> None:
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(writer(database)) for _ in range(3)]
        tasks = [asyncio.create_task(sequencer(each, reading).run(lambda _transaction: None)) for each in writers]
        for number in range(30):
            await asyncio.gather(*(append(each, b"%d" % number) for each in writers))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sequencer(writers[0], reading).finish()
    assert sorted(log(reading)) == sorted(b"%d" % number for number in range(30) for _ in range(3))


async def test_it_steps_aside_while_another_gives_places(
    database: Database, reading: Engine, raw: psycopg.Connection[Any]
) -> None:
    async with writer(database) as ours:
        await append(ours, b"x")
        raw.execute("SELECT id FROM log FOR UPDATE")
        assert await sequencer(ours, reading).step() == 0
        raw.rollback()
        assert await sequencer(ours, reading).step() == 1


async def test_one_that_leaves_waits_for_another_that_is_at_it(
    database: Database, reading: Engine, raw: psycopg.Connection[Any]
) -> None:
    async with writer(database) as ours:
        await append(ours, b"x")
        raw.execute("SELECT id FROM log FOR UPDATE")
        leaving = asyncio.create_task(sequencer(ours, reading).finish())
        await asyncio.sleep(0.1)
        raw.rollback()
        await leaving
    assert log(reading) == [b"x"]


async def test_one_that_leaves_does_not_wait_for_ever(
    database: Database, reading: Engine, raw: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.runtime.ledger.sequencer.PATIENCE", 0.1)
    async with writer(database) as ours:
        await append(ours, b"x")
        raw.execute("SELECT id FROM log FOR UPDATE")
        await sequencer(ours, reading).finish()
    assert log(reading) == []


async def test_one_that_knows_an_old_tree_goes_on_with_the_new_one(database: Database, reading: Engine) -> None:
    async with writer(database) as ours, writer(database) as theirs:
        mine, others = sequencer(ours, reading), sequencer(theirs, reading)
        for number, places in enumerate((mine, others, others, mine)):
            await append(ours, b"%d" % number)
            assert await places.step() == 1
    assert log(reading) == [b"0", b"1", b"2", b"3"]


async def test_a_process_that_shall_not_do_it_any_more_gives_no_places(database: Database, reading: Engine) -> None:
    def check(_transaction: Transaction) -> None:
        raise NotAllowedError("another process has this duty")

    async with writer(database) as ours:
        await append(ours, b"x")
        with pytest.raises(NotAllowedError):
            await sequencer(ours, reading).step(check)
        with pytest.raises(NotAllowedError):
            await asyncio.wait_for(sequencer(ours, reading).run(check), 30)
    assert log(reading) == []


async def test_what_waits_is_placed_in_bounded_steps(
    database: Database, reading: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.runtime.ledger.sequencer.MOST", 3)
    async with writer(database) as ours:
        await append(ours, *(b"%d" % number for number in range(8)))
        places = sequencer(ours, reading)
        assert [await places.step() for _ in range(4)] == [3, 3, 2, 0]
    assert log(reading) == [b"%d" % number for number in range(8)]


async def test_a_step_that_the_database_breaks_off_is_done_again(
    database: Database, reading: Engine, raw: psycopg.Connection[Any]
) -> None:
    async with writer(database) as ours:
        places = sequencer(ours, reading)
        await append(ours, b"0")
        await places.step()
        await append(ours, b"1")

        def cut(_transaction: Transaction) -> None:
            with suppress(StopIteration):
                next(cuts)
                ended = raw.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'BEGIN%' AND state = 'idle in transaction'"
                ).fetchall()
                raw.commit()
                assert ended == [(True,)]

        cuts = iter([None])
        assert await places.step(cut) == 1
    assert log(reading) == [b"0", b"1"]
