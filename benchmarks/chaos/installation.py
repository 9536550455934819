"""A whole installation on this machine: services, processes that serve and work, and the world outside."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from . import services
from .processes import ROOT, Outside, Process, Serve, Worker
from .schedule import LEASE, Fault
from .services import Backend, Killable, Network
from .steps import TOPIC
from .team import rules

_CONFIGURATION = """\
data_dir = {data!r}
python_path = [{root!r}]

[deployments.support]
team = "benchmarks.chaos.team:team"
rules = {rules!r}
world = {{ socket = {socket!r} }}

[deployments.steps]
team = "benchmarks.chaos.steps:team"
world = {{ socket = {socket!r} }}

[topics."{topic}"]
durability = "disk"

[worker]
lease = {lease}
concurrency = 16
retry_delay = 0.2
"""


class Installation:
    """Everything that a history comes from; a context in which it is started, and stopped in good order."""

    def __init__(self, folder: Path, backend: Backend, *, serves: int, workers: int, network: Network | None) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o755)  # PostgreSQL has a user of its own
        self.folder = folder
        self.record = folder / "outside.jsonl"
        self.socket = folder / "outside.socket"
        self.environ: dict[str, str] = {}
        self.serves: list[Serve] = []
        self.workers: list[Worker] = []
        self.postgresql: Killable | None = None
        self.kafka: Killable | None = None
        self.network = network
        self._backend: Backend = backend
        self._sizes = serves, workers
        self._outside = Outside(folder, self.socket, self.record)
        self._settled = time.monotonic()
        self._disturbed = 0
        self._down: set[Process] = set()  # killed, and about to be started again

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._start)
        except BaseException:
            await asyncio.to_thread(self._stop)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._stop)

    @property
    def urls(self) -> list[str]:
        """Where it answers."""
        return [serve.url for serve in self.serves]

    def certain(self) -> float:
        """Seconds since every process was dead or undisturbed; 0 while one is not."""
        return 0.0 if self._disturbed else time.monotonic() - self._settled

    # faults

    async def suffer(self, fault: Fault) -> None:
        """Bear one fault, from its beginning to its end."""
        if fault.kind in ("kill worker", "kill serve"):
            process: Process = (self.workers if fault.kind == "kill worker" else self.serves)[fault.target]
            self._down.add(process)
            await asyncio.to_thread(process.kill)
            self._settled = time.monotonic()  # it is dead for certain
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(process.start)
            self._down.discard(process)
            return
        self._disturbed += 1
        try:
            await self._without(fault)
        finally:
            self._disturbed -= 1
            self._settled = time.monotonic()

    async def _without(self, fault: Fault) -> None:
        """What takes something away for a time and leaves processes that may go on with what they were about to do."""
        if fault.kind == "stop worker":
            self.workers[fault.target].pause()
            await asyncio.sleep(fault.lasts)
            self.workers[fault.target].resume()
        elif fault.kind == "cut worker":
            assert self.network is not None
            await asyncio.to_thread(self.network.cut)
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(self.network.join)
        else:
            service = self.postgresql if fault.kind == "kill postgresql" else self.kafka
            assert service is not None
            await asyncio.to_thread(service.kill)
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(service.restart)

    def revive(self) -> list[str]:
        """Start what has ended by itself, as whoever runs processes for a living does; gives what that was."""
        processes = (*self.serves, *self.workers)
        ended = [process for process in processes if process not in self._down and not process.running]
        for process in ended:
            process.start()
        return [process.name for process in ended]

    # life

    def _start(self) -> None:
        self._configure()
        self._outside.start()
        self._outside.wait()
        address = "127.0.0.1" if self.network is None else self.network.address
        if self._backend != "sqlite":
            server = services.postgresql(self.folder, address)
            self.postgresql = server
            server.start()
            self.environ["GATEWRIGHT_DATABASE"] = server.create_database("gatewright")
        if self._backend == "kafka":
            broker = services.kafka(self.folder, address)
            self.kafka = broker
            broker.start()
            self.environ["GATEWRIGHT_BUS"] = f"kafka://{broker.bootstrap}"
        serves, workers = self._sizes
        # A process that serves executes what it accepts as long as it has room: leave some work to the workers.
        sparing = {"GATEWRIGHT_WORKER__CONCURRENCY": "2"} if workers else {}
        for number in range(serves):
            self.serves.append(Serve(self.folder, f"serve-{number}", environ={**self.environ, **sparing}))
        for number in range(workers):
            before = self.network.within if self.network is not None and number == 0 else ()
            self.workers.append(Worker(self.folder, f"worker-{number}", environ=self.environ, before=before))
        for serve in self.serves:
            serve.start()
            serve.wait()  # one after the other: the first creates the schema
        for worker in self.workers:
            worker.start()

    def _configure(self) -> None:
        pack = self.folder / "rules.yaml"
        pack.write_text(rules(), "utf-8")
        (self.folder / "gatewright.toml").write_text(
            _CONFIGURATION.format(
                data=str(self.folder / "data"),
                root=str(ROOT),
                rules=str(pack),
                socket=str(self.socket),
                topic=TOPIC,
                lease=LEASE,
            ),
            "utf-8",
        )

    def stop_processes(self) -> None:
        """Stop what serves and works, in good order; services and the world outside go on."""
        for process in (*self.workers, *self.serves):
            process.stop()

    def _stop(self) -> None:
        try:
            self.stop_processes()
        finally:
            for service in (self.kafka, self.postgresql, self._outside):
                if service is not None:
                    try:
                        service.stop()
                    except OSError as error:
                        print(f"could not stop: {error}", file=sys.stderr)
