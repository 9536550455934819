"""LangGraph's SQLite checkpointer on our database file, with its writes in the groups of our writer.

As it ships, the saver commits every checkpoint by itself and one after the other, and would contend with our writer for
the file. Here it reads as it always does; what it writes goes through the one writer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.base import id as ids
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from gatewright.agents.errors import GatewrightError

from .store.sqlite import FILE
from .store.writer import Transaction, Writer, arrival

_LAST = "_last_v6_timestamp"  # where LangGraph keeps the time of the last id it made
RUN_KEY = "gatewright_run"  # under `configurable`: LangGraph keeps it in the metadata of the run's checkpoints

MOST_FRESH = 100_000  # new threads to remember until they are executed

_PUT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,"
    " checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_PUT_WRITES = (
    "INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class LostCheckpointError(GatewrightError):
    """A checkpoint did not reach the disk; the run is executed again, by its journal."""


def _nothing(transaction: Transaction) -> None:
    """What was submitted before is on the disk when this is."""


class GroupCommitSaver(AsyncSqliteSaver):
    """`AsyncSqliteSaver` whose checkpoints share commits with everything else that is written at that moment."""

    def __init__(self, connection: aiosqlite.Connection, writer: Writer) -> None:
        super().__init__(connection)
        self._writer = writer
        self._fresh: set[str] = set()
        self._under_way: dict[str, Future[None]] = {}
        self._lost: dict[str, BaseException] = {}

    @classmethod
    async def open(cls, folder: Path, writer: Writer) -> GroupCommitSaver:
        """Open on the database file in `folder` and create its tables where they are missing."""
        connection = await aiosqlite.connect(folder / FILE, timeout=10.0)
        saver = cls(connection, writer)
        await saver.setup()
        await saver._continue_ids()
        return saver

    async def _continue_ids(self) -> None:
        """Let ids of checkpoints go on from the newest one, even if the machine's clock has been set back since.

        LangGraph takes the checkpoint with the largest id for the newest, and makes ids from the time.
        """
        rows = await self.conn.execute_fetchall("SELECT checkpoint_id FROM checkpoints ORDER BY rowid DESC LIMIT 1")
        for (newest,) in rows:
            with suppress(ValueError):  # an id that somebody else has made
                latest = max(getattr(ids, _LAST) or 0, ids.UUID(newest).time)
                setattr(ids, _LAST, latest)

    def expect(self, thread_id: str) -> None:
        """Say that a thread is new: its first execution need not look for a checkpoint."""
        if len(self._fresh) < MOST_FRESH:
            self._fresh.add(thread_id)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the newest of its thread."""
        place = config.get("configurable", {})
        if place.get("thread_id") in self._fresh and not place.get("checkpoint_ns"):
            self._fresh.discard(str(place["thread_id"]))
            return None
        await self._written(str(place.get("thread_id")))
        return await super().aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread, newest first."""
        if config is not None:
            await self._written(str(config.get("configurable", {}).get("thread_id")))
        async for saved in super().alist(config, filter=filter, before=before, limit=limit):
            yield saved

    def check_written(self, thread_id: str) -> None:
        """In an operation of the writer, so behind all that was saved before: check that nothing of it was lost.

        Raises:
            LostCheckpointError: something was; the run must be executed again.
        """
        if (error := self._lost.pop(thread_id, None)) is not None:
            raise LostCheckpointError(f"a checkpoint of thread {thread_id!r} could not be saved: {error}") from error

    async def _written(self, thread_id: str) -> None:
        """Wait until what was saved of a thread can be read again."""
        future = self._under_way.get(thread_id)
        if future is not None and not future.done():
            await arrival(self._writer.submit(_nothing))

    def _save(self, thread_id: str, text: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write with what is written next: a run ends, or parks, behind it, and `check_written` looks after it."""

        def write(transaction: Transaction) -> None:
            try:
                transaction.raw(text, rows)
            except Exception as error:
                self._lost[thread_id] = error
                raise

        def told(written: Future[None]) -> None:
            if (error := written.exception()) is not None:
                self._lost[thread_id] = error
            if self._under_way.get(thread_id) is written:
                del self._under_way[thread_id]

        future = self._writer.submit(write, urgent=False)
        self._under_way[thread_id] = future
        future.add_done_callback(told)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; durable when the run has parked or ended."""
        place = config.get("configurable", {})
        type_, body = self.serde.dumps_typed(checkpoint)
        row = (
            str(place["thread_id"]),
            place["checkpoint_ns"],
            checkpoint["id"],
            place.get("checkpoint_id"),
            type_,
            body,
            json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False).encode("utf-8", "ignore"),
        )
        self._save(row[0], _PUT, [row])
        return {
            "configurable": {
                "thread_id": place["thread_id"],
                "checkpoint_ns": place["checkpoint_ns"],
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task wrote, linked to a checkpoint; durable when the run has parked or ended."""
        place = config.get("configurable", {})
        special = all(channel in WRITES_IDX_MAP for channel, _value in writes)
        rows = [
            (
                str(place["thread_id"]),
                str(place["checkpoint_ns"]),
                str(place["checkpoint_id"]),
                task_id,
                task_path,
                WRITES_IDX_MAP.get(channel, position),
                channel,
                *self.serde.dumps_typed(value),
            )
            for position, (channel, value) in enumerate(writes)
        ]
        verb = "INSERT OR REPLACE " if special else "INSERT OR IGNORE "
        self._save(str(place["thread_id"]), verb + _PUT_WRITES, rows)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread, those too that are on their way to the disk."""

        def delete(transaction: Transaction) -> None:
            for table in ("checkpoints", "writes"):
                transaction.raw(f"DELETE FROM {table} WHERE thread_id = ?", [(str(thread_id),)])

        await arrival(self._writer.submit(delete))

    async def forget(self, thread_id: str, run_id: str) -> None:
        """Delete the checkpoints that a run has written, so that its thread is as it was before."""
        rows = [
            (thread_id, saved.config.get("configurable", {})["checkpoint_ns"], saved.checkpoint["id"])
            async for saved in self.alist({"configurable": {"thread_id": thread_id}})
            if saved.metadata.get(RUN_KEY) == run_id
        ]

        def delete(transaction: Transaction) -> None:
            for table in ("checkpoints", "writes"):
                where = "thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
                transaction.raw(f"DELETE FROM {table} WHERE {where}", rows)

        await arrival(self._writer.submit(delete))

    async def close(self) -> None:
        """Release the reading connection."""
        await self.conn.close()
