"""Tansu, which stands for Kafka where Java or Maven is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from deploy.cluster import brokers, jars
from deploy.cluster.kafka import Kafka
from deploy.cluster.processes import alive
from deploy.cluster.tansu import Tansu
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from gatewright.agents.errors import UnavailableError


def test_it_stands_for_kafka_where_kafka_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    server = brokers.broker(tmp_path)

    assert isinstance(server, Tansu)
    assert not server.durable
    assert Kafka.durable


def test_it_forgets_its_topics_when_it_is_restarted(tmp_path: Path) -> None:
    server = Tansu(tmp_path)
    server.start()
    try:
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        admin.create_topics([NewTopic("note", 1, 1)])
        assert "note" in admin.list_topics()
        admin.close()

        server.restart()

        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        assert "note" not in admin.list_topics()
        admin.close()
    finally:
        server.stop()
    assert not alive(server.pid)


def test_java_that_is_missing_or_too_old_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(jars.missing()).startswith("Java is not installed")

    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n", "utf-8")
    java.chmod(0o755)

    with pytest.raises(UnavailableError, match="Java is 11 and Kafka .* needs 17: `apt install"):
        jars.install()


def test_jars_are_below_the_cache_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWRIGHT_CACHE", str(tmp_path))

    assert jars.place() == tmp_path / f"kafka-{jars.VERSION}"


def test_a_download_that_fails_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "java": "echo 'openjdk version \"17.0.15\"' >&2",
        "mvn": "echo 'no route to host'; exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("GATEWRIGHT_CACHE", str(tmp_path / "cache"))

    with pytest.raises(UnavailableError, match="no route to host"):
        jars.install()

    assert list((tmp_path / "cache").iterdir()) == []
