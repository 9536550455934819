from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import ConflictError, UnavailableError
from gatewright.runtime.store import schema
from gatewright.runtime.store.appending import Leaf, Seal
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Transaction, Writer
from gatewright.safety.ledger import merkle

_NOTE = sa.text("INSERT INTO checkpoint (size, note, created_at) VALUES (:size, :note, 0)")
_MANY = sa.insert(schema.Checkpoint.__table__)  # type: ignore[attr-defined]  # SQLModel adds it
_WAIVE = sa.insert(schema.Waiver.__table__).values(  # type: ignore[attr-defined]
    id=sa.bindparam("id"), rule_id="r", scope="{}", by="kim", reason="why", until_at=1, created_at=0
)
_LIMIT = sa.text("PRAGMA max_page_count=1")
_UNLIMITED = sa.text("PRAGMA max_page_count=1073741823")


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with opened(database) as writer:
        yield writer


@contextmanager
def opened(database: Database) -> Generator[Writer]:
    database.prepare()
    writer = Writer(database)
    yield writer
    writer.close()


def put(size: int, note: str = "") -> Callable[[Transaction], int]:
    return lambda transaction: transaction.run(_NOTE, size=size, note=note)


def query(database: Database, text: str) -> list[Any]:
    engine = database.connect(readonly=True)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(text))]
    engine.dispose()
    return found


def sizes(database: Database) -> list[int]:
    return [size for (size,) in query(database, "SELECT size FROM checkpoint ORDER BY size")]


@contextmanager
def one_group(writer: Writer) -> Generator[None]:
    """What is submitted inside is committed together: the writer is busy meanwhile."""
    begun, leave = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        begun.set()
        leave.wait()

    held = writer.submit(hold)
    begun.wait()
    yield
    leave.set()
    held.result()


def test_an_operation_is_durable_when_its_future_is_done(writer: Writer, database: Database) -> None:
    writer.submit(put(1)).result()
    assert sizes(database) == [1]


def test_operations_that_gather_while_the_writer_is_busy_share_one_commit(writer: Writer, database: Database) -> None:
    before = writer.groups
    with one_group(writer):
        futures = [writer.submit(put(size)) for size in range(1, 101)]
    for future in futures:
        future.result()
    assert writer.groups - before == 2
    assert sizes(database) == list(range(1, 101))


def test_a_failing_operation_is_undone_alone(writer: Writer, database: Database) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.run(_NOTE, size=2, note="")
        transaction.append(Leaf("run", None, None, b"2"))
        raise ConflictError("no")

    with one_group(writer):
        first, second, third = writer.submit(put(1)), writer.submit(fail), writer.submit(put(3))
    first.result()
    third.result()
    with pytest.raises(ConflictError, match="no"):
        second.result()
    assert sizes(database) == [1, 3]
    assert writer.tail.size == 0


def test_a_violated_constraint_is_told_to_its_own_caller_only(writer: Writer, database: Database) -> None:
    with one_group(writer):
        first, again, other = writer.submit(put(1)), writer.submit(put(1)), writer.submit(put(2))
    first.result()
    other.result()
    assert type(again.exception()).__name__ in ("IntegrityError", "UniqueViolation")
    assert sizes(database) == [1, 2]


async def test_a_waiting_task_that_is_cancelled_does_not_take_its_operation_back(
    writer: Writer, database: Database
) -> None:
    async def write() -> None:
        await asyncio.wrap_future(writer.submit(put(1)))

    with one_group(writer):
        task = asyncio.create_task(write())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wrap_future(writer.submit(put(2)))  # the writer lives
    assert sizes(database) == [1, 2]


def test_close_finishes_what_was_submitted_and_refuses_what_comes_later(database: Database) -> None:
    with opened(database) as writer:
        futures = [writer.submit(put(size)) for size in range(1, 30)]
        writer.close()
        assert all(future.result() == 1 for future in futures)
        with pytest.raises(UnavailableError, match="closing"):
            writer.submit(put(100)).result()
    assert sizes(database) == list(range(1, 30))


def test_a_full_disk_refuses_the_group_with_a_remedy_and_the_writer_goes_on_when_there_is_space(
    tmp_path: Path,
) -> None:
    database = SQLite(tmp_path)
    with opened(database) as writer:
        refuse(writer, database)


def refuse(writer: Writer, database: Database) -> None:
    writer.submit(put(1)).result()
    writer.submit(lambda transaction: transaction.all(_LIMIT)).result()
    leaf = Leaf("run", None, None, b"x" * 100_000)

    with one_group(writer):
        small = writer.submit(lambda transaction: transaction.append(leaf))
        large = writer.submit(put(2, "x" * 100_000))
    for future in (small, large):
        with pytest.raises(UnavailableError, match="full; free disk space"):
            future.result()
    assert (sizes(database), writer.tail.size) == ([1], 0)

    writer.submit(lambda transaction: transaction.all(_UNLIMITED)).result()
    writer.submit(put(3)).result()
    assert writer.submit(lambda transaction: transaction.append(leaf)).result() == 0
    assert (sizes(database), writer.tail.size) == ([1, 3], 1)


def test_records_get_consecutive_positions_whatever_fails_between_them(writer: Writer, database: Database) -> None:
    def append(transaction: Transaction, body: bytes, fail: bool) -> int:
        position = transaction.append(Leaf("run", None, None, body), [Seal("input", "json", body, b"salt")])
        if fail:
            raise ConflictError("no")
        return position

    with one_group(writer):
        futures = [
            writer.submit(lambda tx, body=b"%d" % n, fail=n % 3 == 1: append(tx, body, fail))  # type: ignore[misc]
            for n in range(10)
        ]
    kept = [future.result() for future in futures if future.exception() is None]
    assert len(kept) == 7
    if database.dialect == "sqlite":
        assert kept == list(range(7))
    rows = query(database, "SELECT l.body, s.value FROM leaf l JOIN sealed s ON s.leaf = l.id ORDER BY l.id")
    assert [row[0] for row in rows] == [row[1] for row in rows] == [b"%d" % n for n in range(10) if n % 3 != 1]


def test_the_right_edge_of_the_tree_is_restored_when_the_file_is_opened_again(tmp_path: Path) -> None:
    database = SQLite(tmp_path)
    expected = merkle.Frontier()
    for start in range(0, 20, 5):
        with opened(database) as writer:
            assert (writer.tail.size, writer.tail.root()) == (expected.size, expected.root())
            for n in range(start, start + 5):
                writer.submit(lambda tx, n=n: tx.append(Leaf("run", None, None, b"%d" % n))).result()  # type: ignore[misc]
                expected.append(merkle.leaf_hash(b"%d" % n))
            assert writer.tail.root() == expected.root()


def test_a_head_that_is_not_durable_yet_is_not_shown(tmp_path: Path) -> None:
    shown: list[int] = []
    with opened(SQLite(tmp_path)) as writer:
        with one_group(writer):
            writer.submit(lambda tx: tx.append(Leaf("run", None, None, b"1")))
            done = writer.submit(lambda tx: shown.append(writer.tail.size))
        done.result()
        assert (shown, writer.tail.size) == ([0], 1)


def test_rows_get_the_numbers_of_the_database(writer: Writer) -> None:
    numbers = [writer.submit(lambda tx, id=id: tx.insert(_WAIVE, id=id)).result() for id in "abc"]  # type: ignore[misc]
    found = writer.submit(lambda tx: tx.all(sa.text("SELECT number, id FROM waiver ORDER BY number"))).result()
    assert found == list(zip(numbers, "abc", strict=True))


def test_rows_that_are_inserted_together_are_all_there(writer: Writer, database: Database) -> None:
    rows = [(size, f"note {size}", 0) for size in range(200)]
    writer.submit(lambda tx: tx.many(_MANY, rows)).result()
    assert query(database, "SELECT size, note, created_at FROM checkpoint ORDER BY size") == rows


def test_a_group_is_as_durable_as_its_most_demanding_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    with opened(SQLite(tmp_path)) as writer:
        session = writer._session  # pyright: ignore[reportPrivateUsage]
        begin = session.begin

        def noted(*, durable: bool) -> None:
            begun.append(durable)
            begin(durable=durable)

        monkeypatch.setattr(session, "begin", noted)
        writer.submit(put(1), durability="process").result()
        with one_group(writer):
            writer.submit(put(2), durability="process")
            writer.submit(put(3))
        modes = [writer.submit(put(size), durability="process") for size in (4, 5)]
        assert [mode.result() for mode in modes] == [1, 1]
        synchronous = writer.submit(lambda tx: tx.one(sa.text("PRAGMA synchronous")), durability="process").result()
    assert begun[:3] == [False, True, True]  # the second holds the writer, so that the third is one group
    assert not any(begun[3:])
    assert synchronous == (1,)


def test_what_waits_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.runtime.store.writer.MOST_WAITING", 10)
    with opened(SQLite(tmp_path)) as writer:
        with one_group(writer):
            futures = [writer.submit(put(size)) for size in range(20)]
        refused = [future for future in futures if future.exception() is not None]
        with pytest.raises(UnavailableError, match="10 changes wait"):
            refused[0].result()
        assert len(refused) == 11  # the one that holds the writer waits too
        writer.submit(put(100)).result()


async def test_what_nobody_waits_for_waits_its_own_time_for_the_next_urgent_one(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    timers: list[Callable[[], object]] = []

    def later(_delay: float, call: Callable[..., object], *args: Any) -> None:
        timers.append(partial(call, *args))

    monkeypatch.setattr(loop, "call_later", later)
    writer.submit(put(1), urgent=False)
    await asyncio.wrap_future(writer.submit(put(2)))
    writer.submit(put(3), urgent=False)

    timers[0]()  # that of the first one, which has gone already
    last = writer.submit(put(4), urgent=False)
    assert len(timers) == 2  # it waits together with the one before
    timers[1]()

    await asyncio.wrap_future(last)
    assert writer.groups == 2


async def test_what_threads_submit_and_nobody_waits_for_does_not_stay_behind(
    database: Database, writer: Writer
) -> None:
    with one_group(writer):
        waiting = writer.submit(lambda _: None)
        behind = await asyncio.to_thread(writer.submit, put(1), urgent=False)

    await asyncio.wrap_future(waiting)
    await asyncio.wait_for(asyncio.wrap_future(behind), 60)
    assert sizes(database) == [1]
