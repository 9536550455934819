"""What is different where several processes share a database, and where it may go away."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from deploy.cluster.postgresql import PostgreSQL as Server

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.store import writer as writers
from gatewright.runtime.store.database import of
from gatewright.runtime.store.postgresql import MIGRATION, PostgreSQL
from gatewright.runtime.store.sessions import PostgreSQLSession
from gatewright.runtime.store.writer import Transaction, Writer

_DONE = sa.text("INSERT INTO done (n) VALUES (:n)")
_ADD = sa.text("UPDATE purse SET amount = amount + 1 WHERE id = :id")


@pytest.fixture
def database(database_url: str) -> PostgreSQL:
    return _prepared(PostgreSQL(database_url))


@pytest.fixture
def writer(database: PostgreSQL) -> Iterator[Writer]:
    with _opened(database) as writer:
        yield writer


def _prepared(database: PostgreSQL) -> PostgreSQL:
    """A database with a table that notices what is done twice."""
    database.prepare()
    with _connected(database) as connection:
        connection.execute(sa.text("CREATE TABLE done (n BIGINT)"))
        connection.execute(sa.text("CREATE TABLE purse (id TEXT, amount BIGINT)"))
        connection.execute(sa.text("INSERT INTO purse VALUES ('a', 0), ('b', 0)"))
    return database


@contextmanager
def _opened(database: PostgreSQL) -> Generator[Writer]:
    writer = Writer(database)
    yield writer
    writer.close()


@contextmanager
def _connected(database: PostgreSQL) -> Generator[sa.Connection]:
    engine = database.connect()
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _done(database: PostgreSQL) -> list[int]:
    with _connected(database) as connection:
        return [n for (n,) in connection.execute(sa.text("SELECT n FROM done ORDER BY n"))]


def do(n: int) -> Callable[[Transaction], int]:
    return lambda transaction: transaction.run(_DONE, n=n)


def _session(writer: Writer) -> Any:
    return writer._session  # pyright: ignore[reportPrivateUsage]


def _cut(writer: Writer, database: PostgreSQL) -> None:
    """Break the writer's connection off, as a server that crashes does."""
    pid = _session(writer)._connection.info.backend_pid
    with _connected(database) as connection:  # it waits for the end
        assert connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()


# what it is called by


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://kim:secret@host/name", "begins with 'mysql'"),
        ("kim:secret", "not a URL"),
        ("postgresql://kim:secret@host", "names no database"),
        ("postgresql://kim:secret@host:port/name", "not a URL"),
    ],
)
def test_a_url_that_is_none_of_postgresql_is_refused_without_its_password(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        of(url, tmp_path)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://kim:secret@127.0.0.1:1/name?connect_timeout=2",
        "postgresql://127.0.0.1:1/name?user=kim&password=secret",
    ],
)
def test_no_message_holds_the_password(tmp_path: Path, url: str) -> None:
    database = of(url, tmp_path)
    with pytest.raises(UnavailableError, match="check that the server runs") as error:
        database.prepare()
    assert "PostgreSQL database 'name' at 127.0.0.1:1" in str(error.value)
    assert "secret" not in f"{error.value} {database.place}"


def test_a_database_that_is_not_there_is_named_with_a_remedy(database_url: str) -> None:
    with pytest.raises(UnavailableError, match=r"'nowhere'.*does not exist; create it"):
        PostgreSQL(database_url.rpartition("/")[0] + "/nowhere").exists()


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("sslmod=require", "correct the options of `database`"),
        ("sslmode=on", "correct the options of `database`"),
        ("options=-c%20no_such%3D1", "correct the options of `database`"),
        ("sslmode=require", "correct `sslmode`"),
    ],
)
def test_an_option_of_the_url_that_does_not_fit_is_named_with_a_remedy(
    database_url: str, option: str, remedy: str
) -> None:
    with pytest.raises(UnavailableError, match=remedy):
        PostgreSQL(f"{database_url}?{option}").exists()


def test_a_database_exists_once_it_has_been_prepared(database_url: str) -> None:
    database = PostgreSQL(database_url)
    assert not database.exists()
    database.prepare()
    assert database.exists()


# migration


def test_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    failures: list[BaseException] = []

    def prepare() -> None:
        try:
            PostgreSQL(database_url).prepare()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_who_finds_another_process_migrating_waits_and_then_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.runtime.store.postgresql.MIGRATION_TIMEOUT", 0.2)
    database = PostgreSQL(database_url)
    with _connected(database) as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:number)"), {"number": MIGRATION})
        with pytest.raises(UnavailableError, match="another process has been migrating"):
            database.prepare()
    database.prepare()


# many writers


def test_a_deadlock_of_two_writers_is_resolved_and_nothing_of_them_is_lost(database: PostgreSQL) -> None:
    with _opened(database) as first, _opened(database) as second:
        both = threading.Barrier(2, timeout=30)
        met: list[int] = []

        def move(one: str, other: str) -> Callable[[Transaction], None]:
            def work(transaction: Transaction) -> None:
                transaction.run(_ADD, id=one)
                if len(met) < 2:  # the first time, both hold what the other one needs
                    met.append(both.wait())
                transaction.run(_ADD, id=other)

            return work

        futures = [first.submit(move("a", "b")), second.submit(move("b", "a"))]
        for future in futures:
            future.result(timeout=60)
    with _connected(database) as connection:
        assert connection.execute(sa.text("SELECT amount FROM purse ORDER BY id")).scalars().all() == [2, 2]


def test_a_value_that_text_cannot_hold_is_the_callers_mistake(writer: Writer) -> None:
    bad = writer.submit(lambda tx: tx.run(_ADD, id="a\0b"))
    good = writer.submit(do(1))
    with pytest.raises(UsageError, match="NUL"):
        bad.result()
    assert good.result() == 1


def test_an_operation_that_goes_on_after_an_error_is_told_so_and_undone(writer: Writer, database: PostgreSQL) -> None:
    def work(transaction: Transaction) -> None:
        transaction.run(_DONE, n=1)
        try:
            transaction.run(sa.text("SELECT * FROM nowhere"))
        except Exception:
            pass

    assert writer.submit(work).exception() is not None
    assert writer.submit(do(2)).result() == 1
    assert _done(database) == [2]


# the database goes away


def test_a_connection_that_was_lost_while_nothing_happened_is_not_noticed(writer: Writer, database: PostgreSQL) -> None:
    writer.submit(do(1)).result()
    _cut(writer, database)
    assert writer.submit(do(2)).result(timeout=30) == 1
    assert _done(database) == [1, 2]


def test_a_connection_that_is_lost_in_an_operation_repeats_the_group(writer: Writer, database: PostgreSQL) -> None:
    calls: list[int] = []

    def work(transaction: Transaction) -> str:
        transaction.run(_DONE, n=1)
        calls.append(1)
        if len(calls) == 1:
            _cut(writer, database)
        transaction.run(_DONE, n=2)
        return "done"

    assert writer.submit(work).result(timeout=30) == "done"
    assert (_done(database), len(calls)) == ([1, 2], 2)


@pytest.mark.parametrize("happens", [True, False])
def test_a_commit_whose_answer_is_lost_is_found_out(
    writer: Writer, database: PostgreSQL, monkeypatch: pytest.MonkeyPatch, happens: bool
) -> None:
    commit = PostgreSQLSession.commit
    lost: list[int] = []

    def losing(session: PostgreSQLSession) -> None:
        if lost:
            return commit(session)
        lost.append(1)
        if happens:
            commit(session)
        _cut(writer, database)
        session.cursor.execute("SELECT 1")  # raises: what the driver says of a lost connection

    writer.submit(do(1)).result()
    monkeypatch.setattr(PostgreSQLSession, "commit", losing)
    calls: list[int] = []

    def work(transaction: Transaction) -> int:
        calls.append(1)
        return transaction.run(_DONE, n=2)

    assert writer.submit(work).result(timeout=30) == 1
    assert _done(database) == [1, 2]
    assert len(calls) == (1 if happens else 2)


@pytest.mark.parametrize("happens", [True, False])
def test_whoever_asks_what_became_of_a_transaction_waits_until_the_server_has_settled_it(
    database: PostgreSQL, happens: bool
) -> None:
    """The network is cut: our side has lost the connection, the server's side works on."""
    left, ours = PostgreSQLSession(database), PostgreSQLSession(database)
    left.begin(durable=True)
    vars(ours).update({name: vars(left)[name] for name in ("_id", "_number")})
    asked: list[bool] = []
    asking = threading.Thread(target=lambda: asked.append(ours.reconnect()))
    asking.start()
    with _connected(database) as connection:
        while not connection.execute(sa.text("SELECT 1 FROM pg_locks WHERE NOT granted")).first():
            time.sleep(0.01)
    assert asked == []
    (left.commit if happens else left.rollback)()
    asking.join()
    assert asked == [happens]
    left.close()
    ours.close()


def test_while_the_database_is_away_callers_are_told_in_time_and_the_writer_comes_back(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "PATIENCE", 0.5)
    database = _prepared(PostgreSQL(own_server.create_database("away")))
    with _opened(database) as writer:
        writer.submit(do(1)).result()
        own_server.kill()
        with pytest.raises(UnavailableError, match="goes on by itself"):
            writer.submit(do(2)).result(timeout=30)
        with pytest.raises(UnavailableError, match="goes on by itself"):  # at once
            writer.submit(do(3)).result(timeout=30)
        own_server.restart()
        while writer.submit(do(4)).exception(timeout=30) is not None:
            time.sleep(0.1)
    assert _done(database) == [1, 4]


def test_a_server_that_has_become_a_standby_is_left_and_looked_for_again(
    writer: Writer, database: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "PATIENCE", 0.3)
    writer.submit(do(1)).result()
    name = database.place.split("'")[1]
    with _connected(database) as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    _cut(writer, database)
    with pytest.raises(UnavailableError, match="name the primary server"):
        writer.submit(do(2)).result(timeout=30)
    with _connected(database) as connection:
        connection.execute(sa.text("SET TRANSACTION READ WRITE"))
        connection.execute(sa.text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    while writer.submit(do(3)).exception(timeout=30) is not None:
        time.sleep(0.1)
    assert _done(database) == [1, 3]


def test_closing_while_the_database_is_away_ends(own_server: Server) -> None:
    database = _prepared(PostgreSQL(own_server.create_database("closing")))
    with _opened(database) as writer:
        writer.submit(do(1)).result()
        own_server.kill()
        future = writer.submit(do(2))
        writer.close()
        assert isinstance(future.exception(timeout=30), UnavailableError)


def test_a_server_that_is_killed_again_and_again_loses_nothing_and_nothing_happens_twice(own_server: Server) -> None:
    database = _prepared(PostgreSQL(own_server.create_database("killed")))
    writer = Writer(database)
    futures: dict[int, Future[int]] = {}
    stop = threading.Event()
    numbers = iter(range(10**9))
    lock = threading.Lock()

    def work() -> None:
        while not stop.is_set():
            with lock:
                n = next(numbers)
            futures[n] = writer.submit(do(n))
            futures[n].exception(timeout=120)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    dice = random.Random(4)
    for _ in range(4):
        before = writer.groups
        while writer.groups < before + dice.randrange(20, 200):
            time.sleep(0.005)
        own_server.kill()
        own_server.restart()
    before = writer.groups
    while writer.groups < before + 20:
        time.sleep(0.005)
    stop.set()
    for thread in threads:
        thread.join()
    writer.close()
    acknowledged = {n for n, future in futures.items() if future.exception() is None}
    happened = Counter(_done(database))
    assert acknowledged - set(happened) == set()
    assert {n: count for n, count in happened.items() if count > 1} == {}
    assert set(happened) - acknowledged == set()
    assert len(acknowledged) > 100
