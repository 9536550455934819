"""Apache Kafka from its jars: it keeps what it acknowledged and leaves no process behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deploy.cluster.brokers import broker
from deploy.cluster.kafka import Kafka, answers
from deploy.cluster.processes import alive, free_port
from deploy.cluster.tansu import Tansu
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from gatewright.agents.errors import UnavailableError


@pytest.fixture
def settings(kafka_broker: Kafka | Tansu) -> Path:
    """A folder beside that of a broker that runs: where this is asked for, Kafka can run."""
    return kafka_broker.folder.with_name("other")


def create(bootstrap: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()


def publish(bootstrap: str, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    try:
        producer.send(topic, value).get(timeout=30)
    finally:
        producer.close(timeout=5)


def read(bootstrap: str, topic: str) -> list[bytes]:
    """All that is there within two seconds."""
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=2000
    )
    found = [record.value for record in consumer]
    consumer.close()
    return found


def test_the_shared_broker_carries_messages(kafka: Kafka | Tansu, topic_prefix: str) -> None:
    create(kafka.bootstrap, topic_prefix + "note")
    publish(kafka.bootstrap, topic_prefix + "note", b"one")

    assert read(kafka.bootstrap, topic_prefix + "note") == [b"one"]


def test_what_was_acknowledged_is_there_after_a_kill(kafka_broker: Kafka | Tansu) -> None:
    address = kafka_broker.bootstrap
    create(address, "note")
    publish(address, "note", b"one")

    kafka_broker.kill()
    assert not answers(address)
    kafka_broker.restart()

    assert kafka_broker.bootstrap == address
    assert read(address, "note") == [b"one"]


def test_a_paused_broker_does_not_answer_until_it_is_resumed(kafka_broker: Kafka | Tansu) -> None:
    kafka_broker.pause()
    assert not answers(kafka_broker.bootstrap)
    assert kafka_broker.running

    kafka_broker.resume()

    assert answers(kafka_broker.bootstrap)


def test_another_broker_on_the_same_folder_finds_the_data_and_stop_leaves_no_process(
    kafka_broker: Kafka | Tansu,
) -> None:
    create(kafka_broker.bootstrap, "note")
    publish(kafka_broker.bootstrap, "note", b"one")
    pid = kafka_broker.pid
    kafka_broker.stop()
    assert not alive(pid)

    again = broker(kafka_broker.folder)
    again.start()
    found = read(again.bootstrap, "note")
    again.stop()

    assert found == [b"one"]


def test_clients_are_told_the_address_that_is_advertised(settings: Path) -> None:
    port = free_port()
    server = Kafka(settings, port=port, advertised=f"127.0.0.2:{port}")
    server.start()
    admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    try:
        told = [f"{member['host']}:{member['port']}" for member in admin.describe_cluster()["brokers"]]
    finally:
        admin.close()
        server.kill()

    assert told == [server.bootstrap] == [f"127.0.0.2:{port}"]


def test_a_broker_with_users_takes_only_those_who_know_the_password(settings: Path) -> None:
    server = Kafka(settings, users={"alice": "correct horse"})
    server.start()
    address: dict[str, Any] = {"bootstrap_servers": server.bootstrap, "bootstrap_timeout_ms": 3000}
    security: dict[str, Any] = {
        **address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
    }
    try:
        admin = KafkaAdminClient(**security, sasl_plain_password="correct horse")
        admin.create_topics([NewTopic("note", 1, 1)])
        admin.close()
        with pytest.raises(KafkaError):
            KafkaAdminClient(**security, sasl_plain_password="wrong")
        with pytest.raises(KafkaError):
            KafkaAdminClient(**address)
    finally:
        server.kill()


def test_a_broker_does_not_outlive_a_killed_parent(
    kafka_broker: Kafka | Tansu, left_by_a_killed_parent: Callable[[str], list[int]]
) -> None:
    kafka_broker.stop()
    program = "from pathlib import Path; from deploy.cluster.kafka import Kafka"

    left = left_by_a_killed_parent(f"{program}\nserver = Kafka(Path({str(kafka_broker.folder)!r}))\nserver.start()")

    assert left == []


def test_a_taken_port_is_told_with_the_brokers_own_words(kafka_broker: Kafka | Tansu, settings: Path) -> None:
    second = Kafka(settings, port=kafka_broker.port)

    with pytest.raises(UnavailableError, match="Address already in use"):
        second.start()

    assert not second.running
