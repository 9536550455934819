"""What the API and the command line do with the bus: look at topics, lag and dead letters, and set things right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime.clock import Clock, moment
from gatewright.runtime.reader import Reader
from gatewright.runtime.store.writer import Transaction, Writer, arrival

from . import letters
from .bus import Bus
from .views import DeadLetterView, LagView, LetterState, TopicView

_TOPICS = sa.text(
    "SELECT topic.name, topic.partitions, topic.created_at, "
    "(SELECT coalesce(sum(head.next), 0) FROM head WHERE head.topic = topic.name), "
    "(SELECT count(*) FROM message WHERE message.topic = topic.name) FROM topic ORDER BY topic.name"
)
_LAG = sa.text(
    'SELECT cursor.topic, cursor."group", sum(head.next - cursor.position) - (SELECT count(*) FROM settled '
    'WHERE settled.topic = cursor.topic AND settled."group" = cursor."group") FROM cursor JOIN head '
    'ON head.topic = cursor.topic AND head."partition" = cursor."partition" '
    'GROUP BY cursor.topic, cursor."group" ORDER BY cursor.topic, cursor."group"'
)
_PARKED = sa.text('SELECT topic, "group", count(*) FROM parked GROUP BY topic, "group"')
_DEAD = sa.text('SELECT topic, "group", count(*) FROM dead_letter WHERE state = \'dead\' GROUP BY topic, "group"')
_MEMBERS = sa.text('SELECT topic, "group", count(*) FROM member WHERE until > :now GROUP BY topic, "group"')
_LIVE = sa.text('SELECT count(*) FROM member WHERE topic = :topic AND "group" = :group AND until > :now')
_FORGET = [
    sa.text(f'DELETE FROM {table} WHERE topic = :topic AND "group" = :group')
    for table in ("settled", "parked", "member", "cursor")
]


class Oversight(Reader):
    """The part of the service that looks after the bus."""

    _writer: Writer
    _clock: Clock
    _bus: Bus

    async def topics(self) -> list[TopicView]:
        """The topics that somebody has used, by name."""
        return await self._query(_topics)

    async def create_topic(self, name: str) -> TopicView:
        """See to it that a topic exists, with the partitions that are configured for it.

        Raises:
            UsageError: that is no name, or it exists with other partitions.
        """
        await self._bus.create(name)
        return next(view for view in await self.topics() if view.name == name)

    async def lag(self) -> list[LagView]:
        """How far the groups are behind, by topic and name."""
        return await self._query(lambda connection: _lag(connection, self._clock.now()))

    async def dead_letters(
        self,
        *,
        topic: str | None = None,
        group: str | None = None,
        state: LetterState | None = "dead",
        limit: int = 100,
        offset: int = 0,
    ) -> list[DeadLetterView]:
        """Messages that groups could not handle, newest first."""
        return await self._query(
            lambda connection: letters.views(
                connection, topic=topic, group=group, state=state, limit=limit, offset=offset
            )
        )

    async def dead_letter(self, letter_id: str) -> DeadLetterView:
        """One of them.

        Raises:
            NotFoundError: there is none of that id.
        """
        return await self._query(lambda connection: letters.view(connection, letter_id))

    async def redrive(self, letter_id: str) -> None:
        """Give a dead letter to its group again, with no attempts counted, before what waits of its key.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it was redriven before.
        """
        now = self._clock.now()
        await self._submit(lambda transaction: letters.redrive(transaction, letter_id, now=now))

    async def forget_group(self, topic: str, group: str) -> None:
        """Let nothing wait for a group any more, since it will not come back. Its dead letters stay.

        Raises:
            NotFoundError: the topic has no such group.
            ConflictError: the group has members.
        """
        now = self._clock.now()
        await self._submit(lambda transaction: _forget(transaction, topic, group, now))

    async def _submit(self, work: Callable[[Transaction], None]) -> None:
        await arrival(self._writer.submit(work))


def _topics(connection: Connection) -> list[TopicView]:
    return [
        TopicView(name=name, partitions=partitions, published=published, stored=stored, created_at=moment(created_at))
        for name, partitions, created_at, published, stored in connection.execute(_TOPICS)
    ]


def _lag(connection: Connection, now: int) -> list[LagView]:
    parked, dead = _counts(connection, _PARKED), _counts(connection, _DEAD)
    members = _counts(connection, _MEMBERS, now=now)
    return [
        LagView(
            topic=topic,
            group=group,
            waiting=int(waiting),
            parked=parked.get((topic, group), 0),
            dead=dead.get((topic, group), 0),
            members=members.get((topic, group), 0),
        )
        for topic, group, waiting in connection.execute(_LAG)
    ]


def _counts(connection: Connection, query: Any, **values: Any) -> dict[tuple[str, str], int]:
    found: Any = connection.execute(query, values)
    return {(topic, group): count for topic, group, count in found}


def _forget(transaction: Transaction, topic: str, group: str, now: int) -> None:
    live = transaction.one(_LIVE, topic=topic, group=group, now=now)
    if live is not None and live[0]:
        raise ConflictError(f"group {group!r} of topic {topic!r} has {live[0]} members; stop them first")
    if not sum([transaction.run(statement, topic=topic, group=group) for statement in _FORGET]):
        raise NotFoundError(f"topic {topic!r} has no group {group!r}; `gatewright bus lag` shows those there are")
