"""Kafka that is entered over TLS with a password, and lets not everybody do everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from deploy.cluster import jars
from deploy.cluster.kafka import Kafka
from tests import needs
from tests.certificates import self_signed
from tests.runtime.bridge.installations import installation
from tests.runtime.bus.sites import Seen

from gatewright.agents.errors import GatewrightError, UnavailableError, UsageError
from gatewright.runtime.kafka import Consumer, Partition, Producer, Record, Settings, Topics

pytestmark = pytest.mark.slow  # each starts a broker

_RULES = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:owner
listener.name.clients.ssl.keystore.type=PEM
listener.name.clients.ssl.keystore.location={keys}
"""


class Guarded(NamedTuple):
    """A broker, and the certificate that proves it."""

    bootstrap: str
    certificate: Path

    def options(self, user: str) -> dict[str, str]:
        return {
            "security_protocol": "SASL_SSL",
            "ssl_cafile": str(self.certificate),
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": user,
            "sasl_plain_password": f"{user}'s",
        }

    def entry(self, user: str) -> Settings:
        return Settings.parse(f"kafka://{self.bootstrap}", self.options(user))


@pytest.fixture
def guarded(tmp_path: Path) -> Generator[Guarded]:
    if (reason := jars.missing()) is not None:
        needs.missing(reason)
    certificate = self_signed(tmp_path / "certificate.pem")
    broker = Kafka(tmp_path / "broker", users={"owner": "owner's", "guest": "guest's"})
    settings = broker.folder / "server.properties"
    written = settings.read_text("utf-8").replace("CLIENTS:SASL_PLAINTEXT", "CLIENTS:SASL_SSL")
    settings.write_text(written + _RULES.format(keys=certificate), "utf-8")
    broker.start()
    yield Guarded(broker.bootstrap, certificate)
    broker.kill()


def soon() -> float:
    return time.monotonic() + 60


async def test_messages_go_over_tls_with_a_password(guarded: Guarded, tmp_path: Path) -> None:
    async with installation("one", tmp_path / "one", guarded.bootstrap, options=guarded.options("owner")) as site:
        bus, seen = await site.bus("t"), Seen()
        await bus.subscribe("t", "g", seen)
        await bus.publish("t", "sealed", key="k")
        assert await seen.wait(1) == ["sealed"]


async def test_who_may_not_make_or_write_a_topic_is_told_what_to_ask_for(guarded: Guarded) -> None:
    topics, producer = Topics(guarded.entry("guest")), Producer(guarded.entry("guest"))
    with pytest.raises(UsageError) as making:
        await topics.create("t", partitions=1, deadline=soon())
    assert_told(making.value, "CREATE")
    owner = Topics(guarded.entry("owner"))
    await owner.create("t", partitions=1, deadline=soon())
    with pytest.raises(UsageError) as writing:
        await producer.send(Record("t", b"k", b"v"), deadline=soon())
    assert_told(writing.value, "WRITE")
    for client in (topics, producer, owner):
        await client.close(deadline=soon())


async def test_who_may_not_read_a_topic_is_told_what_to_ask_for(guarded: Guarded) -> None:
    owner = Topics(guarded.entry("owner"))
    await owner.create("t", partitions=1, deadline=soon())
    await owner.close(deadline=soon())

    async def placed(partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        return {}

    async def gone(partitions: Sequence[Partition]) -> None:
        return None

    reader = Consumer(guarded.entry("guest"), group="g", topics=["t"], assigned=placed, revoked=gone)
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError) as reading:
            async for _ in reader.batches():
                pass
    assert_told(reading.value, "READ")
    await reader.close(deadline=soon())


def assert_told(error: GatewrightError, operation: str) -> None:
    said = str(error)
    assert "'t'" in said and "'guest'" in said and operation in said, said
