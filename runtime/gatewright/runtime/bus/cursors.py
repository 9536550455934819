"""Consumer groups in the database: who has which partition until when, and how far the group is.

A partition belongs to one member at a time, by a lease. Every claim raises its epoch, and whatever a member writes for
it begins with `fence`, which finds the row only under the member's name and epoch: one that was stopped for longer than
its lease, and goes on, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import sqlalchemy as sa

from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction

Start = Literal["earliest", "latest"]

_CURSOR = schema.Cursor.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_HEAD = schema.Head.__table__  # type: ignore[attr-defined]
_PARKED = schema.Parked.__table__  # type: ignore[attr-defined]
_SETTLED = schema.Settled.__table__  # type: ignore[attr-defined]

_JOIN = {
    "earliest": 'coalesce((SELECT min(m."offset") FROM message m WHERE m.topic = head.topic AND m."partition" = '
    'head."partition"), head.next)',
    "latest": "head.next",
}
_SINCE = {
    "earliest": "0",
    "latest": "coalesce((SELECT m.number FROM message m WHERE m.topic = head.topic "
    'AND m."partition" = head."partition" ORDER BY m.number DESC LIMIT 1), 0)',
}
_BEGIN = {
    start: sa.text(
        'INSERT INTO cursor (topic, "group", "partition", position, since, holder, epoch, until, reached, deaths) '
        f'SELECT head.topic, :group, head."partition", {position}, {_SINCE[start]}, NULL, 0, 0, 0, 0 FROM head '
        "WHERE head.topic = :topic ON CONFLICT DO NOTHING"
    )
    for start, position in _JOIN.items()
}
_ATTEND = sa.text(
    'INSERT INTO member (topic, "group", name, until) VALUES (:topic, :group, :member, :until) '
    'ON CONFLICT (topic, "group", name) DO UPDATE SET until = excluded.until'
)
_MEMBERS = sa.text('SELECT count(*) FROM member WHERE topic = :topic AND "group" = :group AND until > :now')
_ABSENT = sa.text('DELETE FROM member WHERE topic = :topic AND "group" = :group AND (name = :member OR until <= :now)')
_RENEW = sa.text(
    'UPDATE cursor SET until = :until WHERE topic = :topic AND "group" = :group AND holder = :member '
    'RETURNING "partition", epoch'
)
_UNREAD = sa.exists().where(
    _HEAD.c.topic == _CURSOR.c.topic, _HEAD.c.partition == _CURSOR.c.partition, _HEAD.c.next > _CURSOR.c.position
)
_OVERDUE = sa.exists().where(
    _PARKED.c.topic == _CURSOR.c.topic,
    _PARKED.c.group == _CURSOR.c.group,
    _PARKED.c.partition == _CURSOR.c.partition,
    _PARKED.c.due_at <= sa.bindparam("now", type_=sa.BigInteger),
)
_FREE = (
    sa.select(
        _CURSOR.c.partition,
        _CURSOR.c.position,
        _CURSOR.c.since,
        _CURSOR.c.holder,
        _CURSOR.c.reached,
        _CURSOR.c.deaths,
        sa.or_(_UNREAD, _OVERDUE),
    )
    .where(
        _CURSOR.c.topic == sa.bindparam("of"),
        _CURSOR.c.group == sa.bindparam("by"),
        sa.or_(_CURSOR.c.holder.is_(None), _CURSOR.c.until <= sa.bindparam("now", type_=sa.BigInteger)),
    )
    .order_by(_CURSOR.c.partition)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_CLAIM = sa.text(
    "UPDATE cursor SET holder = :member, epoch = epoch + 1, until = :until, reached = position, deaths = :deaths "
    'WHERE topic = :topic AND "group" = :group AND "partition" = :part RETURNING epoch'
)
_RELEASE = sa.text(
    "UPDATE cursor SET holder = NULL, until = 0 "
    'WHERE topic = :topic AND "group" = :group AND holder = :member AND "partition" = :part AND epoch = :epoch'
)
_LEAVE = sa.text(
    'UPDATE cursor SET holder = NULL, until = 0 WHERE topic = :topic AND "group" = :group AND holder = :member'
)
_FORGIVE = sa.text(
    'UPDATE cursor SET deaths = 0 WHERE topic = :topic AND "group" = :group AND holder = :member '
    'AND "partition" = :part AND epoch = :epoch'
)
_STORE = sa.insert(_SETTLED)
_CLEAR = sa.text(
    'DELETE FROM settled WHERE topic = :topic AND "group" = :group AND "partition" = :part AND "offset" < :position'
)
_STORED = sa.text(
    'SELECT "offset" FROM settled WHERE topic = :topic AND "group" = :group AND "partition" = :part '
    'AND "offset" >= :position'
)
_ORPHAN = sa.text("UPDATE cursor SET until = 0 WHERE holder IS NOT NULL")
_EMPTY = sa.text("DELETE FROM member WHERE until > 0")


_FENCE = sa.text(
    'UPDATE cursor SET position = :position, since = :since WHERE topic = :topic AND "group" = :group '
    'AND "partition" = :part AND epoch = :epoch AND holder = :member'
)
_MINE = sa.text('SELECT "partition", epoch FROM cursor WHERE topic = :topic AND "group" = :group AND holder = :member')


class Claim(NamedTuple):
    """A partition that this member has got: `deaths` holders before it died there in a row, over something unsettled;
    `settled` is what the group has settled ahead of the position."""

    partition: int
    position: int
    since: int
    epoch: int
    deaths: int
    settled: frozenset[int]


class Attendance(NamedTuple):
    """What a member has after it has shown itself: `held` partitions by epoch, of which `share` are due to it."""

    held: dict[int, int]
    claims: list[Claim]
    share: int


class Stand(NamedTuple):
    """How far a holder is in a partition."""

    partition: int
    epoch: int
    position: int
    since: int


class Group:
    """A consumer group as one of its members sees it. Every method is part of an operation of the writer."""

    def __init__(self, topic: str, name: str, member: str) -> None:
        self.topic = topic
        self.name = name
        self.member = member
        self._who = {"topic": topic, "group": name}
        self._me = {**self._who, "member": member}

    def begin(self, transaction: Transaction, start: Start) -> None:
        """See to it that the group exists; `start` says where a new one begins."""
        transaction.run(_BEGIN[start], **self._who)

    def attend(
        self, transaction: Transaction, known: Mapping[int, int], *, partitions: int, now: int, until: int
    ) -> Attendance:
        """Renew what is held, and claim what is free up to a fair share. Times are in microseconds.

        Args:
            known: the partitions that the member believes to hold, with their epochs; what else is held in its name it
                has forgotten after an error, and it is free to be claimed.
        """
        transaction.run(_ATTEND, **self._me, until=until)
        members = transaction.one(_MEMBERS, **self._who, now=now)
        assert members is not None
        share = -(-partitions // max(1, members[0]))
        renewed: dict[int, int] = dict(transaction.all(_RENEW, **self._me, until=until))
        held = {part: epoch for part, epoch in renewed.items() if known.get(part) == epoch}
        self.release(transaction, {part: epoch for part, epoch in renewed.items() if part not in held})
        claims: list[Claim] = []
        if len(held) < share:
            free = transaction.all(_FREE, of=self.topic, by=self.name, now=now, most=share - len(held))
            claims = [self._claim(transaction, *row, until=until) for row in free]
        return Attendance(held, claims, share)

    def _claim(
        self,
        transaction: Transaction,
        part: int,
        position: int,
        since: int,
        holder: str | None,
        reached: int,
        deaths: int,
        unsettled: bool,
        *,
        until: int,
    ) -> Claim:
        if not unsettled:  # whatever ended the holder before, it was no message
            deaths = 0
        elif holder is not None:  # it did not hand the partition back
            deaths = 1 if position > reached else deaths + 1
        claimed = transaction.one(_CLAIM, **self._me, part=part, until=until, deaths=deaths)
        assert claimed is not None, "the row is locked"
        settled = transaction.all(_STORED, **self._who, part=part, position=position)
        return Claim(part, position, since, claimed[0], deaths, frozenset(offset for (offset,) in settled))

    def fence(self, transaction: Transaction, stands: Sequence[Stand]) -> set[int]:
        """Bring the group's positions up to these; gives the partitions that still are this member's.

        For the others nothing may be written.
        """
        changed = transaction.each(
            _FENCE,
            [
                (stand.position, stand.since, self.topic, self.name, stand.partition, stand.epoch, self.member)
                for stand in stands
            ],
        )
        if changed == len(stands):
            return {stand.partition for stand in stands}
        mine = set(transaction.all(_MINE, **self._me))
        return {stand.partition for stand in stands if (stand.partition, stand.epoch) in mine}

    def store(self, transaction: Transaction, ahead: Iterable[tuple[int, int]]) -> None:
        """Note messages (partition, offset) as settled that are ahead of the position."""
        transaction.many(_STORE, [(self.topic, self.name, part, offset) for part, offset in ahead])

    def clear(self, transaction: Transaction, passed: Iterable[tuple[int, int]]) -> None:
        """Forget what was noted of partitions up to a position that has passed it."""
        for part, position in passed:
            transaction.run(_CLEAR, **self._who, part=part, position=position)

    def forgive(self, transaction: Transaction, part: int, epoch: int) -> None:
        """Forget the deaths of earlier holders: the messages that may have caused them are settled."""
        transaction.run(_FORGIVE, **self._me, part=part, epoch=epoch)

    def release(self, transaction: Transaction, held: Mapping[int, int]) -> None:
        """Hand partitions (with their epochs) back."""
        for part, epoch in held.items():
            transaction.run(_RELEASE, **self._me, part=part, epoch=epoch)

    def leave(self, transaction: Transaction, *, now: int) -> None:
        """Hand everything back, and be a member no more."""
        transaction.run(_LEAVE, **self._me)
        transaction.run(_ABSENT, **self._me, now=now)


def take_over(transaction: Transaction) -> None:
    """Let every lease be over: nobody else works on this database, so whoever held one is dead."""
    transaction.run(_ORPHAN)
    transaction.run(_EMPTY)
