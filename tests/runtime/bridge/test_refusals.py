"""What Kafka never takes: a dead letter, while everything else goes on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from deploy.cluster.kafka import Kafka
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from tests.runtime.bridge.installations import Installation, installation
from tests.runtime.bus.sites import Seen, until

from gatewright.runtime.bus import Bus, letters
from gatewright.runtime.kafka import Settings, Topics

_LETTERS = sa.text("SELECT topic, message_id, reason, detail, id FROM dead_letter WHERE state = 'dead'")


async def create(kafka: Kafka, topic: str, **configs: str) -> None:
    topics = Topics(Settings.parse(f"kafka://{kafka.bootstrap}"))
    deadline = time.monotonic() + 20
    await topics.create(topic, partitions=3, configs=configs, deadline=deadline)
    await topics.close(deadline=deadline)


async def letter(bus: Bus) -> tuple[Any, ...]:
    """The dead letter, when there is one."""

    async def there() -> bool:
        return bool(await bus.log.write(lambda transaction: transaction.all(_LETTERS)))

    await until(there)
    (found,) = await bus.log.write(lambda transaction: transaction.all(_LETTERS))
    return found


async def opened(site: Installation, topic: str) -> tuple[Bus, Seen]:
    bus, seen = await site.bus(topic), Seen()
    await bus.subscribe(topic, "g", seen)
    return bus, seen


async def test_a_record_that_is_too_large_is_sent_again_when_there_is_room_for_it(
    tmp_path: Path, kafka: Kafka, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}t"
    await create(kafka, topic, **{"max.message.bytes": "2000"})
    async with installation(f"{topic_prefix}one", tmp_path, kafka.bootstrap) as site:
        bus, seen = await opened(site, topic)
        large = "".join(map(chr, range(0x100, 0x900)))
        await bus.publish(topic, large, key="k", id="large")
        await bus.publish(topic, "small", key="k")
        assert await seen.wait(1) == ["small"]
        where, message_id, reason, detail, number = await letter(bus)
        assert (where, message_id, reason) == ("_kafka.process", f"{topic}/large", "rejected")
        assert "it will never take it as it is" in detail

        def enlarge() -> None:
            admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "100000"})])
            admin.close()

        await asyncio.to_thread(enlarge)
        await bus.log.write(lambda transaction: letters.redrive(transaction, number, now=1))
        assert await seen.wait(2) == ["small", large]


async def test_a_name_that_kafka_does_not_take_holds_up_no_other_topic(
    tmp_path: Path, kafka: Kafka, topic_prefix: str
) -> None:
    """Kafka takes no two names that differ in '.' and '_' alone."""
    topic, taken, like = f"{topic_prefix}t", f"{topic_prefix}a_b", f"{topic_prefix}a.b"
    await create(kafka, taken)
    async with installation(f"{topic_prefix}one", tmp_path, kafka.bootstrap) as site:
        bus, seen = await opened(site, topic)
        await bus.subscribe(like, "g", Seen())
        await bus.publish(like, "nowhere", key="k", id="lost")
        await bus.publish(topic, "there", key="k")
        assert await seen.wait(1) == ["there"]
        where, message_id, reason, detail, _ = await letter(bus)
        assert (where, message_id, reason) == ("_kafka.process", f"{like}/lost", "rejected")
        assert "Kafka does not make the topic" in detail
