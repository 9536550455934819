from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import ConflictError, UnavailableError
from gatewright.runtime.store.appending import Leaf, Seal
from gatewright.runtime.store.sqlite import FILE, SQLite
from gatewright.runtime.store.writer import Transaction, Writer
from gatewright.safety.ledger import merkle

_NOTE = sa.text("INSERT INTO checkpoint (size, note, created_at) VALUES (:size, :note, 0)")
_NOTES = sa.text("SELECT size FROM checkpoint ORDER BY size")
_LIMIT = sa.text("PRAGMA max_page_count=1")
_UNLIMITED = sa.text("PRAGMA max_page_count=1073741823")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path) as writer:
        yield writer


@contextmanager
def opened(folder: Path) -> Generator[Writer]:
    SQLite(folder).prepare()
    writer = Writer(SQLite(folder))
    yield writer
    writer.close()


def put(size: int, note: str = "") -> Callable[[Transaction], int]:
    return lambda transaction: transaction.run(_NOTE, size=size, note=note)


def sizes(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        return [row[0] for row in connection.execute("SELECT size FROM checkpoint ORDER BY size")]


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


def test_an_operation_is_durable_when_its_future_is_done(writer: Writer, tmp_path: Path) -> None:
    writer.submit(put(1)).result()
    assert sizes(tmp_path) == [1]


def test_operations_that_gather_while_the_writer_is_busy_share_one_commit(writer: Writer, tmp_path: Path) -> None:
    before = writer.groups
    with one_group(writer):
        futures = [writer.submit(put(size)) for size in range(1, 101)]
    for future in futures:
        future.result()
    assert writer.groups - before == 2
    assert sizes(tmp_path) == list(range(1, 101))


def test_a_failing_operation_is_undone_alone(writer: Writer, tmp_path: Path) -> None:
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
    assert sizes(tmp_path) == [1, 3]
    assert writer.tail.size == 0


def test_a_violated_constraint_is_told_to_its_own_caller_only(writer: Writer, tmp_path: Path) -> None:
    with one_group(writer):
        first, again, other = writer.submit(put(1)), writer.submit(put(1)), writer.submit(put(2))
    first.result()
    other.result()
    with pytest.raises(sqlite3.IntegrityError):
        again.result()
    assert sizes(tmp_path) == [1, 2]


async def test_a_waiting_task_that_is_cancelled_does_not_take_its_operation_back(
    writer: Writer, tmp_path: Path
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
    assert sizes(tmp_path) == [1, 2]


def test_close_finishes_what_was_submitted_and_refuses_what_comes_later(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        futures = [writer.submit(put(size)) for size in range(1, 30)]
        writer.close()
        assert all(future.result() == 1 for future in futures)
        with pytest.raises(UnavailableError, match="closing"):
            writer.submit(put(100)).result()
    assert sizes(tmp_path) == list(range(1, 30))


def test_a_full_disk_refuses_the_group_with_a_remedy_and_the_writer_goes_on_when_there_is_space(
    writer: Writer, tmp_path: Path
) -> None:
    writer.submit(put(1)).result()
    writer.submit(lambda transaction: transaction.all(_LIMIT)).result()
    leaf = Leaf("run", None, None, b"x" * 100_000)

    with one_group(writer):
        small = writer.submit(lambda transaction: transaction.append(leaf))
        large = writer.submit(put(2, "x" * 100_000))
    for future in (small, large):
        with pytest.raises(UnavailableError, match="full; free disk space"):
            future.result()
    assert (sizes(tmp_path), writer.tail.size) == ([1], 0)

    writer.submit(lambda transaction: transaction.all(_UNLIMITED)).result()
    writer.submit(put(3)).result()
    assert writer.submit(lambda transaction: transaction.append(leaf)).result() == 0
    assert (sizes(tmp_path), writer.tail.size) == ([1, 3], 1)


def test_records_get_consecutive_positions_whatever_fails_between_them(writer: Writer, tmp_path: Path) -> None:
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
    assert kept == list(range(len(kept))) == list(range(7))
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        rows = connection.execute("SELECT l.body, s.value FROM leaf l JOIN sealed s ON s.leaf = l.id").fetchall()
    assert [row[0] for row in rows] == [row[1] for row in rows] == [b"%d" % n for n in range(10) if n % 3 != 1]


def test_the_right_edge_of_the_tree_is_restored_when_the_file_is_opened_again(tmp_path: Path) -> None:
    expected = merkle.Frontier()
    for start in range(0, 20, 5):
        with opened(tmp_path) as writer:
            assert (writer.tail.size, writer.tail.root()) == (expected.size, expected.root())
            for n in range(start, start + 5):
                writer.submit(lambda tx, n=n: tx.append(Leaf("run", None, None, b"%d" % n))).result()  # type: ignore[misc]
                expected.append(merkle.leaf_hash(b"%d" % n))
            assert writer.tail.root() == expected.root()


def test_a_head_that_is_not_durable_yet_is_not_shown(writer: Writer) -> None:
    shown: list[int] = []
    with one_group(writer):
        writer.submit(lambda tx: tx.append(Leaf("run", None, None, b"1")))
        done = writer.submit(lambda tx: shown.append(writer.tail.size))
    done.result()
    assert (shown, writer.tail.size) == ([0], 1)
