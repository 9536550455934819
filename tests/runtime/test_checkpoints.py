from __future__ import annotations

import importlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from gatewright.runtime.checkpoints import RUN_KEY, GroupCommitSaver
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Writer


async def opened(folder: Path) -> AsyncIterator[GroupCommitSaver]:
    SQLite(folder).prepare()
    writer = Writer(SQLite(folder))
    saver = await GroupCommitSaver.open(folder, writer)
    yield saver
    await saver.close()
    writer.close()


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[GroupCommitSaver]:
    async for saver in opened(tmp_path):
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


async def test_langgraphs_conformance_suite_finds_what_it_finds_in_its_own_saver(tmp_path: Path) -> None:
    suite: Any = importlib.import_module("langgraph.checkpoint.conformance")  # it has no annotations
    folders = iter(range(1000))

    async def ours() -> AsyncIterator[Any]:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        async for saver in opened(folder):
            yield saver

    async def theirs() -> AsyncIterator[Any]:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / f"{next(folders)}.sqlite")) as saver:
            yield saver

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


async def test_the_newest_checkpoint_stays_the_newest_when_the_clock_is_set_back_between_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for saver in opened(tmp_path):
        await put(saver, "first")
    true_time = time.time_ns
    monkeypatch.setattr("langgraph.checkpoint.base.id._last_v6_timestamp", None)  # as in a process that just started
    monkeypatch.setattr(time, "time_ns", lambda: true_time() - 3600 * 10**9)
    async for saver in opened(tmp_path):
        last = await put(saver, "second")
        assert await newest(saver) == last


async def test_what_is_saved_is_there_for_the_next_process(tmp_path: Path) -> None:
    saved = ""
    async for saver in opened(tmp_path):
        saved = await put(saver, "run")
    async for saver in opened(tmp_path):
        found = await saver.aget_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
        assert found is not None
        assert (found.checkpoint["id"], found.metadata.get(RUN_KEY)) == (saved, "run")
        assert [(channel, value) for _task, channel, value in found.pending_writes or []] == [("channel", "run")]


def test_ids_of_checkpoints_are_made_as_is_assumed() -> None:
    first, second = uuid6(), uuid6()
    assert str(first) < str(second)
    assert first.time < second.time
