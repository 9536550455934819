"""Many processes on one PostgreSQL database, and many threads in it.

Runs of three nodes with an effect each are queued, and then worked off by 1, 2 and 4 `gatewright worker` processes, in
turns; the reference is one process. What a run costs (CPU time of this process and the server's) is compared between
databases in which 10, 1,000 and 100,000 threads have been worked on before; the reference is the small one.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from deploy.cluster.postgresql import PostgreSQL
from deploy.cluster.processes import Service as Process

from gatewright.runtime.config import Config
from gatewright.runtime.service import Service
from gatewright.runtime.store.database import of

from . import filling, graphs, load, sides
from .figures import Bar, Figure, Pair, compare, say
from .program import Setting, main
from .servers import PROGRAM, ROOT

PROCESSES = (1, 2, 4)
PASTS = (10, 1_000, 100_000)  # threads
AT_ONCE = 16
COST = Bar(value=1.3, sense="at most")
_PATIENCE = 120.0  # seconds for a process to be ready
_READY = sa.text("SELECT count(*) FROM worker WHERE kind = 'worker' AND state = 'alive'")
_LEFT = sa.text("SELECT count(*) FROM run WHERE finished_at IS NULL")
_TOOK = sa.text("SELECT (max(finished_at) - min(started_at)) / 1e6 FROM run WHERE created_at >= :since")
_NEWEST = sa.text("SELECT coalesce(max(created_at) + 1, 0) FROM run")


def _config(folder: Path, database: str) -> Config:
    return sides.configuration(folder, ("booking",)).model_copy(update={"database": database})


class Crew:
    """Worker processes on a database, and the service that queues what they work off."""

    def __init__(self, folder: Path, url: str, server: PostgreSQL, service: Service) -> None:
        self._folder = folder
        self._url = url
        self._server = server
        self._service = service
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        (folder / "gatewright.toml").write_text(
            f'data_dir = "ours"\ndatabase = "{url}"\n[deployments.booking]\ngraph = "benchmarks.graphs:booking"\n',
            "utf-8",
        )

    def _ask(self, query: sa.TextClause, **values: int) -> float:
        with self._engine.connect() as connection:
            return float(connection.execute(query, values).scalar_one())

    async def _until(self, query: sa.TextClause, number: int) -> None:
        limit = time.monotonic() + _PATIENCE
        while self._ask(query) != number:
            if time.monotonic() > limit:
                raise RuntimeError(
                    f"{number} was not reached by {query} in {_PATIENCE:.0f} s; see {self._folder}/*.log"
                )
            await asyncio.sleep(0.1)

    async def work(self, processes: int, runs: int) -> float:
        """Runs per second of so many processes, from the first one's beginning to the last one's end."""
        await self._service.pause_deployment("booking", by="benchmark", reason="to begin together")
        since = int(self._ask(_NEWEST))
        await asyncio.gather(*(self._service.start_run("booking", graphs.INPUT) for _ in range(runs)))
        with ExitStack() as stack:
            crew = [self._process(number) for number in range(processes)]
            for process in crew:
                stack.callback(process.kill)
            await self._until(_READY, processes)
            before = self._spent(crew)
            with load.Waits(self._url) as waits:
                await self._service.resume_deployment("booking", by="benchmark")
                await self._until(_LEFT, 0)
            spent = [late - early for late, early in zip(self._spent(crew), before, strict=True)]
            took = self._ask(_TOOK, since=since)
            for process in crew:
                await asyncio.to_thread(process.stop)
        workers, postgresql = (1000 * seconds / runs for seconds in spent)
        say(
            f"scale: {processes} workers, {runs / took:.0f} runs/s; CPU a run: workers {workers:.2f} ms, PostgreSQL "
            f"{postgresql:.2f} ms; of {os.cpu_count()} cores they used {sum(spent) / took:.2f}; backends at a moment: "
            f"{waits.told()}"
        )
        return runs / took

    def _spent(self, crew: Sequence[Process]) -> tuple[float, float]:
        return load.cpu(process.pid for process in crew), load.cpu(load.family(self._server.pid))

    def _process(self, number: int) -> Process:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        log = self._folder / f"worker-{number}.log"
        return Process([PROGRAM, "worker", "--json"], log=log, environ={"PYTHONPATH": path})


async def _throughput(setting: Setting, server: PostgreSQL) -> list[Figure]:
    url = server.create_database("crew")
    runs = setting.size(600, 20)
    counts = PROCESSES if not setting.quick else PROCESSES[:2]
    rates: dict[int, list[float]] = {processes: [] for processes in counts}
    async with await Service.open(_config(setting.folder / "ours", url), execute=False) as service:
        crew = Crew(setting.folder, url, server, service)
        for turn in range(setting.size(4, 1)):
            order = counts if turn % 2 else tuple(reversed(counts))
            for processes in order:
                rate = await crew.work(processes, runs)
                if turn or setting.quick:  # the first round fills caches
                    rates[processes].append(rate)
    pairs = {many: [Pair(*pair) for pair in zip(rates[many], rates[1], strict=True)] for many in counts}
    return [compare(f"workers_{many}", "runs/s", pairs[many]) for many in counts]


@asynccontextmanager
async def _with_past(folder: Path, url: str, threads: int) -> AsyncGenerator[Service]:
    """A service on a database in which so many threads have been worked on."""
    config = _config(folder, url)
    async with await Service.open(config) as service:
        await sides.execute(service, "booking")
    database = of(url, folder)
    database.hold()
    try:
        await asyncio.to_thread(filling.fill, database, threads - 1)
    finally:
        database.release()
    async with await Service.open(config) as service:
        yield service


async def _cost(service: Service, runs: int, pids: Sequence[int]) -> float:
    """Milliseconds of CPU time a run, of this process and of a server with all its children."""
    families = [member for pid in pids for member in load.family(pid)]
    before = time.process_time() + load.cpu(families)
    await sides.throughput(partial(sides.execute, service, "booking"), runs, AT_ONCE)
    return 1000 * (time.process_time() + load.cpu(families) - before) / runs


async def _pasts(setting: Setting, name: str, server: PostgreSQL | None) -> list[Figure]:
    runs = setting.size(200, 8)
    pasts = PASTS if not setting.quick else (2, 4)
    costs: dict[int, list[float]] = {threads: [] for threads in pasts}
    async with AsyncExitStack() as stack:
        services: dict[int, Service] = {}
        for threads in pasts:
            say(f"scale: {name} with {threads} threads")
            url = server.create_database(f"past_{threads}") if server is not None else ""
            place = setting.folder / f"{name}-{threads}"
            services[threads] = await stack.enter_async_context(_with_past(place, url, threads))
        pids = [server.pid] if server is not None else []
        for turn in range(setting.size(6, 2)):
            for threads in pasts if turn % 2 else reversed(pasts):
                cost = await _cost(services[threads], runs, pids)
                if turn:
                    costs[threads].append(cost)
    figures: list[Figure] = []
    for threads in pasts[1:]:
        pairs = [Pair(*pair) for pair in zip(costs[threads], costs[pasts[0]], strict=True)]
        bar = COST if threads == pasts[-1] and not setting.quick else None
        figures.append(compare(f"{name}_cost_with_{threads}_threads", "ms CPU", pairs, bar))
    return figures


@contextmanager
def _serving(setting: Setting) -> Generator[PostgreSQL]:
    """A server that syncs to the disk, in the folder if its user, who may be another, can enter that."""
    setting.folder.chmod(0o755)
    with ExitStack() as stack:
        folder = setting.folder
        if os.geteuid() == 0 and not all(place.stat().st_mode & 0o001 for place in folder.parents):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatewright-benchmark-")))
            folder.chmod(0o755)
            say(f"scale: PostgreSQL cannot enter {setting.folder}; it works in {folder}")
        server = PostgreSQL(folder / "postgresql")
        server.start()
        stack.callback(server.stop)
        yield server


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures of many processes and many threads."""
    with _serving(setting) as server:
        figures = await _throughput(setting, server)
        figures += await _pasts(setting, "postgresql", server)
    return [*figures, *(await _pasts(setting, "sqlite", None))]


if __name__ == "__main__":
    main(measure, __doc__)
