"""Settling: what handlers came to, written for a whole batch of messages with one operation, behind one fence."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store.writer import Transaction

from . import letters, parking
from .cursors import Group, Stand
from .deliveries import Delivery
from .holdings import Holding, Lane
from .letters import Letter
from .log import Entry, Log
from .parking import Parked


class Redriven(NamedTuple):
    """A dead letter on its way back, by its number."""

    number: int
    parked: Parked


class Published(NamedTuple):
    """A message that is published if its partition is still held."""

    partition: int
    entry: Entry


class Postponed(NamedTuple):
    """A parked message whose next attempt is `due` (microseconds)."""

    partition: int
    offset: int
    due: int


@dataclass(kw_only=True)
class Batch:
    """What has happened since the last one. Everything of a partition is written, or nothing.

    `outcomes` are the parked messages of which it says what came of their attempts.
    """

    holdings: dict[int, Holding] = field(default_factory=dict)
    parked: list[Parked] = field(default_factory=list)
    redriven: list[Redriven] = field(default_factory=list)
    postponed: list[Postponed] = field(default_factory=list)
    dropped: list[tuple[int, int]] = field(default_factory=list)
    outcomes: list[Delivery] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    advanced: list[Lane] = field(default_factory=list)
    urgent: bool = False

    def forget(self, part: int) -> None:
        """Leave a partition out, and all that was noted of it: it may be claimed anew before the batch is written."""
        del self.holdings[part]
        self.parked = [entry for entry in self.parked if entry.partition != part]
        self.redriven = [redriven for redriven in self.redriven if redriven.parked.partition != part]
        self.postponed = [postponed for postponed in self.postponed if postponed.partition != part]
        self.dropped = [place for place in self.dropped if place[0] != part]
        self.outcomes = [delivery for delivery in self.outcomes if delivery.partition != part]
        self.letters = [letter for letter in self.letters if letter.partition != part]
        self.published = [published for published in self.published if published.partition != part]
        self.advanced = [lane for lane in self.advanced if lane.holding.partition != part]

    def stands(self) -> list[Stand]:
        """Where the group is in the partitions concerned."""
        return [holding.stand() for holding in self.holdings.values()]


class Notes(NamedTuple):
    """What the database is to note, and to forget, of messages that are settled ahead of the position."""

    ahead: list[tuple[int, int]]
    passed: list[tuple[int, int]]

    @classmethod
    def take(cls, holdings: Sequence[Holding]) -> Notes:
        """What has changed since the last time; it counts as noted from now on."""
        ahead: list[tuple[int, int]] = []
        passed: list[tuple[int, int]] = []
        for holding in holdings:
            if holding.ahead or holding.stored:
                stored = {offset for offset in holding.stored if offset >= holding.position}
                if len(stored) != len(holding.stored):
                    passed.append((holding.partition, holding.position))
                ahead += [(holding.partition, offset) for offset in holding.ahead - stored]
                holding.stored = stored | holding.ahead
        return cls(ahead, passed)


class Settled(NamedTuple):
    """The partitions that were still held, and which message of a key is the next one, by partition and key."""

    held: set[int]
    next: dict[tuple[int, str], Parked | None]


class Refusal(Exception):
    """An operation was undone by what it was to do; nothing else was to be built on it."""


class Chain:
    """Operations of one member that build on each other: when one has failed, those after it are refused.

    What is in memory assumes that they all happen. All of it happens in the writer's thread, in order.
    """

    def __init__(self) -> None:
        self._done = 0
        self._given = 0
        self.broken = False

    def link(self) -> int:
        """A number for the next operation."""
        self._given += 1
        return self._given

    def begin(self, number: int) -> None:
        """Called where the operation begins; it may begin again, after a rollback."""
        if self.broken or self._done < number - 1:
            raise UnavailableError("an earlier change to the same partitions was not written")
        self._done = number - 1

    def end(self, number: int) -> None:
        """Called where it ends as it may."""
        self._done = number

    def watch(self, done: Future[Any]) -> None:
        """Called when it is durable, or has failed: the operations after it are refused then."""
        error = done.exception()
        if error is not None and not isinstance(error, Refusal):
            self.broken = True


def settle(
    transaction: Transaction, *, log: Log, group: Group, batch: Batch, stands: Sequence[Stand], notes: Notes, now: int
) -> Settled:
    """Write a batch, apart from what is of partitions that somebody else holds by now."""
    held = group.fence(transaction, stands)
    group.store(transaction, [note for note in notes.ahead if note[0] in held])
    group.clear(transaction, [note for note in notes.passed if note[0] in held])
    for part, offset in batch.dropped:
        if part in held:
            parking.drop(transaction, group, part, offset)
    for part, offset, due in batch.postponed:
        if part in held:
            parking.postpone(transaction, group, part, offset, due)
    parked = [entry for entry in batch.parked if entry.partition in held]
    for number, entry in batch.redriven:
        if entry.partition in held and letters.take(transaction, number):
            parked.append(entry)
    parking.park(transaction, group, parked)
    letters.add(transaction, group, [letter for letter in batch.letters if letter.partition in held], now=now)
    entries = [published.entry for published in batch.published if published.partition in held]
    if entries:
        log.put(transaction, entries)
    following: dict[tuple[int, str], Parked | None] = {}
    for lane in batch.advanced:
        part, key = lane.holding.partition, lane.key
        if part in held and key is not None:
            following[part, key] = parking.advance(transaction, group, part, key, now)
    return Settled(held, following)
