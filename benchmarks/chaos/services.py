"""What an installation stands on: a database, a broker, and a network that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from deploy.cluster.kafka import Kafka
from deploy.cluster.postgresql import PostgreSQL
from deploy.cluster.processes import free_port

Backend = Literal["sqlite", "postgresql", "kafka"]
"""`sqlite`: one process on a file · `postgresql`: many on PostgreSQL · `kafka`: those, with Kafka as their bus."""


class Killable(Protocol):
    """A service that can be killed and started again with what it holds."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def stop(self) -> None: ...


class Network:
    """A network namespace joined to this machine by a pair of virtual interfaces. Needs root and `ip`.

    `address` is this machine's, as it is reached from the namespace.
    """

    def __init__(self) -> None:
        number = os.getpid() % 16_000
        self.name = f"chaos{number}"
        self.address = f"10.{213 + number // 8192}.{number // 32 % 256}.{number % 32 * 8 + 1}"
        self._inside = f"10.{213 + number // 8192}.{number // 32 % 256}.{number % 32 * 8 + 2}"
        self._near, self._far = f"{self.name}a", f"{self.name}b"

    def open(self) -> None:
        """Create it.

        Raises:
            OSError: this machine does not allow it.
        """
        _ip("netns", "add", self.name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        _ip("addr", "add", f"{self.address}/30", "dev", self._near)
        _ip("link", "set", self._near, "up")
        _ip("-n", self.name, "addr", "add", f"{self._inside}/30", "dev", self._far)
        self.join()

    def cut(self) -> None:
        """Nothing passes; connections stay open and nothing is heard on them."""
        _ip("-n", self.name, "link", "set", self._far, "down")

    def join(self) -> None:
        """Everything passes."""
        _ip("-n", self.name, "link", "set", self._far, "up")

    def close(self) -> None:
        """Remove it; what is not there is passed over."""
        subprocess.run(["ip", "link", "del", self._near], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)

    @property
    def within(self) -> Sequence[str]:
        """What a command begins with that is executed inside."""
        return (str(shutil.which("ip")), "netns", "exec", self.name)


def network() -> Network | str:
    """A network that can be cut, or why there is none."""
    if shutil.which("ip") is None:
        return "`ip` is not installed (iproute2)"
    found = Network()
    try:
        found.open()
    except OSError as error:
        found.close()
        return f"no network namespaces here: {error}"
    return found


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"`ip {' '.join(arguments)}` said: {done.stderr.strip()}")


def postgresql(folder: Path, address: str) -> PostgreSQL:
    """A PostgreSQL server that workers reach at `address`. It syncs what it commits."""
    return PostgreSQL(folder / "postgresql", host=address)


def kafka(folder: Path, address: str) -> Kafka:
    """A Kafka broker that workers reach at `address`."""
    port = free_port()
    return Kafka(folder / "kafka", port=port, advertised=f"{address}:{port}")
