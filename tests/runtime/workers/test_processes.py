"""`gatewright serve` and `gatewright worker` on one PostgreSQL database: processes are killed, stopped and ended.

What happened to the world is read from a file outside (`agents.py`), in the order in which it happened.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from deploy.cluster.postgresql import PostgreSQL
from deploy.cluster.processes import Service

from gatewright.runtime.api import presence
from gatewright.runtime.store.database import of
from gatewright.runtime.views import FINAL
from gatewright.runtime.workers import registry
from gatewright.runtime.workers.views import WorkerView

PROGRAM = Path(sys.executable).with_name("gatewright")
HERE = Path(__file__).parent
PATIENCE = 120.0  # seconds until a test gives up; what is expected comes within two
FOREVER = {"GATEWRIGHT_WORKER__LEASE": "3600"}
SHORT = {"GATEWRIGHT_WORKER__LEASE": "1", "BLIND": "yes"}
LONGER = {"GATEWRIGHT_WORKER__LEASE": "3", "BLIND": "yes"}  # so that no busy machine takes the wrong one for lost
CONFIGURATION = """
data_dir = "data"
[worker]
concurrency = 4
drain = 20
[deployments]
works = {{ graph = "{here}/agents.py:works" }}
stubborn = {{ graph = "{here}/agents.py:stubborn" }}
patient = {{ graph = "{here}/agents.py:patient" }}
others = {{ graph = "{here}/others.py:graph" }}
"""


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something holds; gives what it gave."""
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < limit, "it does not come"
        time.sleep(0.02)
    return found


class Site:
    """A folder with a configuration, its database, the processes on it, and a client of the service."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        self.folder = folder
        self.world = folder / "world.jsonl"
        self._stack = stack
        self._environ = {"WORLD": str(self.world), "GATEWRIGHT_DATABASE": database}
        self._engine = of(database, folder).connect(readonly=True)
        stack.callback(self._engine.dispose)
        (folder / "gatewright.toml").write_text(CONFIGURATION.format(here=HERE), "utf-8")
        self.server = self.start("serve", "--no-execute", "--port", "0")
        self.client = stack.enter_context(httpx.Client(base_url=self.url(self.server), timeout=PATIENCE))

    def start(self, *arguments: str, **environ: str) -> Service:
        """Start a process; does not wait until it is ready."""
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        service = Service([PROGRAM, *arguments, "--json"], log=log, environ={**self._environ, **environ})
        self._stack.callback(service.kill)
        return service

    def url(self, service: Service) -> str:
        """Where a service listens that has been started."""

        def told() -> str:
            try:
                return str(json.JSONDecoder().raw_decode(service.said())[0]["url"])
            except ValueError:
                return ""

        return str(until(told))

    @contextmanager
    def working(self, number: int = 1, *arguments: str, **environ: str) -> Generator[dict[int, Service]]:
        """So many workers that are ready, by process number; they are killed in the end."""
        services = [self.start("worker", *arguments, **environ) for _ in range(number)]
        try:
            found = {service.pid: service for service in services}
            until(lambda: set(found) <= {view.pid for view in self.workers()})
            yield found
        finally:
            for service in services:
                service.kill()

    def workers(self, *, every: bool = False) -> list[WorkerView]:
        with self._engine.connect() as connection:
            return [view for view in registry.listed(connection, every=every) if view.kind == "worker"]

    def run(self, deployment: str, case: str) -> None:
        """Start a run, whose id is that of its case."""
        body = {"deployment": deployment, "input": {"case": case}, "run_id": case}
        self.client.post("/v1/runs", json=body).raise_for_status()

    def ended(self, *cases: str) -> list[dict[str, Any]]:
        """Wait until these runs have ended; gives them."""

        def look() -> list[dict[str, Any]]:
            found = [self.client.get(f"/v1/runs/{case}").raise_for_status().json() for case in cases]
            return found if all(run["status"] in FINAL for run in found) else []

        return list(until(look))

    def allow(self, case: str) -> None:
        """Let the agent of a case go on."""
        Path(f"{self.world}.{case}").touch()

    def happened(self, event: str, cases: str | Iterable[str]) -> list[dict[str, Any]]:
        """The lines of one kind, of one case or several."""
        wanted = {cases} if isinstance(cases, str) else set(cases)
        text = self.world.read_text("utf-8") if self.world.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line["event"] == event and line["case"] in wanted]

    def who(self, event: str, case: str) -> list[int]:
        """The processes that did something, in order."""
        return [line["pid"] for line in self.happened(event, case)]

    def begun_by(self, pid: int, case: str) -> bool:
        """Whether a process has begun with a case."""
        return pid in self.who("begun", case)


@pytest.fixture(scope="module")
def site(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with ExitStack() as stack:
        database = postgresql.create_database("test_processes")
        stack.callback(postgresql.drop_database, "test_processes")
        yield Site(tmp_path_factory.mktemp("site"), database, stack)


def test_runs_of_a_killed_worker_end_elsewhere_with_every_effect_once(site: Site) -> None:
    cases = [f"killed-{number}" for number in range(8)]
    with site.working(2, **LONGER) as workers:
        for case in cases:
            site.run("works", case)
        until(lambda: len({line["pid"] for line in site.happened("told", cases)}) == 2)
        victim = site.happened("told", cases)[-1]["pid"]
        workers[victim].kill()
        before = site.happened("told", cases)
        ended = site.ended(*cases)

    after = site.happened("told", cases)[len(before) :]
    (survivor,) = set(workers) - {victim}
    interrupted = {line["case"] for line in before if line["pid"] == victim} & {line["case"] for line in after}
    told = Counter((line["case"], line["step"]) for line in site.happened("told", cases))
    keys = {(line["case"], line["step"], line["key"]) for line in site.happened("told", cases)}
    assert {run["status"] for run in ended} == {"succeeded"}
    assert interrupted
    assert {line["pid"] for line in after} == {survivor}
    assert set(told) == {(case, step) for case in cases for step in range(4)}
    assert len(keys) == len(told)  # what was begun when the worker died was tried again under its key
    assert sum(told.values()) <= len(told) + len(interrupted)


@contextmanager
def stopped_past_its_lease(site: Site, case: str, **environ: str) -> Generator[tuple[int, int]]:
    """A worker that was stopped while it executed a run, and goes on now that another has ended it: who, and who."""
    with site.working(1, **SHORT, **environ) as stopped:
        (first,) = stopped
        site.run("stubborn", case)
        until(lambda: site.who("begun", case) == [first])
        stopped[first].send(signal.SIGSTOP)
        with site.working(1, **LONGER) as others:
            (second,) = others
            (run,) = site.ended(case)
            assert run["status"] == "succeeded"
            assert set(site.who("begun", case)[1:]) == {second}
            assert site.who("paid", case) == [second]
            site.allow(case)
            stopped[first].send(signal.SIGCONT)
            yield first, second


def test_a_worker_that_was_stopped_past_its_lease_goes_on_as_a_new_one(site: Site) -> None:
    with stopped_past_its_lease(site, "zombie") as (first, second):
        until(lambda: site.who("refused", "zombie") == [first])
        until(lambda: [view for view in site.workers() if view.pid == first])
        os.kill(second, signal.SIGTERM)
        until(lambda: second not in {view.pid for view in site.workers()})
        site.run("works", "afterwards")
        (run,) = site.ended("afterwards")

        states = [view.state for view in site.workers(every=True) if view.pid == first]
        assert run["status"] == "succeeded"
        assert set(site.who("told", "afterwards")) == {first}
        assert (states[0], states[-1]) == ("lost", "alive")
        assert site.who("paid", "zombie") == [second]


def test_what_a_worker_wants_to_do_that_has_not_noticed_its_loss_is_refused(site: Site) -> None:
    with stopped_past_its_lease(site, "deaf", DEAF="yes") as (first, second):
        until(lambda: site.who("refused", "deaf") == [first])

        assert site.who("paid", "deaf") == [second]


@pytest.mark.slow  # it waits for a coincidence that a busy machine may not give
def test_without_the_fence_the_repeated_effect_is_seen(site: Site) -> None:
    with stopped_past_its_lease(site, "unfenced", DEAF="yes", UNFENCED="yes") as (first, second):
        until(lambda: site.who("paid", "unfenced") == [second, first])


def test_a_worker_that_ends_finishes_its_step_and_hands_the_run_on(site: Site) -> None:
    with site.working(2, **FOREVER) as workers:
        site.run("patient", "drained")
        (first,) = until(lambda: site.who("begun", "drained"))
        workers[first].send(signal.SIGTERM)
        until(lambda: [view for view in site.workers() if (view.pid, view.state) == (first, "draining")])
        site.allow("drained")
        (run,) = site.ended("drained")
        (second,) = set(workers) - {first}
        workers[first].stop()

        assert run["status"] == "succeeded"
        assert site.who("begun", "drained") == [first]
        assert site.who("paid", "drained") == [second]
        assert [view.state for view in site.workers(every=True) if view.pid == first] == ["left"]


def test_a_worker_that_ends_gives_back_a_step_that_takes_too_long(site: Site) -> None:
    with site.working(2, **FOREVER, GATEWRIGHT_WORKER__DRAIN="0") as workers:
        site.run("patient", "given-back")
        (first,) = until(lambda: site.who("begun", "given-back"))
        workers[first].stop()
        begun = until(lambda: site.who("begun", "given-back")[1:])
        site.allow("given-back")
        (run,) = site.ended("given-back")

        assert set(workers) == {first, *begun}
        assert run["status"] == "succeeded"
        assert site.who("paid", "given-back") == begun


def test_workers_that_a_supervisor_restarts_wait_for_no_lease(site: Site) -> None:
    with site.working(2, **FOREVER) as workers:
        for case in ("one", "two"):
            site.run("patient", case)
            until(partial(site.who, "begun", case))
        for worker in workers.values():
            worker.kill()
    with site.working(1, **FOREVER) as workers:
        (restarted,) = workers
        for case in ("one", "two"):
            until(partial(site.begun_by, restarted, case))
            site.allow(case)
        ended = site.ended("one", "two")

    assert [run["status"] for run in ended] == ["succeeded", "succeeded"]
    assert site.who("paid", "one") == site.who("paid", "two") == [restarted]


def test_a_worker_executes_and_loads_its_deployments_alone(site: Site) -> None:
    with site.working(1, "--deployment", "works", **FOREVER) as workers:
        (worker,) = workers
        site.run("others", "not-mine")
        site.run("works", "mine")
        site.ended("mine")
        waiting = site.client.get("/v1/runs/not-mine").json()["status"]
        with site.working(1, "--deployment", "others", **FOREVER) as others:
            (other,) = others
            (run,) = site.ended("not-mine")
            loaded = {int(line) for line in Path(f"{site.world}.loaded").read_text("utf-8").split()}

    assert waiting == "queued"
    assert run["output"]["pid"] == other
    assert other in loaded
    assert worker not in loaded


def test_two_services_in_one_folder_do_not_get_in_each_others_way(site: Site) -> None:
    data = site.folder / "data"
    second = site.start("serve", "--no-execute", "--port", "0")
    url = site.url(second)
    until(lambda: (found := presence.find(data)) is not None and found.url == url)
    second.stop()
    found = presence.find(data)
    third = site.start("serve", "--no-execute", "--port", "0")
    site.url(third)
    until(lambda: len(list(data.glob(presence.FILES))) == 2)
    third.kill()
    left = presence.find(data)

    first = site.url(site.server)
    assert [found and found.url, left and left.url] == [first, first]
