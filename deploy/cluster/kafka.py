"""An Apache Kafka broker in KRaft mode: broker and controller in one process, without ZooKeeper or containers."""

from __future__ import annotations

import base64
import socket
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from gatewright.agents.errors import UnavailableError

from . import jars
from .processes import Server, Service, free_port

START = 120.0  # seconds, recovery of the log included
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx512m", "-Djava.awt.headless=true")
_LOGGING = Path(__file__).with_name("log4j2.properties")
_STARTED = "Kafka Server started"
_PATIENCE: dict[str, Any] = {"bootstrap_timeout_ms": 2000, "request_timeout_ms": 2000}  # Any: the stubs are of 2.x

# Clients have a listener of their own, so that their address and security may be anything while we can still ask.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{control}
listeners=CLIENTS://{listen}:{port},LOCAL://{local},CONTROLLER://127.0.0.1:{control}
advertised.listeners=CLIENTS://{advertised},LOCAL://{local}
listener.security.protocol.map=CLIENTS:{protocol},LOCAL:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=LOCAL
log.dirs={data}
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
auto.create.topics.enable=false
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=8388608
"""
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_SASL = """\
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.clients.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.clients.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.clients.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {users};
"""


class Kafka(Server):
    """A broker with its data in a folder; a folder that has data already is taken as it is.

    Kafka does not sync what it acknowledges to the disk: that outlives `kill`, not the loss of the machine's power.

    Args:
        port: of 127.0.0.1; 0 is any free one, the same in every life of this object.
        advertised: "HOST:PORT" that clients are told to use where they come through another network or a forwarder;
            then the broker listens on all addresses.
        users: passwords by name; clients must then use SASL_PLAINTEXT, with PLAIN or SCRAM.

    Raises:
        UnavailableError: Java or the jars are missing (`jars.install`), or it does not start.
    """

    durable = True  # what was acknowledged is there after `kill` and `restart`

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        advertised: str | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self._jars = jars.install()
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.bootstrap = advertised or f"127.0.0.1:{self.port}"
        self._local = f"127.0.0.1:{free_port()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._settings = self.folder / "server.properties"
        written = _PROPERTIES.format(
            control=free_port(),
            listen="127.0.0.1" if advertised is None else "0.0.0.0",
            port=self.port,
            local=self._local,
            advertised=self.bootstrap,
            protocol="SASL_PLAINTEXT" if users else "PLAINTEXT",
            data=self.folder / "data",
        )
        if users:
            written += _SASL.format(users=" ".join(f'user_{name}="{word}"' for name, word in users.items()))
        self._settings.write_text(written, "utf-8")
        self._settings.chmod(0o600)  # it may hold passwords
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(users or {})

    def _launch(self) -> Service:
        command = self._java(f"-Dlog4j2.configurationFile={_LOGGING}", "kafka.Kafka", self._settings)
        service = Service(command, log=self.folder / "server.log")
        # It answers here a moment before it finds out that it cannot listen to its clients.
        service.wait_until(lambda: _STARTED in service.said() and answers(self._local), seconds=START)
        return service

    def _format(self, users: Mapping[str, str]) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command: list[str | Path] = [
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            f"--cluster-id={cluster}",
            "-c",
            self._settings,
        ]
        for name, word in users.items():
            command += [f'--add-scram={each}=[name="{name}",password="{word}"]' for each in _SCRAM]
        done = subprocess.run(self._java(*command), capture_output=True, text=True)
        if done.returncode:
            said = (done.stdout + done.stderr)[-2000:]
            raise UnavailableError(f"{str(self.folder)!r} cannot be made a folder of Kafka's; it said: {said!r}")

    def _java(self, *arguments: str | Path) -> list[str | Path]:
        return ["java", *_JVM, "-cp", f"{self._jars}/*", *arguments]


def answers(bootstrap: str) -> bool:
    """Whether a broker answers by Kafka's protocol and takes part in its cluster."""
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()  # a client would wait for it
        client = KafkaAdminClient(bootstrap_servers=bootstrap, **_PATIENCE)
    except (OSError, KafkaError):
        return False
    try:
        return any(not broker.get("is_fenced") for broker in client.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        client.close()
