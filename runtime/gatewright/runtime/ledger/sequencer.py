"""Giving records their places in the log, where several processes write them.

One process at a time does it for all. That it is only one saves work; what makes it safe is the lock on the row of
`log`, which whoever gives places holds to the end of the transaction, and that the size of the tree is read behind it.

Numbers of `pending` are given before the transaction that takes them commits. So a smaller number may become visible
after a larger one has its place, which is no harm to the tree: the order of the log is the order of places. The records
of one run keep theirs nevertheless. One process numbers what it writes in that order, at the end of each transaction;
and a run passes from one process to the next by the lock on its row, taken before anything is numbered: the next one
gets larger numbers, and whoever sees them sees the smaller ones. (What a process that has lost its run learns too late
of an effect comes when it comes.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction, Writer, arrival
from gatewright.safety.ledger import merkle

from .reading import node_reader

MOST = 1000  # records that get their places in one transaction
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.04  # seconds between looks: after there was something, and when all is quiet
PATIENCE = 2.0  # seconds that a process that leaves waits for another that is at it
AWAY = 1.0  # seconds between looks while the database refuses

_LOG = schema.Log.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PENDING = schema.Pending.__table__  # type: ignore[attr-defined]

_LOCK = sa.select(_LOG.c.id).with_for_update(skip_locked=True)
_WAITING = sa.select(sa.exists().where(_PENDING.c.number >= sa.bindparam("low")))
_TAKE = sa.text(
    "DELETE FROM pending WHERE number IN"
    " (SELECT number FROM pending WHERE number >= :low ORDER BY number LIMIT :most)"
    " RETURNING number, leaf, hash, (SELECT coalesce(max(position) + 1, 0) FROM place),"
    " CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint),"
    " CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
)
_PLACES = sa.text(
    "INSERT INTO place (position, leaf, hash) SELECT * FROM"
    " unnest(CAST(:positions AS bigint[]), CAST(:leaves AS bigint[]), CAST(:hashes AS bytea[]))"
)
_NODES = sa.text(
    "INSERT INTO node (level, position, hash) SELECT * FROM"
    " unnest(CAST(:levels AS integer[]), CAST(:positions AS bigint[]), CAST(:hashes AS bytea[]))"
)

Check = Callable[[Transaction], None]
Query = Callable[[Callable[[Connection], bool]], Awaitable[bool]]


class _Mark(NamedTuple):
    """Transactions before `transaction` may still bring a number up to `number`; those from it on bring larger ones."""

    number: int
    transaction: int


class _State(NamedTuple):
    """What a sequencer remembers. No number below `low` waits, or ever will."""

    tail: merkle.Frontier
    low: int = 0
    mark: _Mark | None = None
    taken: int = 0


class Sequencer:
    """Gives places to the records of all processes that share a PostgreSQL database."""

    def __init__(self, writer: Writer, query: Query) -> None:
        """`query`: runs a read of the database."""
        self._writer = writer
        self._query = query
        self._state = _State(merkle.Frontier())

    async def run(self, check: Check) -> None:
        """Give places until cancelled.

        Args:
            check: raises if this process shall not do it any more; called first in each transaction.
        """
        pause = SHORTEST_PAUSE
        while True:
            try:
                if pause == SHORTEST_PAUSE or await self._query(self._waits):
                    taken = await self.step(check)
                    if taken == MOST:
                        continue
                    pause = SHORTEST_PAUSE / 2 if taken else pause
                pause = min(2 * pause, LONGEST_PAUSE)
            except UnavailableError:
                pause = AWAY
            await asyncio.sleep(pause)

    async def finish(self) -> None:
        """Give places to all that waits; for a process that leaves, whoever does it otherwise.

        Another process that is at it may have looked before our last record was written, and may be leaving too: so
        this waits for its turn, `PATIENCE` seconds at most (what still waits then is placed by whoever is next).
        """
        until = time.monotonic() + PATIENCE
        while (taken := await self._step()) or (taken is None and time.monotonic() < until):
            if taken is None:
                await asyncio.sleep(SHORTEST_PAUSE)

    async def step(self, check: Check | None = None) -> int:
        """Give places to up to `MOST` records; gives their number, 0 too while another process is at it."""
        return await self._step(check) or 0

    async def _step(self, check: Check | None = None) -> int | None:
        """As `step`, but None while another process is at it."""
        state = await arrival(self._writer.submit(lambda transaction: self._place(transaction, check)))
        if state is None:
            return None
        self._state = state
        return state.taken

    @property
    def low(self) -> int:
        """No number of `pending` below this waits, or ever will."""
        return self._state.low

    def _waits(self, connection: Connection) -> bool:
        return bool(connection.execute(_WAITING, {"low": self._state.low}).scalar())

    def _place(self, transaction: Transaction, check: Check | None) -> _State | None:
        if check is not None:
            check(transaction)
        if transaction.one(_LOCK) is None:
            return None
        rows = sorted(transaction.all(_TAKE, low=self._state.low, most=MOST))
        if not rows:
            return self._state._replace(taken=0)
        size, oldest, following = rows[0][3:]
        state = self._state
        if state.tail.size != size:  # the first time, or another process has been at it
            state = _State(merkle.Frontier.restore(size, node_reader(transaction.one)))
        tail = state.tail.copy()
        nodes: list[merkle.Node] = []
        for row in rows:
            nodes += tail.append(bytes(row[2]))
        transaction.run(
            _PLACES,
            positions=list(range(size, tail.size)),
            leaves=[row[1] for row in rows],
            hashes=[bytes(row[2]) for row in rows],
        )
        inner = [node for node in nodes if node.level]
        transaction.run(
            _NODES,
            levels=[node.level for node in inner],
            positions=[node.position for node in inner],
            hashes=[node.hash for node in inner],
        )
        return _remembered(state, tail, rows[-1][0], len(rows), oldest, following)


def _remembered(state: _State, tail: merkle.Frontier, newest: int, taken: int, oldest: int, following: int) -> _State:
    """The state after a transaction whose snapshot saw no running transaction before `oldest` and none from
    `following` on. Looking from 0 each time would walk over all rows that were deleted and not yet cleared away, which
    are many while somebody reads the database for hours (a backup)."""
    low, mark = state.low, state.mark
    if taken < MOST:  # it has taken all that it saw
        if mark is not None and oldest >= mark.transaction:
            low, mark = mark.number + 1, None
        if mark is None:
            mark = _Mark(newest, following)
    return _State(tail, low, mark, taken)
