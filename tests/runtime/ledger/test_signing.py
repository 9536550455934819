from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import IntegrityError, UnavailableError, UsageError
from gatewright.runtime import ledger
from gatewright.runtime.clock import Clock
from gatewright.runtime.ledger import signing
from gatewright.runtime.ledger.signing import KEY, PUBLIC, Keys, Signatory
from gatewright.runtime.store import database as databases
from gatewright.runtime.store.appending import Leaf
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Transaction, Writer, arrival
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, open_checkpoint

ORIGIN = "example.org/log"
_UNLOCK = "DROP TRIGGER {}_no_{}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    url = "" if request.param == "sqlite" else request.getfixturevalue("database_url")
    found = databases.of(url, tmp_path / "first")
    found.prepare()
    return found


def keys(database: Database, folder: Path, path: Path | None = None) -> Keys:
    return signing.keys(database, folder, path=path, origin=ORIGIN)


def test_the_first_process_makes_the_key_and_finds_it_again(database: Database, tmp_path: Path) -> None:
    made = keys(database, tmp_path / "first")
    assert made.signer is not None
    assert made.verifier == made.signer.verifier
    assert made.verifier.name == ORIGIN
    assert (tmp_path / "first" / PUBLIC).read_text("utf-8") == f"{made.verifier}\n"
    assert stat.S_IMODE((tmp_path / "first" / KEY).stat().st_mode) == 0o600
    assert {path.name for path in (tmp_path / "first").glob("ledger.*")} == {KEY, PUBLIC}
    assert keys(database, tmp_path / "first") == made


def test_a_process_without_the_key_signs_nothing_and_says_so(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = keys(database, tmp_path / "first")
    assert caplog.records == []
    assert keys(database, tmp_path / "second") == Keys(made.verifier, None)
    (said,) = caplog.messages
    assert str(tmp_path / "second" / KEY) in said
    assert not (tmp_path / "second" / KEY).exists()
    assert (tmp_path / "second" / PUBLIC).read_text("utf-8") == f"{made.verifier}\n"


def test_a_process_with_a_copy_of_the_key_signs_too(database: Database, tmp_path: Path) -> None:
    made = keys(database, tmp_path / "first")
    secret = tmp_path / "secret"
    secret.write_bytes((tmp_path / "first" / KEY).read_bytes())
    assert keys(database, tmp_path / "second", secret) == made


def test_a_process_with_the_key_of_another_log_is_refused(database: Database, tmp_path: Path) -> None:
    made, other = keys(database, tmp_path / "first"), SigningKey.generate(ORIGIN)
    (tmp_path / "second" / KEY).write_text(other.dump(), "utf-8")
    with pytest.raises(UsageError) as caught:
        keys(database, tmp_path / "second")
    assert str(made.verifier) in str(caught.value)
    assert str(other.verifier) in str(caught.value)
    assert str(tmp_path / "second" / KEY) in str(caught.value)
    assert other.dump() not in str(caught.value)


def test_processes_that_come_first_together_get_one_key(database: Database, tmp_path: Path) -> None:
    if not database.shared:
        pytest.skip("one process at a time works on a SQLite file")
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(partial(keys, database), (tmp_path / "first", tmp_path / "second")))
    assert found[0].verifier == found[1].verifier
    assert sorted(each.signer is None for each in found) == [False, True]


def test_a_key_that_was_made_before_is_taken_as_it_is(database: Database, tmp_path: Path) -> None:
    made = SigningKey.generate("example.org/other")
    (tmp_path / "first" / KEY).write_text(made.dump() + "\n", "utf-8")
    assert keys(database, tmp_path / "first") == Keys(made.verifier, made)


def test_a_file_that_holds_no_key_is_named_and_not_shown(database: Database, tmp_path: Path) -> None:
    (tmp_path / "first" / KEY).write_text("a secret of something else", "utf-8")
    with pytest.raises(UsageError, match="holds no key") as caught:
        keys(database, tmp_path / "first")
    assert "something else" not in str(caught.value)


def test_a_key_that_cannot_be_written_is_an_error_of_the_place(database: Database, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere"):
        keys(database, tmp_path / "first", tmp_path / "nowhere" / "ledger.key")
    assert keys(database, tmp_path / "first").signer is not None  # nothing was promised to the database


@asynccontextmanager
async def writer(folder: Path) -> AsyncGenerator[Writer]:
    database = SQLite(folder)
    database.prepare()
    made = Writer(database)
    try:
        yield made
    finally:
        made.close()


async def append(writer: Writer, *bodies: bytes) -> None:
    await arrival(writer.submit(lambda tx: [tx.append(Leaf("effect", None, None, body)) for body in bodies]))


def notes(folder: Path, key: SigningKey) -> list[Checkpoint]:
    engine = SQLite(folder).connect(readonly=True)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT note FROM checkpoint ORDER BY size")).scalars().all()
    engine.dispose()
    return [open_checkpoint(note, [key.verifier]).checkpoint for note in found]


def head(*bodies: bytes) -> Checkpoint:
    root = merkle.root(merkle.leaf_hash(body) for body in bodies)
    return Checkpoint(origin=ORIGIN, size=len(bodies), root=root)


async def rewrite(writer: Writer, *bodies: bytes) -> None:
    """Put another history in the place of the log."""

    def work(transaction: Transaction) -> None:
        tree = merkle.Frontier()
        for table in ("leaf", "place", "node"):
            with suppress(Exception):
                transaction.raw(_UNLOCK.format(table, "delete"), [()])
            transaction.raw(f"DELETE FROM {table}", [()])
        for position, body in enumerate(bodies):
            completed = tree.append(merkle.leaf_hash(body))
            transaction.raw("INSERT INTO leaf VALUES (?, 'effect', NULL, NULL, ?)", [(position, body)])
            transaction.raw("INSERT INTO place VALUES (?, ?, ?)", [(position, position, completed[0].hash)])
            transaction.raw("INSERT INTO node VALUES (?, ?, ?)", completed[1:])

    await arrival(writer.submit(work))


async def test_the_head_is_signed_as_the_log_grows(tmp_path: Path) -> None:
    key = SigningKey.generate(ORIGIN)
    async with writer(tmp_path) as ours:
        signatory = Signatory(key, ours, Clock())
        assert await signatory.sign() == 0
        await append(ours, b"0", b"1", b"2")
        assert await signatory.sign() == 3
        assert await signatory.sign() == 3
        await append(ours, b"3")
        assert await Signatory(key, ours, Clock()).sign() == 4  # another process
        await append(ours, b"4")
        assert await signatory.sign() == 5
    expected = [head(b"0", b"1", b"2"), head(b"0", b"1", b"2", b"3"), head(b"0", b"1", b"2", b"3", b"4")]
    assert notes(tmp_path, key) == expected


@pytest.mark.parametrize("history", [[b"0", b"x"], [b"0", b"x", b"2"], [b"x", b"0", b"1", b"2"]])
@pytest.mark.parametrize("remembered", [True, False])
async def test_another_history_is_not_signed(tmp_path: Path, history: list[bytes], remembered: bool) -> None:
    key = SigningKey.generate(ORIGIN)
    async with writer(tmp_path) as ours:
        signatory = Signatory(key, ours, Clock())
        await append(ours, b"0", b"1")
        await signatory.sign()
        await rewrite(ours, *history)
        with pytest.raises(IntegrityError):
            await (signatory if remembered else Signatory(key, ours, Clock())).sign()
    assert notes(tmp_path, key) == [head(b"0", b"1")]


async def test_a_checkpoint_that_somebody_else_put_there_is_not_built_upon(tmp_path: Path) -> None:
    key = SigningKey.generate(ORIGIN)
    async with writer(tmp_path) as ours:
        await append(ours, b"0")
        await Signatory(SigningKey.generate(ORIGIN), ours, Clock()).sign()
        await append(ours, b"1")
        with pytest.raises(IntegrityError):
            await Signatory(key, ours, Clock()).sign()


async def test_it_signs_when_so_many_records_have_come_and_says_once_when_it_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, size, looks = SigningKey.generate(ORIGIN), 0, 0

    async def grown() -> int:
        nonlocal looks
        looks += 1
        return size

    async with writer(tmp_path) as ours:
        await append(ours, b"0", b"1")
        size = 2
        signatory = Signatory(key, ours, Clock())
        task = asyncio.create_task(signatory.run(lambda _transaction: None, grown, records=2, seconds=0.2))
        while not notes(tmp_path, key):
            await asyncio.sleep(0.01)
        await rewrite(ours, b"x", b"y", b"z")
        size = 3
        while not caplog.messages:
            await asyncio.sleep(0.01)
        several_rounds = looks + 3 * signing.LOOKS
        while looks < several_rounds:
            await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len([message for message in caplog.messages if "is not signed any more" in message]) == 1
    assert notes(tmp_path, key) == [head(b"0", b"1")]


async def test_the_newest_checkpoint_is_that_of_the_head(tmp_path: Path) -> None:
    key = SigningKey.generate(ORIGIN)
    async with writer(tmp_path) as ours:
        await append(ours, b"0")
        await Signatory(key, ours, Clock()).sign()
    engine = SQLite(tmp_path).connect(readonly=True)
    with engine.connect() as connection:
        newest, tail = ledger.newest_checkpoint(connection), ledger.head(connection)
    engine.dispose()
    assert open_checkpoint(newest, [key.verifier]).checkpoint == Checkpoint(
        origin=ORIGIN, size=tail.size, root=tail.root()
    )
