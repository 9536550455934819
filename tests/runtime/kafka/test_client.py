"""What is said without kafka-python, and what is passed through to it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from deploy.cluster import jars
from deploy.cluster.kafka import Kafka
from tests import needs

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.kafka import Producer, Record, Settings, Topics

_WITHOUT = """
import sys
sys.modules["kafka"] = None
import gatewright.runtime.service
from gatewright.agents.errors import UnavailableError
try:
    import gatewright.runtime.kafka
except UnavailableError as error:
    print(error)
"""


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def test_without_kafka_python_the_remedy_is_told_and_the_service_starts() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=True)
    assert "pip install 'gatewright[kafka]'" in done.stdout


def test_the_service_does_not_load_kafka_python() -> None:
    code = "import sys, gatewright.runtime.service; print('kafka' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[Kafka]:
    """A broker that asks for a password."""
    if (reason := jars.missing()) is not None:
        needs.missing(reason)
    broker = Kafka(tmp_path / "broker", users={"svc": "hunter2"})
    broker.start()
    yield broker
    broker.kill()


def entry(broker: Kafka, mechanism: str, password: str) -> Settings:
    return Settings.parse(
        f"kafka://{broker.bootstrap}",
        {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "svc",
            "sasl_plain_password": password,
        },
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_password_opens_and_a_wrong_one_is_said(
    guarded: Kafka, join: Callable[..., Any], mechanism: str
) -> None:
    settings = entry(guarded, mechanism, "hunter2")
    topics = Topics(settings)
    await topics.create("t", partitions=1, deadline=soon())
    await topics.close(deadline=soon())
    producer = Producer(settings)
    await producer.send(Record("t", b"k", b"v"), deadline=soon())
    await producer.close(deadline=soon())
    member = join("readers", ["t"], on=settings)
    await member.until(lambda: len(member.received) == 1)

    wrong = entry(guarded, mechanism, "letmein")
    topics, producer = Topics(wrong), Producer(wrong)
    stranger = join("strangers", ["t"], on=wrong)
    with pytest.raises(UnavailableError, match="Kafka refuses"):
        await topics.names(deadline=soon())
    with pytest.raises(UnavailableError, match="Kafka refuses"):
        await producer.send(Record("t", b"k", b"v"), deadline=soon())
    with pytest.raises(UnavailableError, match="Kafka refuses"):
        await stranger.reading
    await topics.close(deadline=soon())
    await producer.close(deadline=soon())
