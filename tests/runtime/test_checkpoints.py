from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from deploy.cluster.postgresql import PostgreSQL as PostgreSQLServer
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from gatewright.agents.errors import ConflictError
from gatewright.runtime.checkpoints import RUN_KEY, GroupCommitSaver, open_saver
from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Transaction, Writer


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return of("" if request.param == "sqlite" else request.getfixturevalue("database_url"), tmp_path)


@asynccontextmanager
async def opened(database: Database) -> AsyncGenerator[GroupCommitSaver]:
    database.prepare()
    writer = Writer(database)
    saver = await open_saver(database, writer)
    yield saver
    await saver.close()
    writer.close()


@pytest.fixture
async def saver(database: Database) -> AsyncGenerator[GroupCommitSaver]:
    async with opened(database) as saver:
        yield saver


async def put(saver: GroupCommitSaver, run: str, *, thread: str = "t", namespace: str = "") -> str:
    """Save a checkpoint of a run, with a write; gives its id."""
    checkpoint = empty_checkpoint()
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, RUN_KEY: run}}
    saved = await saver.aput(config, checkpoint, {"source": "loop", "step": 0, "parents": {}}, {})
    await saver.aput_writes(saved, [("channel", run)], "task")
    return str(checkpoint["id"])


async def newest(saver: GroupCommitSaver, *, thread: str = "t", namespace: str = "") -> str | None:
    found = await saver.aget_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": namespace}})
    return None if found is None else str(found.checkpoint["id"])


async def test_langgraphs_conformance_suite_finds_what_it_finds_in_its_own_savers(
    tmp_path: Path, postgresql: PostgreSQLServer
) -> None:
    suite: Any = importlib.import_module("langgraph.checkpoint.conformance")  # it has no annotations
    numbers = itertools.count()

    async def our_sqlite() -> AsyncIterator[Any]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        async with opened(SQLite(folder)) as saver:
            yield saver

    async def their_sqlite() -> AsyncIterator[Any]:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / f"{next(numbers)}.sqlite")) as saver:
            yield saver

    async def our_postgresql() -> AsyncIterator[Any]:
        async with opened(of(postgresql.create_database(f"conformance_{next(numbers)}"), tmp_path)) as saver:
            yield saver

    async def their_postgresql() -> AsyncIterator[Any]:
        url = postgresql.create_database(f"conformance_{next(numbers)}").replace("+psycopg", "")
        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield saver

    for ours, theirs in ((our_sqlite, their_sqlite), (our_postgresql, their_postgresql)):
        results: list[dict[str, tuple[Any, ...]]] = []
        for name, factory in (("ours", ours), ("theirs", theirs)):
            report = await suite.validate(suite.checkpointer_test(name=name)(factory))
            results.append(
                {
                    capability: (result.detected, result.passed, result.tests_passed, result.failures)
                    for capability, result in report.results.items()
                }
            )
            assert sum(result.tests_passed for result in report.results.values()) > 50
        assert results[0] == results[1]


async def test_forgetting_a_run_leaves_the_checkpoints_of_others(saver: GroupCommitSaver) -> None:
    kept = await put(saver, "first")
    await put(saver, "second")
    inner = await put(saver, "first", namespace="inner")
    await put(saver, "second", namespace="inner")
    other = await put(saver, "second", thread="other")
    await saver.forget("t", "second")
    assert (await newest(saver), await newest(saver, namespace="inner")) == (kept, inner)
    assert await newest(saver, thread="other") == other


async def test_the_newest_checkpoint_stays_the_newest_when_the_clock_of_the_next_process_is_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database) as saver:
        first = await put(saver, "first")
    true_time = time.time_ns
    monkeypatch.setattr("langgraph.checkpoint.base.id._last_v6_timestamp", None)  # as in a process that just started
    monkeypatch.setattr(time, "time_ns", lambda: true_time() - 3600 * 10**9)
    async with opened(database) as saver:
        assert await newest(saver) == first  # LangGraph looks before it writes
        last = await put(saver, "second")
        assert await newest(saver) == last


async def test_what_is_saved_is_there_for_the_next_process(database: Database) -> None:
    saved = ""
    async with opened(database) as saver:
        saved = await put(saver, "run")
    async with opened(database) as saver:
        found = await saver.aget_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
        assert found is not None
        assert (found.checkpoint["id"], found.metadata.get(RUN_KEY)) == (saved, "run")
        assert [(channel, value) for _task, channel, value in found.pending_writes or []] == [("channel", "run")]


@pytest.mark.parametrize("value", ["a\0b", float("inf"), "plain", 0.5, None, {"a": "\0"}])
async def test_values_that_json_in_postgresql_does_not_hold_come_back(saver: GroupCommitSaver, value: Any) -> None:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"c": value}
    checkpoint["channel_versions"] = {"c": "1"}
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    await saver.aput(config, checkpoint, {"source": "loop", "step": 0, "parents": {}}, {"c": "1"})
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"c": value}


async def test_what_a_run_writes_after_another_process_has_taken_it_is_dropped(saver: GroupCommitSaver) -> None:
    taken = False

    def check(_transaction: Transaction) -> None:
        if taken:
            raise ConflictError("taken")

    saver.fence("run", check)
    kept = await put(saver, "run")
    assert await newest(saver) == kept
    taken = True
    await put(saver, "run")
    assert await newest(saver) == kept
    saver.unfence("run", "thread")
    last = await put(saver, "run")
    assert await newest(saver) == last


def test_ids_of_checkpoints_are_made_as_is_assumed() -> None:
    first, second = uuid6(), uuid6()
    assert str(first) < str(second)
    assert first.time < second.time
