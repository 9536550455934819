"""The thread that owns kafka-python's consumer.

Nothing here waits for the event loop except a revocation, and that for a bounded time. Partitions that were assigned
are paused until their position has come, so that nothing of them is delivered from anywhere else; partitions whose
records are not released in time are paused too, while polling goes on and keeps the membership.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from gatewright.agents.errors import GatewrightError, UnavailableError

from .client import (
    CooperativeStickyAssignor,
    KafkaError,
    MemberState,
    OffsetAndMetadata,
    RebalanceListener,
    TopicPartition,
    connect,
    is_refusal,
    kafka,
    kafka_errors,
)
from .records import Batch, Partition
from .settings import Settings
from .shares import Share, unpacked

logger = logging.getLogger(__name__)

Reset = Literal["earliest", "latest", "error"]
"""Where to begin without a stored position, or with one that is not there any more; `error` ends the consumer."""

SLICE = 200  # milliseconds of a poll; there is no way to interrupt one
JOIN_SLICE = 1000  # milliseconds while the group is dividing its partitions anew
SHORT_SLICE = 20  # milliseconds while some partition waits for room or for its position
NAP = 0.05  # seconds between polls while all do; what they wait for ends it
BEAT = 5  # milliseconds that a heartbeat that is due may take to be sent
LARGEST_BATCH = 1000  # records
FETCH_WAIT = 100  # milliseconds; a partition that is resumed waits behind the fetch that is under way
FETCH_MOST = 4 * 1024 * 1024  # bytes
HELD_MOST = 16 * 1024 * 1024  # bytes that were delivered of all partitions and not released; a fetch may exceed it
EVERYTHING = sys.maxsize
"""Records of a poll: all that was fetched.

What a poll leaves of a partition that is paused then, kafka-python 3.0 may never give after it is resumed (`Fetcher`
takes back what it laid aside only while it holds no records at all, and it takes an emptied holder for records).
"""
METADATA_AGE = 30_000  # milliseconds after which topics and partitions that were made meanwhile are seen
COMMIT_INTERVAL = 1.0  # seconds
LEAVE_MOST = 2000  # milliseconds
SILENCE = 10.0  # seconds without a broker after which it is said
PAUSE = 0.1  # seconds after an error that passes
REST = 1.0  # seconds after one that ended the client


class Assigned(NamedTuple):
    """Partitions that are ours now, each with its epoch; they wait for `Poller.place`."""

    epochs: dict[Partition, int]


class Revoked(NamedTuple):
    """Partitions that are not ours any more. Others get them when `heard` is set, or a little later anyway."""

    partitions: list[Partition]
    heard: threading.Event


class Ended(NamedTuple):
    """The last letter; with the reason if nobody asked for the end."""

    error: GatewrightError | None


Letter = Assigned | Revoked | Batch | Ended


class Poller(threading.Thread):
    """A member of a group. Gives letters to `post`, in their order, and takes `place`, `release` and `stop`."""

    def __init__(
        self,
        settings: Settings,
        post: Callable[[Letter], None],
        *,
        group: str,
        topics: Sequence[str],
        records: int,
        size: int,
        reset: Reset,
        session: float,
    ) -> None:
        super().__init__(name=f"gatewright-kafka-consumer-{group}", daemon=True)
        self._settings, self._post = settings, post
        self._group, self._topics = group, list(topics)
        self._most = (records, size)
        self._reset: Reset = reset
        self._session = session
        self._heard, self._silent = time.monotonic(), False
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._placements: dict[Partition, tuple[int, int | None]] = {}
        self._releases: dict[Partition, tuple[int, int]] = {}
        self._shares: dict[Partition, Share] = {}
        self._epoch = 0
        self._done: dict[Partition, int] = {}  # to be committed
        self._commit_at = 0.0
        self._choked = False  # whether all partitions wait, for too much is held of them together
        self._overdue = False  # whether a heartbeat was due at the last poll and had not been sent

    def place(self, positions: dict[Partition, tuple[int, int | None]]) -> None:
        """Begin partitions, by (epoch, offset), at an offset, or None where the topic's policy says."""
        with self._lock:
            self._placements.update(positions)
        self._wake.set()

    def release(self, partition: Partition, epoch: int, following: int) -> None:
        """All records before an offset are done."""
        with self._lock:
            self._releases[partition] = (epoch, following)
        if not self._wake.is_set():  # it is cleared before releases are taken
            self._wake.set()

    def stop(self) -> None:
        """Leave the group and end."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """The life of the thread."""
        reason: GatewrightError | None = None
        try:
            while not self._stopping.is_set():
                self._live()
        except GatewrightError as error:
            reason = error
        finally:
            self._post(Ended(reason))

    def _live(self) -> None:
        """One client, from its connection to its end."""
        try:
            client = self._connect()
        except Exception as error:
            if is_refusal(error) or not isinstance(error, KafkaError):
                raise UnavailableError(
                    f"Kafka refuses the connection: {error}; check the settings of the bus"
                ) from error
            logger.warning("no broker of Kafka answers at %s: %s", ",".join(self._settings.servers), error)
            self._stopping.wait(PAUSE)
            return
        try:
            client.subscribe(topics=self._topics, listener=_Listener(self, client))
            while not self._stopping.is_set():
                self._turn(client)
            self._commit_all(client)
        except GatewrightError:
            raise
        except Exception:
            logger.exception("kafka-python's consumer of the group %r failed; a new one is made", self._group)
            self._stopping.wait(REST)
        finally:
            with suppress(Exception):
                client.close(autocommit=False, timeout_ms=LEAVE_MOST)
            self.revoke(list(self._shares))

    def _connect(self) -> Any:
        return connect(
            kafka.KafkaConsumer,
            **self._settings.client_options(),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # the policy is ours: kafka-python would skip what was deleted without a word
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=int(self._session * 1000),
            heartbeat_interval_ms=int(self._session * 1000 / 4),
            max_poll_interval_ms=max(60_000, int(self._session * 1000)),
            fetch_max_wait_ms=FETCH_WAIT,
            fetch_max_bytes=FETCH_MOST,
            metadata_max_age_ms=METADATA_AGE,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def _turn(self, client: Any) -> None:
        self._wake.clear()
        self._listen(client)
        self._obey(client)
        self._choke(client)
        if joining := client.group_metadata().state == MemberState.REBALANCING:
            # kafka-python forgets a join that outlasts a poll if metadata were its reason: the member would have no
            # partitions and send no heartbeats for ever. It begins others again if it may not wait for their end.
            client._coordinator.request_rejoin()
        waiting = sum(share.full or not share.placed or self._choked for share in self._shares.values())
        beat = client._coordinator.time_to_next_poll()
        stuck, self._overdue = self._overdue and beat <= 0, beat <= 0
        idle = not joining and (stuck or bool(waiting and waiting == len(self._shares)))
        slice_ = JOIN_SLICE if joining else 1 if idle else SHORT_SLICE if waiting or self._overdue else SLICE
        if 0 < beat < slice_ / 1000:
            slice_ = int(beat * 1000) + BEAT
        try:
            # All that was fetched. While a heartbeat that is due is not sent, for the one before it has no answer,
            # kafka-python's `poll` does not sleep: its rounds keep all threads from running, and each of them leaves
            # something in memory with the fetch that is under way. So no poll lasts beyond the next heartbeat.
            polled: Mapping[Any, list[Any]] = client.poll(timeout_ms=slice_, max_records=EVERYTHING)
        except kafka_errors.OffsetOutOfRangeError as error:
            self._move(client, {partition: None for partition in error.args[0]}, error)
            return
        except kafka_errors.LogTruncationError as error:
            self._move(client, error.divergent_offsets, error)
            return
        except KafkaError as error:
            self._judge(error)
            return
        for partition, records in polled.items():
            self._deliver(client, partition, records)
        self._commit(client)
        if idle and not polled:
            self._wake.wait(NAP)

    def _listen(self, client: Any) -> None:
        """Say that brokers are away, and that they are back, which kafka-python keeps to itself."""
        servers, now = ",".join(self._settings.servers), time.monotonic()
        if not client._coordinator.coordinator_unknown():
            if self._silent:
                logger.warning("Kafka answers the group %r at %s again", self._group, servers)
            self._heard, self._silent = now, False
        elif not self._silent and now - self._heard >= SILENCE:
            self._silent = True
            logger.warning(
                "no broker of Kafka answers the group %r at %s; it reads on when one does", self._group, servers
            )

    def _judge(self, error: Exception) -> None:
        if isinstance(error, kafka_errors.AuthorizationError):
            raise UnavailableError(
                f"the group {self._group!r} cannot go on reading from Kafka: {error}; allow {self._settings.user} "
                f"the operations READ and DESCRIBE on {', '.join(map(repr, self._topics))}, and READ on the group"
            ) from error
        if is_refusal(error) or isinstance(error, kafka_errors.CorruptRecordError):
            raise UnavailableError(f"the group {self._group!r} cannot go on reading from Kafka: {error}") from error
        if not isinstance(error, kafka_errors.RetriableError):
            raise error
        logger.warning("reading from Kafka as %r: %s; trying again", self._group, error)
        self._stopping.wait(PAUSE)

    def _obey(self, client: Any) -> None:
        with self._lock:
            placements, self._placements = self._placements, {}
            releases, self._releases = self._releases, {}
        for partition, (epoch, offset) in placements.items():
            share = self._shares.get(partition)
            if share is not None and share.epoch == epoch:
                self._seek(client, partition, offset)
                share.placed = True
                if not self._choked:
                    client.resume(TopicPartition(*partition))
        for partition, (epoch, following) in releases.items():
            share = self._shares.get(partition)
            if share is not None and share.epoch == epoch:
                self._done[partition] = following
                if share.free(following) and not self._choked:
                    client.resume(TopicPartition(*partition))

    def _choke(self, client: Any) -> None:
        """Let nothing more come while too much is held of all partitions together."""
        held = sum(share.size for share in self._shares.values())
        if not self._choked and held >= HELD_MOST:
            self._choked = True
            client.pause(*(TopicPartition(*partition) for partition in self._shares))
        elif self._choked and held <= HELD_MOST // 2:
            self._choked = False
            ready = (partition for partition, share in self._shares.items() if share.placed and not share.full)
            client.resume(*(TopicPartition(*partition) for partition in ready))

    def _seek(self, client: Any, partition: Partition, offset: int | None) -> None:
        if offset is not None:
            client.seek(TopicPartition(*partition), offset)
        elif self._reset == "earliest":
            client.seek_to_beginning(TopicPartition(*partition))
        elif self._reset == "latest":
            client.seek_to_end(TopicPartition(*partition))
        else:
            raise UnavailableError(
                f"there is no position of {partition.topic!r}, partition {partition.number}, to read on from; store "
                "one, or say whether to begin with the earliest or the latest record"
            )

    def _move(self, client: Any, offsets: dict[Any, Any], error: Exception) -> None:
        """Go on after records that were to be read next are not there."""
        for found, known in offsets.items():
            partition = Partition(*found)
            if self._reset == "error":
                raise UnavailableError(
                    f"what the group {self._group!r} was to read next of {partition.topic!r}, partition "
                    f"{partition.number}, is not there any more ({error}); records may be lost, store another position"
                ) from error
            logger.error(
                "records of %r, partition %d, that the group %r was to read next are not there any more (%s); "
                "going on at the %s",
                *partition,
                self._group,
                error,
                self._reset if known is None else f"offset {known.offset}",
            )
            if partition in self._shares:
                self._seek(client, partition, None if known is None else known.offset)

    def _deliver(self, client: Any, found: Any, records: list[Any]) -> None:
        share = self._shares.get(partition := Partition(*found))
        if share is None or not share.placed:
            return
        for start in range(0, len(records), LARGEST_BATCH):
            received, size = unpacked(records[start : start + LARGEST_BATCH])
            batch = Batch(partition, share.epoch, received)
            if share.hold(batch, size):
                client.pause(found)
            self._post(batch)

    def _commit(self, client: Any) -> None:
        """Tell Kafka how far we are: only for whoever displays the lag, so a failure does not matter."""
        if self._done and time.monotonic() >= self._commit_at:
            self._commit_at = time.monotonic() + COMMIT_INTERVAL
            done, self._done = self._done, {}
            client.commit_async(_offsets(done))

    def _commit_all(self, client: Any) -> None:
        self._obey(client)
        if self._done:
            with suppress(KafkaError):
                client.commit(_offsets(self._done), timeout_ms=LEAVE_MOST)

    def assign(self, client: Any, partitions: Iterable[Any]) -> None:
        """Called by the client on its own thread while ours waits in `poll`."""
        epochs: dict[Partition, int] = {}
        for found in partitions:
            self._epoch += 1
            client.seek(found, 0)  # any position, or the client would look up the committed one
            client.pause(found)
            epochs[Partition(*found)] = self._epoch
            self._shares[Partition(*found)] = Share(self._epoch, *self._most)
        self._post(Assigned(epochs))

    def revoke(self, partitions: Iterable[Any]) -> None:
        """As `assign`; waits until the owner has let go, for a third of a session at most."""
        ours = [Partition(*found) for found in partitions if self._shares.pop(Partition(*found), None) is not None]
        for partition in ours:
            self._done.pop(partition, None)
        if ours:
            heard = threading.Event()
            self._post(Revoked(ours, heard))
            heard.wait(self._session / 3)


class _Listener(RebalanceListener):  # type: ignore[misc]  # kafka-python has no annotations
    def __init__(self, poller: Poller, client: Any) -> None:
        self._poller, self._client = poller, client

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._poller.assign(self._client, assigned)

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._poller.revoke(revoked)


def _offsets(done: dict[Partition, int]) -> dict[Any, Any]:
    return {TopicPartition(*partition): OffsetAndMetadata(offset, "", -1) for partition, offset in done.items()}
