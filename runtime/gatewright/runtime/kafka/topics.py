"""Topics: made, looked at, and how far their readers are behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from gatewright.agents.errors import ConflictError, NotFoundError, UnavailableError, UsageError

from .client import KafkaError, OffsetSpec, TopicPartition, connect, is_refusal, kafka, kafka_errors
from .records import Partition
from .settings import Settings

T = TypeVar("T")

PAUSE = 0.1  # seconds between attempts
REPLICATION_OF_BROKER = -1  # the broker's own default


class Description(NamedTuple):
    """A topic as the brokers have it. `replication` is the smallest number of replicas of its partitions."""

    name: str
    partitions: int
    replication: int


class Topics:
    """The care of topics. Deadlines are moments of `time.monotonic()`; calls wait for each other.

    Every call raises UnavailableError when the brokers have not answered by its deadline, or refuse.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gatewright-kafka-topics")
        self._client: Any = None
        self._closed = False

    async def create(
        self,
        name: str,
        *,
        partitions: int,
        deadline: float,
        replication: int = REPLICATION_OF_BROKER,
        configs: Mapping[str, str] | None = None,
    ) -> bool:
        """See to it that a topic exists; gives whether it was made now. Of one that exists nothing is changed.

        Raises:
            UsageError: the name, a number or a configuration is not what Kafka takes.
            ConflictError: it exists with another number of partitions. With another number its keys would be in other
                partitions and their order would be lost: make another topic.
        """
        wish: dict[str, Any] = {"num_partitions": partitions, "replication_factor": replication}
        if configs:
            wish["configs"] = dict(configs)

        def make(client: Any) -> bool:
            try:
                client.create_topics({name: wish}, timeout_ms=_left(deadline))
            except kafka_errors.TopicAlreadyExistsError:
                return False
            except kafka_errors.TopicAuthorizationFailedError as error:  # it may be there already
                try:
                    _described(name, client.describe_topics([name])[0])
                except (NotFoundError, KafkaError, IndexError):
                    raise UsageError(
                        f"Kafka does not let {self._settings.user} make the topic {name!r}, and shows none of that "
                        f"name: {error}; make it and allow the operations DESCRIBE, READ and WRITE there, or allow "
                        "CREATE too"
                    ) from error
                return False
            except (
                kafka_errors.InvalidTopicError,
                kafka_errors.InvalidPartitionsError,
                kafka_errors.InvalidReplicationFactorError,
                kafka_errors.InvalidConfigurationError,
                kafka_errors.PolicyViolationError,
            ) as error:
                few = isinstance(error, kafka_errors.InvalidReplicationFactorError)
                if few and replication == REPLICATION_OF_BROKER:  # it takes its own number when all brokers are back
                    raise UnavailableError(f"too few brokers are there for the topic {name!r}: {error}") from error
                raise UsageError(
                    f"Kafka does not make the topic {name!r} with {partitions!r} partitions, "
                    f"{'its own number of' if replication == REPLICATION_OF_BROKER else replication!r} replicas and "
                    f"configuration {dict(configs or {})!r}: {error}"
                ) from error
            return True

        made = await self._ask(make, deadline)
        while True:  # what was made is not known to all brokers at once
            with suppress(NotFoundError):
                found = (await self.describe([name], deadline=deadline))[0]
                break
            await asyncio.sleep(PAUSE)
        if found.partitions != partitions:
            raise ConflictError(
                f"the topic {name!r} exists with {found.partitions} partitions, not {partitions}; the number is "
                "never changed, ask for as many or use another name"
            )
        return made

    async def names(self, *, deadline: float) -> list[str]:
        """The topics that we may see, without Kafka's own, sorted."""

        def ask(client: Any) -> list[str]:
            return sorted(topic["name"] for topic in client.describe_topics() if not topic["is_internal"])

        return await self._ask(ask, deadline)

    async def describe(self, names: Sequence[str], *, deadline: float) -> list[Description]:
        """The topics of these names, in their order.

        Raises:
            NotFoundError: there is no such topic, or it has no leader yet.
        """

        def ask(client: Any) -> list[Description]:
            found = {topic["name"]: topic for topic in client.describe_topics(list(names))} if names else {}
            return [_described(name, found.get(name)) for name in names]

        return await self._ask(ask, deadline)

    async def ends(self, names: Sequence[str], *, deadline: float) -> dict[Partition, int]:
        """The offset that the next record of each partition will have.

        Raises:
            NotFoundError: there is no such topic.
        """
        described = await self.describe(names, deadline=deadline)
        asked = [TopicPartition(topic.name, number) for topic in described for number in range(topic.partitions)]

        def ask(client: Any) -> dict[Partition, int]:
            found = client.list_partition_offsets(dict.fromkeys(asked, OffsetSpec.LATEST), timeout_ms=_left(deadline))
            return {Partition(*partition): place.offset for partition, place in found.items()}

        return await self._ask(ask, deadline) if asked else {}

    async def lag(
        self, names: Sequence[str], positions: Mapping[Partition, int], *, deadline: float
    ) -> dict[Partition, int]:
        """How many offsets lie before the end of each partition, from positions; from 0 where there is none.

        Raises:
            NotFoundError: there is no such topic.
        """
        ends = await self.ends(names, deadline=deadline)
        return {partition: max(0, end - positions.get(partition, 0)) for partition, end in ends.items()}

    async def committed(self, group: str, *, deadline: float) -> dict[Partition, int]:
        """What a group has committed to Kafka: for display, positions are elsewhere and may be ahead of it."""

        def ask(client: Any) -> dict[Partition, int]:
            found = client.list_group_offsets({group: None})
            return {Partition(*partition): place.offset for partition, place in found.get(group, {}).items()}

        return await self._ask(ask, deadline)

    async def close(self, *, deadline: float) -> None:
        """Free what the client holds, at most until the deadline."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, ask: Callable[[Any], T], deadline: float) -> T:
        if self._closed:
            raise UnavailableError("the connection to Kafka is closed")
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._try, ask, deadline)
        except TimeoutError as error:
            raise UnavailableError(
                f"Kafka at {','.join(self._settings.servers)} has not answered by the deadline; see whether its "
                "brokers run, and take connections as `security_protocol` says"
            ) from error

    def _try(self, ask: Callable[[Any], T], deadline: float) -> T:
        """On the thread: ask until there is an answer, or nobody waits for it any more."""
        while time.monotonic() < deadline and not self._closed:
            try:
                if self._client is None:
                    self._client = connect(kafka.KafkaAdminClient, **self._settings.client_options())
                return ask(self._client)
            except Exception as error:
                if is_refusal(error) or not isinstance(error, KafkaError):
                    self._end()
                    raise error if not isinstance(error, KafkaError) else _refused(error) from error
                if not isinstance(error, kafka_errors.RetriableError):
                    raise UnavailableError(f"Kafka answers with an error: {error}") from error
                self._end()
                time.sleep(min(PAUSE, max(0.0, deadline - time.monotonic())))
        raise TimeoutError

    def _end(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._client.close()
            self._client = None


def _left(deadline: float) -> int:
    return max(1, int((deadline - time.monotonic()) * 1000))


def _refused(error: BaseException) -> UnavailableError:
    return UnavailableError(f"Kafka refuses: {error}; check the settings and what this user may do")


def _described(name: str, found: Mapping[str, Any] | None) -> Description:
    if found is None or found["error_code"] or not found["partitions"]:
        raise NotFoundError(f"Kafka has no topic {name!r}; create it with the number of partitions it is to have")
    return Description(name, len(found["partitions"]), min(len(part["replica_nodes"]) for part in found["partitions"]))
