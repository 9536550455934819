"""LangGraph's SQLite checkpointer on our database file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Writer

from .saver import GroupCommitSaver, Statement

_PUT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,"
    " checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_PUT_WRITES = (
    "INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TABLES = ("checkpoints", "writes")


class SQLiteSaver(GroupCommitSaver, AsyncSqliteSaver):
    """`AsyncSqliteSaver` whose checkpoints share commits with everything else that is written at that moment."""

    @classmethod
    async def open(cls, database: SQLite, writer: Writer) -> SQLiteSaver:
        """Open on a database file and create the tables where they are missing."""
        saver = cls(writer, await aiosqlite.connect(database.file, timeout=10.0))
        await saver.setup()
        return saver

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
        self._save(config, [Statement(_PUT, [row])])
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
        self._save(config, [Statement(verb + _PUT_WRITES, rows)])

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread, those too that are on their way to the disk."""
        await self._delete(
            [Statement(f"DELETE FROM {table} WHERE thread_id = ?", [(str(thread_id),)]) for table in _TABLES]
        )

    def _deletion(self, places: Sequence[tuple[str, str, str]]) -> list[Statement]:
        where = "thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
        return [Statement(f"DELETE FROM {table} WHERE {where}", places) for table in _TABLES]
