"""What goes into Kafka and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gatewright.agents.errors import UnavailableError


class UnknownOutcomeError(UnavailableError):
    """Records were handed to Kafka and it is not known whether they are in it, or will be.

    Send them again, all of them and in their order, with the ids they have: whoever reads them must drop repetitions.
    """


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


class Position(NamedTuple):
    """Where an acknowledged record is."""

    topic: str
    partition: int
    offset: int


class Record(NamedTuple):
    """A record to be sent.

    With neither `partition` nor `key` any partition may get it; with a `key` alone, the partition is Kafka's usual
    hash (murmur2) of the key. `timestamp` is in milliseconds since 1970, UTC; None is the time of sending.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp: int | None = None


class Received(NamedTuple):
    """A record that was read. `timestamp` is in milliseconds since 1970, UTC; `value` None deletes its key."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


class Batch(NamedTuple):
    """Records of one partition in the order of their offsets, at least one.

    `epoch` counts the times that partitions were assigned to this member: batches of the same partition with another
    epoch belong to another tenancy.
    """

    partition: Partition
    epoch: int
    records: list[Received]

    @property
    def following(self) -> int:
        """The offset after the last record: the position to store when all of them are done."""
        return self.records[-1].offset + 1
