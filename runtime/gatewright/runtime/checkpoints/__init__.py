"""What LangGraph keeps of a thread, saved together with everything else that a run writes."""

from __future__ import annotations

from typing import cast

from gatewright.runtime.store.database import Database
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Writer

from .saver import RUN_KEY, GroupCommitSaver, LostCheckpointError

__all__ = ["RUN_KEY", "GroupCommitSaver", "LostCheckpointError", "open_saver"]


async def open_saver(database: Database, writer: Writer) -> GroupCommitSaver:
    """The checkpointer on a database that has been prepared."""
    if database.dialect == "sqlite":
        from .sqlite import SQLiteSaver

        return await SQLiteSaver.open(cast("SQLite", database), writer)
    from gatewright.runtime.store.postgresql import PostgreSQL

    from .postgresql import PostgreSQLSaver

    return await PostgreSQLSaver.open(cast("PostgreSQL", database), writer)
