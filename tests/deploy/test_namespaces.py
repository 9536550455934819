"""Clients in another network namespace, as on another machine, reach the services at the address they are told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from typing import NamedTuple

import pytest
from deploy.cluster.kafka import Kafka
from deploy.cluster.postgresql import PostgreSQL
from deploy.cluster.processes import free_port
from deploy.cluster.tansu import Tansu
from tests import needs


class Namespace(NamedTuple):
    """A network of its own: `near` is this machine's address there, `far` the only other one."""

    name: str
    near: str
    far: str

    def run(self, program: str) -> str:
        """What a Python program prints that runs there."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def namespace() -> Generator[Namespace]:
    # Names and addresses by process, for others may test on this machine too.
    number = os.getpid() % 65536
    name, subnet = f"gw{number}", f"10.{200 + number % 16}.{number // 256}"
    given = Namespace(name, f"{subnet}.1", f"{subnet}.2")
    try:
        for words in (
            f"netns add {name}",
            f"link add {name}a type veth peer name {name}b netns {name}",
            f"addr add {given.near}/30 dev {name}a",
            f"link set {name}a up",
            f"-n {name} addr add {given.far}/30 dev {name}b",
            f"-n {name} link set {name}b up",
        ):
            subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=True)
        yield given
    except FileNotFoundError:
        needs.missing("`ip` is not installed: `apt install iproute2`")
    except subprocess.CalledProcessError as error:
        needs.missing(f"this machine lets us make no network namespace: {error.stderr.strip()}")
    finally:
        subprocess.run(f"ip netns delete {name} || true", shell=True, capture_output=True)


def test_postgresql_trusts_clients_of_the_subnet_it_is_given(namespace: Namespace, postgresql: PostgreSQL) -> None:
    server = PostgreSQL(postgresql.folder.with_name("near"), host=namespace.near, fsync=False)
    server.start()
    try:
        url = server.url("postgres").replace("+psycopg", "")
        seen = namespace.run(
            f"import psycopg; print(psycopg.connect({url!r}).execute('SELECT inet_client_addr()').fetchone()[0])"
        )
    finally:
        server.stop()

    assert seen == namespace.far


def test_kafka_is_reached_at_the_address_that_it_advertises(namespace: Namespace, kafka_broker: Kafka | Tansu) -> None:
    port = free_port()
    server = Kafka(kafka_broker.folder.with_name("near"), port=port, advertised=f"{namespace.near}:{port}")
    server.start()
    try:
        told = namespace.run(
            f"from kafka import KafkaAdminClient\nclient = KafkaAdminClient(bootstrap_servers={server.bootstrap!r})\n"
            "print([broker['host'] for broker in client.describe_cluster()['brokers']])"
        )
    finally:
        server.kill()

    assert told == f"['{namespace.near}']"
