"""Processes that die at any moment, or are stopped beyond their leases: nothing is lost, and nothing is there twice.

The checker reads what the handlers wrote into files of their own, and what they did in the settling transactions.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.runtime.bus.histories import Effect, Findings, check, read
from tests.runtime.bus.workers import LEASE, TABLES, TOPICS, Point, Task, start

from gatewright.runtime.bus import Bus
from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.writer import Writer, arrival

_EFFECTS = sa.text("SELECT key, number FROM seen ORDER BY id")
_DONE = sa.text("SELECT key, \"offset\" FROM message WHERE topic = 'done' ORDER BY number")
PATIENCE = 60.0  # seconds without anything being done


class Field:
    """A database, the messages that were published, and the workers that come and go."""

    def __init__(self, database: Database, url: str, folder: Path) -> None:
        self.database = database
        self.published: Counter[str] = Counter()
        self.living: list[BaseProcess] = []
        self._url = url
        self._folder = folder
        self._history = folder / "history"
        self._history.mkdir()
        self._engine = database.connect(readonly=True)
        self._started = 0

    async def publish(self, bus: Bus, count: int, keys: int) -> None:
        """Publish, some of it again and again."""
        for turn in range(count // keys):
            wanted = [(f"k{key}", turn) for key in range(keys)]
            for key, number in wanted:
                self.published[key] += 1
                for _ in range(1 + (number % 5 == 0)):
                    await bus.publish("work", [key, number], key=key, id=f"{key}-{number}")

    def worker(self, point: Point = "", nth: int = 1, *, fenced: bool = True, slow: float = 0.004) -> BaseProcess:
        """Start one more."""
        self._started += 1
        process = start(
            Task(
                url=self._url,
                folder=self._folder,
                history=self._history,
                name=f"w{self._started}",
                point=point,
                nth=nth,
                fenced=fenced,
                slow=slow,
            )
        )
        self.living.append(process)
        return process

    async def died(self, process: BaseProcess) -> bool:
        """Wait until it has killed itself; false if everything was done before."""
        while process.is_alive():
            if len(self.effects()) >= self.published.total():
                return False
            await asyncio.sleep(0.01)
        assert process.exitcode == -signal.SIGKILL, process.exitcode
        self.living.remove(process)
        return True

    def kill(self, process: BaseProcess) -> None:
        """End it at once."""
        process.kill()
        process.join()
        self.living.remove(process)

    def effects(self) -> list[Effect]:
        with self._engine.connect() as connection:
            return [Effect(*row) for row in connection.execute(_EFFECTS)]

    def derived(self) -> int:
        with self._engine.connect() as connection:
            return len(connection.execute(_DONE).all())

    async def finish(self) -> None:
        """Wait until every message has had its effect; the checker says whether once."""
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while len(set(effects := self.effects())) < self.published.total():
            if len(effects) != seen:
                seen, since = len(effects), loop.time()
            assert loop.time() < since + PATIENCE, f"nothing is done any more: {self.findings()}"
            await asyncio.sleep(0.02)

    def findings(self) -> Findings:
        return check(self.published, self.effects(), read(self._history))

    def close(self) -> None:
        for process in list(self.living):
            os.kill(process.pid or 0, signal.SIGCONT)
            self.kill(process)
        self._engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
async def field(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Field]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = of(url, tmp_path)
    database.hold()
    await asyncio.to_thread(database.prepare)
    writer = Writer(database)
    await arrival(writer.submit(lambda transaction: transaction.run(TABLES[database.dialect])))
    await asyncio.to_thread(writer.close)
    found = Field(database, url, tmp_path)
    yield found
    found.close()
    database.release()


async def _publish_all(field: Field, count: int, keys: int) -> None:
    """Publish from this process, and leave the database to the workers."""
    writer = Writer(field.database)
    async with Bus(field.database, writer, settings=TOPICS) as bus:
        await field.publish(bus, count, keys)
    await asyncio.to_thread(writer.close)
    field.database.release()


@pytest.mark.parametrize("point", ["claimed", "handled", "before the commit", "after the commit"])
async def test_a_process_may_die_at_any_point(field: Field, point: Point) -> None:
    await _publish_all(field, 60, keys=6)
    deaths = 0
    for nth in (1, 4, 9):
        deaths += await field.died(field.worker(point, nth))
    assert deaths >= 2
    field.worker()
    await field.finish()
    assert field.findings().clean, field.findings()
    assert field.derived() == 60


async def test_processes_may_die_at_any_moment(field: Field) -> None:
    await _killed_at_random(field, kills=6, count=400)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_processes_may_die_at_any_moment_two_hundred_times(field: Field) -> None:
    await _killed_at_random(field, kills=200, count=12_000)


async def _killed_at_random(field: Field, *, kills: int, count: int) -> None:
    moments = random.Random(count)
    async with AsyncExitStack() as stack:
        if field.database.shared:
            writer = Writer(field.database)
            stack.callback(writer.close)
            bus = await stack.enter_async_context(Bus(field.database, writer, settings=TOPICS))
            publishing = asyncio.create_task(field.publish(bus, count, keys=20))
        else:  # SQLite has one process at a time
            publishing = asyncio.create_task(_publish_all(field, count, keys=20))
            await publishing
        workers = 3 if field.database.shared else 1
        for _ in range(workers):
            field.worker()
        for _ in range(kills):
            await asyncio.sleep(moments.uniform(0.05, 0.4))
            field.kill(moments.choice(field.living))
            field.worker()
        await publishing
        await field.finish()
    assert field.findings().clean, field.findings()
    assert field.derived() == field.published.total()


async def _stopped_beyond_the_lease(field: Field, *, fenced: bool, zombies: int) -> Findings:
    """Two workers, of which one is always stopped until the other has taken over, and then goes on."""
    await _publish_all(field, 120, keys=12)
    workers = [field.worker(fenced=fenced, slow=0.05) for _ in range(2)]
    moments = random.Random(zombies)
    for turn in range(zombies):
        done = len(field.effects())
        while len(field.effects()) < min(done + 5, field.published.total()):
            await asyncio.sleep(0.01)
        victim = workers[turn % 2]
        os.kill(victim.pid or 0, signal.SIGSTOP)
        await asyncio.sleep(LEASE * moments.uniform(2.0, 2.5))
        os.kill(victim.pid or 0, signal.SIGCONT)
    await field.finish()
    await asyncio.sleep(0.5)  # what comes too late comes now
    return field.findings()


@pytest.mark.parametrize("field", ["postgresql"], indirect=True)
async def test_a_process_that_was_stopped_beyond_its_lease_changes_nothing(field: Field) -> None:
    findings = await _stopped_beyond_the_lease(field, fenced=True, zombies=3)
    assert findings.clean, findings
    assert field.derived() == field.published.total()


@pytest.mark.parametrize("field", ["postgresql"], indirect=True)
async def test_without_the_fences_the_same_repeats_what_was_done(field: Field) -> None:
    findings = await _stopped_beyond_the_lease(field, fenced=False, zombies=3)
    assert findings.repeated
