"""Events of runs for those who watch them from another process: for some minutes in the database, numbered there.

Numbers are the database's time in microseconds, and ascend for each run. So they mean the same in every process, also
after events have been dropped, and a watcher that goes on in another process misses nothing that is kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from . import codec
from .clock import MICROSECONDS
from .store import locks, schema
from .store.bell import Bell
from .store.writer import Transaction, Writer
from .views import FINAL, Event, RunView
from .workers.registry import NOW

KEPT = 600  # seconds that events are kept
AT_ONCE = 500  # events that one look gives
PENDING, WEIGHT = 2000, 16 * 2**20  # events, and bytes of them, on their way to the database; what is beyond is dropped
LARGEST = 256 * 1024  # bytes of JSON that an event may have; of a larger one only its size is told
LOOK = 1.0  # seconds between two looks while rings of other processes do not arrive

_FEED = schema.Feed.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_APPEND = sa.text(  # nothing, where others have found this process lost: its runs are theirs
    "INSERT INTO feed (run_id, seq, type, data) SELECT told.run_id,"
    " greatest(coalesce((SELECT max(seq) FROM feed WHERE feed.run_id = told.run_id), 0),"
    " CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)) + told.number, told.type, told.data"
    " FROM unnest(CAST(:runs AS text[]), CAST(:numbers AS bigint[]), CAST(:types AS text[]), CAST(:data AS bytea[]))"
    " AS told (run_id, number, type, data)"
    " WHERE EXISTS (SELECT 1 FROM worker WHERE worker.id = :worker AND worker.state IN ('alive', 'draining'))"
)
_NEWEST = sa.select(sa.func.max(_FEED.c.seq)).where(_FEED.c.run_id == sa.bindparam("run_id"))
_AFTER = (
    sa.select(_FEED.c.seq, _FEED.c.type, _FEED.c.data)
    .where(_FEED.c.run_id == sa.bindparam("run_id"), _FEED.c.seq > sa.bindparam("after"))
    .order_by(_FEED.c.seq)
    .limit(AT_ONCE)
)
_PRUNE = sa.delete(_FEED).where(_FEED.c.seq < NOW - KEPT * MICROSECONDS)


class _Told(NamedTuple):
    """An event on its way to the database, and who tells it."""

    run_id: str
    type: str
    data: bytes
    worker: str


class Feed:
    """The events of runs in a database that several processes share."""

    def __init__(
        self,
        writer: Writer,
        bell: Bell,
        *,
        query: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
        view: Callable[[str], Awaitable[RunView]],
        worker: Callable[[], str],
    ) -> None:
        """`query` reads the database, `view` a run; `worker`: as whom this process works now."""
        self._writer = writer
        self._query = query
        self._view = view
        self._bell = bell
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: list[_Told] = []
        self._weight = 0  # bytes
        self._writing = False
        self._watchers: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._closed = False
        bell.on("feed:", lambda name: self._wake([name.removeprefix("feed:")]))

    # telling

    def publish(self, run_id: str, type: str, data: dict[str, Any]) -> None:
        """Tell the watchers of a run, in whatever process they are. May be called from any thread."""
        told = _Told(run_id, type, _dumped(data), self._worker())
        with self._lock:
            if len(self._pending) >= PENDING or self._weight >= WEIGHT:
                return
            self._pending.append(told)
            self._weight += len(told.data)
            if self._writing:
                return
            self._writing = True
        self._write()

    def _write(self) -> None:
        self._writer.submit(self._store, urgent=False, durability="process").add_done_callback(self._stored)

    def _store(self, transaction: Transaction) -> list[_Told]:
        with self._lock:
            pending = list(self._pending)
        transaction.gather(append_events, pending)
        return pending

    def _stored(self, written: Future[list[_Told]]) -> None:
        failed = written.exception() is not None  # who watches looks at the run itself now and then
        with self._lock:
            stored = self._pending if failed else written.result()
            self._pending = self._pending[len(stored) :]
            self._weight = sum(len(told.data) for told in self._pending)
            self._writing = more = bool(self._pending)
        if more:
            self._write()
        runs = list(dict.fromkeys(told.run_id for told in stored))
        for run_id in runs:
            self._bell.ring(f"feed:{run_id}")
        if self._watchers:
            with suppress(RuntimeError):  # the loop is closed: nobody watches any more
                self._loop.call_soon_threadsafe(self._wake, runs)

    # watching

    async def newest(self, run_id: str) -> int:
        """The number of the newest event that is kept of a run; -1 where there is none."""
        found = await self._query(lambda connection: connection.scalar(_NEWEST, {"run_id": run_id}))
        return -1 if found is None else int(found)

    async def changed(self, run_id: str, after: int, *, timeout: float) -> list[Event]:
        """The next events of a run after number `after`; waits for one up to `timeout` seconds, then gives none."""
        until = self._loop.time() + timeout
        while True:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._watchers[run_id].add(waiter)  # before the look, so that nothing comes in between
            try:
                events = await self._read(run_id, after)
                left = until - self._loop.time()
                if events or left <= 0 or self._closed:
                    return events
                with suppress(TimeoutError):
                    async with asyncio.timeout(left if self._bell.steady else min(left, LOOK)):
                        await waiter
            finally:
                self._watchers[run_id].discard(waiter)
                if not self._watchers[run_id]:
                    del self._watchers[run_id]

    async def _read(self, run_id: str, after: int) -> list[Event]:
        def look(connection: Connection) -> list[Any]:
            return list(connection.execute(_AFTER, {"run_id": run_id, "after": after}))

        rows = await self._query(look)
        view = await self._view(run_id) if any(row.type == "run" for row in rows) else None
        return [Event(seq=row.seq, type=row.type, data=_loaded(orjson.loads(row.data), view)) for row in rows]

    def _wake(self, runs: Sequence[str]) -> None:
        for run_id in list(self._watchers) if "" in runs else runs:
            for waiter in self._watchers.get(run_id, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        """Let everybody who waits go."""
        self._closed = True
        self._wake([""])


def append_events(transaction: Transaction, told: list[_Told]) -> None:
    """Give events of several runs their numbers; those of one run are given by one writer after the other."""
    locks.lock(transaction, "events", {event.run_id for event in told})
    for worker in dict.fromkeys(event.worker for event in told):
        events = [event for event in told if event.worker == worker]
        transaction.run(
            _APPEND,
            runs=[event.run_id for event in events],
            numbers=list(range(1, len(events) + 1)),
            types=[event.type for event in events],
            data=[event.data for event in events],
            worker=worker,
        )


def prune(transaction: Transaction) -> None:
    """Drop events that were kept long enough."""
    transaction.run(_PRUNE)


def _dumped(data: dict[str, Any]) -> bytes:
    """The data of an event; of a run, what it holds beside input and output, which are kept anyway."""
    view = data.get("run")
    try:
        if isinstance(view, RunView):
            return orjson.dumps({"run": view.model_dump(mode="json", exclude={"input", "output"})})
        dumped = codec.shown(data)
    except TypeError as error:  # numbers beyond 64 bits and the like
        return orjson.dumps({"omitted": str(error)})
    return dumped if len(dumped) <= LARGEST else orjson.dumps({"omitted": f"{len(dumped)} bytes"})


def _loaded(data: dict[str, Any], view: RunView | None) -> dict[str, Any]:
    if view is None or "run" not in data:
        return data
    ended = data["run"]["status"] in FINAL
    return {"run": RunView(**data["run"], input=view.input, output=view.output if ended else None)}
