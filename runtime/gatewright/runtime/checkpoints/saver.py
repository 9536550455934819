"""A LangGraph checkpointer whose writes go into the groups of our writer.

As they ship, the savers commit every checkpoint by itself and one after the other, and SQLite's would contend with our
writer for the file. Here they read as they always do; what they write goes through the one writer, and only while this
process holds the run that writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.base import id as ids

from gatewright.agents.errors import GatewrightError
from gatewright.runtime.store.writer import Transaction, Writer, arrival

_LAST = "_last_v6_timestamp"  # where LangGraph keeps the time of the last id it made
RUN_KEY = "gatewright_run"  # under `configurable`: LangGraph keeps it in the metadata of the run's checkpoints


class Statement(NamedTuple):
    """SQL of the saver's dialect, and the rows that it is executed with."""

    text: str
    rows: Sequence[Sequence[Any]]


class LostCheckpointError(GatewrightError):
    """A checkpoint did not reach the disk; the run is executed again, by its journal."""


def _nothing(transaction: Transaction) -> None:
    """What was submitted before is on the disk when this is."""


def _go_on_from(newest: str) -> None:
    """Let ids of checkpoints be larger than one that was read, even if this machine's clock is behind the one that made
    it: LangGraph takes the checkpoint with the largest id for the newest, and makes ids from the time."""
    with suppress(ValueError):  # an id that somebody else has made
        latest = max(getattr(ids, _LAST) or 0, ids.UUID(newest).time)
        setattr(ids, _LAST, latest)


class GroupCommitSaver(BaseCheckpointSaver[Any]):
    """The part that does not depend on the database; LangGraph's own saver comes behind it in the order of bases."""

    conn: Any

    def __init__(self, writer: Writer, *args: Any) -> None:
        super().__init__(*args)
        self._writer = writer
        self._fresh: set[str] = set()
        self._under_way: dict[str, Future[None]] = {}
        self._lost: dict[str, BaseException] = {}
        self._fences: dict[str, Callable[[Transaction], object]] = {}

    def _deletion(self, places: Sequence[tuple[str, str, str]]) -> list[Statement]:
        """What deletes checkpoints by thread, namespace and id."""
        raise NotImplementedError

    def expect(self, thread_id: str) -> None:
        """Say that nobody has executed anything of a thread: the execution that begins need not look for a
        checkpoint."""
        self._fresh.add(thread_id)

    def fence(self, run_id: str, check: Callable[[Transaction], object]) -> None:
        """Save what a run writes only while `check` passes, until `unfence`: it raises a GatewrightError once somebody
        else holds the run. What is refused is dropped, since whoever holds the run writes its own."""
        self._fences[run_id] = check

    def unfence(self, run_id: str, thread_id: str) -> None:
        """The run is not executed here any more."""
        self._fences.pop(run_id, None)
        self._fresh.discard(thread_id)
        self._lost.pop(thread_id, None)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the newest of its thread."""
        place = config.get("configurable", {})
        if place.get("thread_id") in self._fresh and not place.get("checkpoint_ns"):
            self._fresh.discard(str(place["thread_id"]))
            return None
        await self._written(str(place.get("thread_id")))
        found = await super().aget_tuple(config)
        if found is not None:
            _go_on_from(found.checkpoint["id"])
        return found

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

    def check_written(self, transaction: Transaction, thread_id: str) -> None:
        """In an operation of the writer, so behind all that was saved before: check that nothing of it was lost.

        Raises:
            LostCheckpointError: something was; the run must be executed again.
        """
        error = self._lost.get(thread_id) or transaction.lost.get(thread_id)
        if error is not None:
            raise LostCheckpointError(f"a checkpoint of thread {thread_id!r} could not be saved: {error}") from error

    async def _written(self, thread_id: str) -> None:
        """Wait until what was saved of a thread can be read again."""
        future = self._under_way.get(thread_id)
        if future is not None and not future.done():
            await arrival(self._writer.submit(_nothing))

    def _save(self, config: RunnableConfig, statements: Sequence[Statement]) -> None:
        """Write with what is written next: a run ends, or parks, behind it, and `check_written` looks after it."""
        place = config.get("configurable", {})
        thread_id, run_id = str(place["thread_id"]), str(place.get(RUN_KEY))
        fence = self._fences.get(run_id)

        def write(transaction: Transaction) -> None:
            if fence is not None and run_id not in transaction.fenced:
                try:
                    fence(transaction)
                except GatewrightError:
                    return
                transaction.fenced.add(run_id)
            try:
                for statement in statements:
                    transaction.raw(*statement)
            except Exception as error:
                transaction.lost[thread_id] = error
                raise

        def told(written: Future[None]) -> None:
            if (error := written.exception()) is not None:
                self._lost[thread_id] = error
            if self._under_way.get(thread_id) is written:
                del self._under_way[thread_id]

        future = self._writer.submit(write, urgent=False)
        self._under_way[thread_id] = future
        future.add_done_callback(told)

    async def _delete(self, statements: Sequence[Statement]) -> None:
        def delete(transaction: Transaction) -> None:
            for statement in statements:
                transaction.raw(*statement)

        await arrival(self._writer.submit(delete))

    async def forget(self, thread_id: str, run_id: str) -> None:
        """Delete the checkpoints that a run has written, so that its thread is as it was before."""
        places = [
            (thread_id, saved.config.get("configurable", {})["checkpoint_ns"], saved.checkpoint["id"])
            async for saved in self.alist({"configurable": {"thread_id": thread_id}})
            if saved.metadata.get(RUN_KEY) == run_id
        ]
        await self._delete(self._deletion(places))

    async def close(self) -> None:
        """Release the connections that read."""
        await self.conn.close()
