"""Topics on a broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError, NotFoundError, UnavailableError, UsageError
from gatewright.runtime.kafka import Description, Partition, Producer, Record, Settings, Topics


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


async def test_a_topic_is_made_once(topics: Topics, topic_prefix: str) -> None:
    name = f"{topic_prefix}t"
    assert await topics.create(name, partitions=3, deadline=soon())
    assert not await topics.create(name, partitions=3, deadline=soon())
    assert await topics.describe([name], deadline=soon()) == [Description(name, 3, 1)]
    assert name in await topics.names(deadline=soon())


async def test_the_number_of_partitions_is_never_changed(topics: Topics, topic_prefix: str) -> None:
    name = f"{topic_prefix}t"
    await topics.create(name, partitions=3, deadline=soon())
    with pytest.raises(ConflictError, match="exists with 3 partitions, not 4"):
        await topics.create(name, partitions=4, deadline=soon())
    assert (await topics.describe([name], deadline=soon()))[0].partitions == 3


@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("no topic!", {"partitions": 1}),
        ("t", {"partitions": 0}),
        ("t", {"partitions": 1, "replication": 3}),
        ("t", {"partitions": 1, "configs": {"retention.ms": "soon"}}),
    ],
)
async def test_what_kafka_cannot_make_is_refused(
    topics: Topics, topic_prefix: str, name: str, wish: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="Kafka does not make the topic"):
        await topics.create(topic_prefix + name, deadline=soon(), **wish)


async def test_a_topic_that_is_not_there_is_not_found(topics: Topics, topic_prefix: str) -> None:
    with pytest.raises(NotFoundError, match="has no topic"):
        await topics.describe([f"{topic_prefix}nothing"], deadline=soon())
    with pytest.raises(NotFoundError):
        await topics.ends([f"{topic_prefix}nothing"], deadline=soon())


async def test_the_lag_is_what_lies_before_the_end(topics: Topics, producer: Producer, topic: str) -> None:
    await producer.send_many([Record(topic, None, b"", partition=1)] * 7, deadline=soon())
    positions = {Partition(topic, 1): 5, Partition(topic, 2): 9}
    assert await topics.ends([topic], deadline=soon()) == {Partition(topic, n): 7 if n == 1 else 0 for n in range(4)}
    lag = await topics.lag([topic], positions, deadline=soon())
    assert lag == {Partition(topic, n): 2 if n == 1 else 0 for n in range(4)}


async def test_a_group_that_committed_nothing_has_no_offsets(topics: Topics, topic: str) -> None:
    assert await topics.committed(f"{topic}.nobody", deadline=soon()) == {}


async def test_without_a_broker_a_question_ends_by_its_deadline(turns: Callable[..., Any]) -> None:
    topics = Topics(Settings.parse("kafka://127.0.0.1:9"))
    assert await turns(topics.names(deadline=soon(1)))
    with pytest.raises(UnavailableError, match="has not answered by the deadline"):
        await topics.names(deadline=soon(0.1))
    await topics.close(deadline=soon(0.1))


async def test_nothing_is_asked_of_what_is_closed(settings: Settings) -> None:
    topics = Topics(settings)
    await topics.names(deadline=soon())
    await topics.close(deadline=soon())
    with pytest.raises(UnavailableError, match="is closed"):
        await topics.names(deadline=soon())
