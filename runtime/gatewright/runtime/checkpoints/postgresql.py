"""LangGraph's PostgreSQL checkpointer on our database."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.types.json import Jsonb

from gatewright.runtime.store.postgresql import PostgreSQL
from gatewright.runtime.store.writer import Writer

from .saver import GroupCommitSaver, Statement


class PostgreSQLSaver(GroupCommitSaver, AsyncPostgresSaver):
    """`AsyncPostgresSaver` whose checkpoints share commits with everything else that is written at that moment."""

    def __init__(self, writer: Writer, database: PostgreSQL) -> None:
        super().__init__(writer, database.pool())
        self._database = database

    @classmethod
    async def open(cls, database: PostgreSQL, writer: Writer) -> PostgreSQLSaver:
        """Open on a database that has been prepared: its tables are there."""
        saver = cls(writer, database)
        await saver.conn.open()
        return saver

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        try:
            return await super().aget_tuple(config)
        except psycopg.OperationalError as error:
            raise self._database.unavailable(error) from error

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        try:
            async for saved in super().alist(config, filter=filter, before=before, limit=limit):
                yield saved
        except psycopg.OperationalError as error:
            raise self._database.unavailable(error) from error

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        await self._written(str(config.get("configurable", {}).get("thread_id")))
        try:
            return await super().aget_delta_channel_history(config=config, channels=channels)
        except psycopg.OperationalError as error:
            raise self._database.unavailable(error) from error

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        for thread_id in thread_ids:
            await self._written(thread_id)
        await super().aprune(thread_ids, strategy=strategy)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; durable when the run has parked or ended."""
        recording = _Recording(self.serde)
        saved = recording.put(config, _storable(checkpoint), metadata, new_versions)
        self._save(config, recording.statements)
        return saved

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task wrote, linked to a checkpoint; durable when the run has parked or ended."""
        recording = _Recording(self.serde)
        recording.put_writes(config, writes, task_id, task_path)
        self._save(config, recording.statements)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread, those too that are on their way to the disk."""
        recording = _Recording(self.serde)
        recording.delete_thread(thread_id)
        await self._delete(recording.statements)

    def _deletion(self, places: Sequence[tuple[str, str, str]]) -> list[Statement]:
        where = "thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s"
        tables = ("checkpoints", "checkpoint_writes")
        return [Statement(f"DELETE FROM {table} WHERE {where}", places) for table in tables]


class _Opaque:
    """A plain value that JSONB does not hold, so that LangGraph stores it among the blobs."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Recording(PostgresSaver):
    """LangGraph's own saver, whose statements are kept instead of executed."""

    def __init__(self, serde: Any) -> None:
        super().__init__(cast("Any", None), serde=serde)
        self.statements: list[Statement] = []

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Generator[Any]:
        del pipeline
        yield self

    def execute(self, text: str, row: Sequence[Any]) -> None:
        """Stands in for a cursor. JSON is written at once: the state goes on to change."""
        plain = [json.dumps(value.obj) if isinstance(value, Jsonb) else value for value in row]
        self.statements.append(Statement(text, [plain]))

    def executemany(self, text: str, rows: Sequence[Sequence[Any]]) -> None:
        """Stands in for a cursor."""
        self.statements.append(Statement(text, rows))

    def _dump_blobs(
        self, thread_id: str, checkpoint_ns: str, values: dict[str, Any], versions: ChannelVersions
    ) -> list[tuple[str, str, str, str, str, bytes | None]]:
        plain = {name: value.value if isinstance(value, _Opaque) else value for name, value in values.items()}
        return super()._dump_blobs(thread_id, checkpoint_ns, plain, versions)


def _storable(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint that LangGraph puts nothing of into JSONB which PostgreSQL refuses there."""
    values = checkpoint["channel_values"]
    odd = {name: _Opaque(value) for name, value in values.items() if _refused(value)}
    return {**checkpoint, "channel_values": {**values, **odd}} if odd else checkpoint


def _refused(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, str) and "\0" in value
