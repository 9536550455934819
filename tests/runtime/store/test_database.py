from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store.sqlite import FILE, Lock, SQLite

_HOLD = """
import sys
from pathlib import Path
from gatewright.runtime.store.sqlite import FILE, Lock, SQLite
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UnavailableError, match=f"in use by process {other.pid}"):
        Lock(tmp_path).acquire()
    other.kill()
    other.communicate()
    lock = Lock(tmp_path)
    lock.acquire()  # the operating system has released it
    lock.release()


def test_a_lock_that_was_given_back_can_be_taken_again(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path)
    first.acquire()
    with pytest.raises(UnavailableError, match=str(os.getpid())):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else entirely, and long enough to be read as a header" * 20)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UnavailableError, match="restore the file from a backup"):
        SQLite(tmp_path).prepare()
    assert (tmp_path / FILE).read_bytes() == before


def test_every_commit_is_durable_and_readers_do_not_block_the_writer(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    engine = SQLite(tmp_path).connect()
    with engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


def test_a_reading_engine_refuses_to_write(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    engine = SQLite(tmp_path).connect(readonly=True)
    with engine.connect() as connection, pytest.raises(exc.OperationalError, match="readonly"):
        connection.execute(sa.text("INSERT INTO checkpoint (size, note, created_at) VALUES (1, '', 0)"))
    engine.dispose()


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("database or disk is full", "free disk space"),
        ("attempt to write a readonly database", "make the folder writable"),
        ("unable to open database file", "make the folder writable"),
        ("database disk image is malformed", "restore the file from a backup"),
        ("disk I/O error", "check the disk"),
    ],
)
def test_an_operator_is_told_the_reason_and_the_remedy(tmp_path: Path, reason: str, remedy: str) -> None:
    message = str(SQLite(tmp_path).unavailable(Exception(reason)))
    assert reason in message
    assert remedy in message
    assert str(tmp_path) in message
