"""Decision records on a topic of the bus, for whoever wants them: each once, in the order of the log.

What has been published is remembered in the transaction that publishes, so a process that dies in between leaves
neither a gap nor a repetition. A message holds what the record says publicly. Sealed values are not part of it: whoever
may see them reads them from the service, where they can be erased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.envelopes import Message
from gatewright.agents.errors import UnavailableError
from gatewright.runtime import identifiers
from gatewright.runtime.bus import Bus
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction, Writer, arrival

TYPE = "gatewright.decision@1.0"
MOST = 200  # records published in one transaction
LARGEST = 900_000  # bytes of a record; a larger one is published by its hash alone
PAUSE = 0.1  # seconds between looks for new records
AWAY = 1.0  # seconds between attempts while the topic is full, or the database away

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_PUBLICATION = schema.Publication.__table__  # type: ignore[attr-defined]

_REACHED = sa.select(_PUBLICATION.c.position).where(_PUBLICATION.c.topic == sa.bindparam("of"))
_NEW = (
    sa.select(_PLACE.c.position, _PLACE.c.hash, _LEAF.c.case_id, _LEAF.c.body)
    .select_from(_PLACE.join(_LEAF, _LEAF.c.id == _PLACE.c.leaf))
    .where(_PLACE.c.position >= sa.bindparam("first"))
    .order_by(_PLACE.c.position)
    .limit(sa.bindparam("most"))
)
_NOTE = sa.text(
    "INSERT INTO publication (topic, position) VALUES (:topic, :position)"
    " ON CONFLICT (topic) DO UPDATE SET position = excluded.position"
)

Check = Callable[[Transaction], None]
Query = Callable[[Callable[[Connection], bool]], Awaitable[bool]]


class Publisher:
    """Publishes the records of one log on one topic."""

    def __init__(self, bus: Bus, writer: Writer, query: Query, *, topic: str, origin: str) -> None:
        """`query`: runs a read of the database; `origin`: the log's name."""
        self._bus = bus
        self._writer = writer
        self._query = query
        self._topic = topic
        self._origin = origin
        self._next = 0

    async def run(self, check: Check) -> None:
        """Publish what there is and what comes, from the first record on, until cancelled.

        Args:
            check: raises if this process shall not do it any more; called first in each transaction.
        """
        while True:
            try:
                if not await self._query(self._waits) or not await self.step(check):
                    await asyncio.sleep(PAUSE)
            except UnavailableError:
                await asyncio.sleep(AWAY)

    async def step(self, check: Check) -> int:
        """Publish up to `MOST` records; gives their number.

        Raises:
            BusyError: the topic is full.
        """
        self._next, count = await arrival(self._writer.submit(lambda transaction: self._publish(transaction, check)))
        return count

    def _waits(self, connection: Connection) -> bool:
        return connection.execute(_NEW, {"first": self._next, "most": 1}).first() is not None

    def _publish(self, transaction: Transaction, check: Check) -> tuple[int, int]:
        check(transaction)
        reached = transaction.one(_REACHED, of=self._topic)
        first = 0 if reached is None else reached[0]
        rows = transaction.all(_NEW, first=first, most=MOST)
        if not rows:
            return first, 0
        for row in rows:
            self._bus.put(transaction, self._topic, self._message(*row), bounded=row is rows[0])
        following: int = rows[-1][0] + 1
        transaction.run(_NOTE, topic=self._topic, position=following)
        return following, len(rows)

    def _message(self, position: int, hash: bytes, case_id: str | None, body: bytes) -> Message:
        record: dict[str, Any] = orjson.loads(body)
        told: dict[str, Any] = {"origin": self._origin, "index": position, "leaf": bytes(hash).hex()}
        message = record["detail"].get("message") or {}
        return Message(
            id=identifiers.derived("decision", self._origin, str(position)),
            source=f"gatewright/{self._origin}",
            type=TYPE,
            subject=record["kind"],
            data={**told, "record": record if len(body) <= LARGEST else None},
            time=datetime.fromisoformat(record["time"]),
            key=case_id or record["deployment"] or self._origin,
            run_id=record["run_id"] or None,
            correlation_id=message.get("correlation_id") or case_id,
            traceparent=message.get("traceparent"),
        )
