"""The thread that owns kafka-python's producer.

Order is kept per partition even when things fail. The client gives a record up only after `DELIVERY_MOST`, and until
then nothing overtakes it; what a caller no longer waits for stays in line. When a record fails after all, the whole
client is given up at once, with everything that waits in it, and a new one is made: else records behind the failed one
would be delivered first, and the failed one, sent again, after them.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

from gatewright.agents.errors import GatewrightError, UnavailableError, UsageError

from .client import KafkaError, TopicPartition, connect, is_refusal, kafka, kafka_errors, murmur2
from .records import Record, UnknownOutcomeError
from .settings import Settings

logger = logging.getLogger(__name__)

BATCH = 256 * 1024  # bytes
LARGEST_RECORD = 1_000_000  # bytes with its headers; brokers take 1,048,588 with the frame unless told otherwise
DELIVERY_MOST = 120_000  # milliseconds after which the client gives a record up
LOOKUP = 1.0  # seconds in which the brokers must know a topic
FORGET = 5.0  # seconds for which an unknown topic is refused without asking again
PAUSE = 0.1  # seconds between attempts to reach a broker
REST = 1.0  # seconds after a refusal in which the brokers are not asked again

_REJECTIONS: tuple[type[Exception], ...] = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.InvalidTopicError,
    ValueError,
    TypeError,
)

_hash = lru_cache(maxsize=65536)(murmur2)  # in pure Python it costs more than the rest of a record


class Submission:
    """Records that one caller sends together. The thread sets `failure`, or the `futures` that hold the outcome."""

    __slots__ = ("records", "count", "size", "era", "waiter", "futures", "failure", "finished")

    def __init__(self, records: Sequence[Record], size: int, era: int, waiter: asyncio.Future[list[Any]]) -> None:
        self.records = records
        self.count = len(records)
        self.size = size
        self.era = era
        self.waiter: asyncio.Future[list[Any]] | None = waiter  # the event loop's; None when nobody waits
        self.futures: list[Any] = []
        self.failure: GatewrightError | None = None
        self.finished = False  # the event loop's


class Sender(threading.Thread):
    """Sends submissions in their order; gives each to `finish` once, or rarely twice, from whichever thread.

    What has been submitted is sent, however long it takes. Each failure of sending begins a new era, and what was
    submitted in an earlier one is not sent any more: its sender could not know that something before it had failed.
    """

    def __init__(self, settings: Settings, finish: Callable[[Submission], None]) -> None:
        super().__init__(name="gatewright-kafka-producer", daemon=True)
        self._settings = settings
        self._finish = finish
        self._queue: queue.SimpleQueue[list[Submission] | None] = queue.SimpleQueue()  # bounded by the caller's room
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._era = 0
        self._client: _Client | None = None
        self._unknown: dict[str, float] = {}  # topics that the brokers did not know, until when
        self._refusal: tuple[float, BaseException] | None = None

    def submit(self, submissions: list[Submission]) -> None:
        """Send these after all that was submitted before."""
        self._queue.put(submissions)

    def stop(self) -> None:
        """End soon, whether or not everything was sent; what is left may not be finished any more."""
        self._stopping.set()
        self._queue.put(None)

    def run(self) -> None:
        """The life of the thread."""
        while (group := self._queue.get()) is not None and not self._stopping.is_set():
            for submission in group:
                self._take(submission)
                submission.records = ()  # the client has the bytes now
        self._end_client()

    def _take(self, submission: Submission) -> None:
        try:
            client = self._connected()
            if submission.era < self._era:
                raise UnavailableError("records that were sent before failed; none of these was sent, send all again")
            lasts = self._append(client, submission, self._numbers(client, submission))
        except GatewrightError as error:
            self._fail(submission, error)
            return
        waiting = set(lasts)
        for last in lasts:
            last.add_callback(partial(self._arrived, submission, waiting, last))
            last.add_errback(partial(self._failed, submission, client))

    def _connected(self) -> _Client:
        """A client that works; waits for one until told to stop.

        Raises:
            UnavailableError: the brokers refuse, or it was told to stop.
        """
        if self._client is not None and self._client.given_up:
            self._end_client()
        while self._client is None:
            if self._stopping.is_set():
                raise UnavailableError("the sender to Kafka is closed; nothing was sent")
            if self._refusal is not None and time.monotonic() < self._refusal[0] + REST:
                self._begin_era()
                raise _refused(self._refusal[1])
            try:
                self._client = _Client(self._settings)
                self._refusal = None
            except Exception as error:
                if is_refusal(error) or not isinstance(error, KafkaError):
                    self._refusal = (time.monotonic(), error)
                else:
                    logger.warning("no broker of Kafka answers at %s: %s", ",".join(self._settings.servers), error)
                    self._stopping.wait(PAUSE)
        return self._client

    def _numbers(self, client: _Client, submission: Submission) -> list[int | None]:
        """The partitions of the records; None where any will do.

        Afterwards the client knows their topics, for which it would wait while it holds up all others.
        """
        numbers: list[int | None] = []
        for record in submission.records:
            partitions = client.partitions.get(record.topic) or self._look_up(client, record.topic)
            number = record.partition
            if number is None and record.key is not None:  # as Kafka's usual partitioner
                number = partitions[(_hash(record.key) & 0x7FFFFFFF) % len(partitions)]
            elif number is not None and not 0 <= number < len(partitions):
                raise UsageError(f"{record.topic!r} has {len(partitions)} partitions; there is none of number {number}")
            numbers.append(number)
        return numbers

    def _look_up(self, client: _Client, topic: str) -> list[int]:
        if time.monotonic() < self._unknown.get(topic, 0.0):
            raise _no_topic(topic)
        try:
            found = client.partitions[topic] = sorted(client.producer.partitions_for(topic) or ())
        except kafka_errors.TopicAuthorizationFailedError as error:
            raise _explained(error, self._settings.user) from error
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{topic!r} is no name of a topic; use at most 249 of a-z, A-Z, 0-9, '.', '_', '-'"
            ) from error
        except KafkaError as error:
            if is_refusal(error):
                raise _refused(error) from error
            self._unknown = {name: until for name, until in self._unknown.items() if time.monotonic() < until}
            self._unknown[topic] = time.monotonic() + FORGET
            raise _no_topic(topic) from error
        if not found:
            del client.partitions[topic]
            raise _no_topic(topic)
        return found

    def _append(self, client: _Client, submission: Submission, numbers: Sequence[int | None]) -> list[Any]:
        """Hand the records to the client; gives the last future of each partition.

        A partition's records are acknowledged in their order, so its last one speaks for all before it. Where the
        client chooses the partition, each speaks for itself.
        """
        lasts: dict[Any, Any] = {}
        try:
            submission.futures = client.append(submission.records, numbers)
        except Exception as error:
            self._break(client)
            raise _explained(error, self._settings.user) from error
        for record, number, future in zip(submission.records, numbers, submission.futures, strict=True):
            lasts[future if number is None else (record.topic, number)] = future
        return list(lasts.values())

    def _arrived(self, submission: Submission, waiting: set[Any], last: Any, _: Any) -> None:
        waiting.discard(last)
        if not waiting:
            self._finish(submission)

    def _failed(self, submission: Submission, client: _Client, error: BaseException) -> None:
        """On the client's own thread, before it can send what is behind the failed record."""
        self._break(client)
        self._fail(submission, _explained(error, self._settings.user))

    def _fail(self, submission: Submission, error: GatewrightError) -> None:
        if submission.failure is None:
            submission.era = self._era
            submission.failure = error
        self._finish(submission)

    def _break(self, client: _Client) -> None:
        with self._lock:
            if not client.given_up:
                client.give_up()
                self._era += 1

    def _begin_era(self) -> None:
        with self._lock:
            self._era += 1

    def _end_client(self) -> None:
        if self._client is not None:
            self._client.end()
            self._client = None


class _Client:
    """A kafka-python producer and what must be known of it."""

    def __init__(self, settings: Settings) -> None:
        self.producer = connect(
            kafka.KafkaProducer,
            **settings.client_options(),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,  # what goes together is handed over together
            batch_size=BATCH,
            max_block_ms=int(LOOKUP * 1000),
            delivery_timeout_ms=DELIVERY_MOST,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        self.given_up = False
        self.partitions: dict[str, list[int]] = {}  # of the topics that it knows

    def append(self, records: Sequence[Record], numbers: Sequence[int | None]) -> list[Any]:
        """Hand records to the client; gives their futures.

        `send` is the public way, and takes twice as long: it asks about each record again what is known of all of them,
        and wakes the client's thread for each partition, which then begins with a request for the first one alone.
        """
        futures: list[Any] = []
        append, send, wake = self.producer._accumulator.append, self.producer.send, False
        for (topic, key, value, headers, _, timestamp), number in zip(records, numbers, strict=True):
            if number is None:
                futures.append(send(topic, value, key, list(headers), None, timestamp))
                continue
            future, full, new, _ = append(TopicPartition(topic, number), timestamp, key, value, headers)
            futures.append(future)
            wake = wake or full or new
        if wake:
            self.producer._sender.wakeup()
        return futures

    def give_up(self) -> None:
        """Fail all that waits in the client, from any thread, without waiting for it.

        There is no public way: `close(timeout)` raises while a broker is away, and leaves every future unresolved.
        """
        self.given_up = True
        self.producer._sender.force_close()

    def end(self) -> None:
        """Give up, wait for the client's thread and free what it holds."""
        self.give_up()
        self.producer._sender.join()
        with suppress(KafkaError):
            self.producer.close(timeout=0)


def _no_topic(topic: str) -> UnavailableError:
    return UnavailableError(
        f"the brokers of Kafka do not know the topic {topic!r}, or none answered; nothing was sent. Create the topic "
        "with the number of partitions it is to have"
    )


def _refused(error: BaseException) -> UnavailableError:
    return UnavailableError(f"Kafka refuses the connection ({error}); nothing was sent, check the settings of the bus")


def _explained(error: BaseException, user: str) -> GatewrightError:
    if isinstance(error, kafka_errors.TopicAuthorizationFailedError):
        return UsageError(
            f"Kafka does not let {user} write to the topic {_topics(error)}; allow it the operations WRITE and "
            "DESCRIBE there, and send the record again"
        )
    if isinstance(error, _REJECTIONS):
        return UsageError(f"Kafka rejects a record ({error}); it will never take it as it is")
    return UnknownOutcomeError(f"Kafka gave records up ({error}); whether they arrived is unknown, send them again")


def _topics(error: BaseException) -> str:
    """The topics that an error of access is about, as kafka-python gives them: a name or several."""
    found = error.args[0] if error.args else ""
    return ", ".join(repr(name) for name in ([found] if isinstance(found, str) else sorted(found)))
