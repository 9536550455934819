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
from tests.runtime.bus.carriers import Broker, Prefixed
from tests.runtime.bus.histories import Effect, Findings, check, read
from tests.runtime.bus.workers import TABLES, TOPICS, Point, Task, start

from gatewright.runtime.bus import Bus
from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.writer import Writer, arrival

_EFFECTS = sa.text("SELECT key, number FROM seen ORDER BY id")
_DONE = sa.text("SELECT count(*) FROM message WHERE topic = 'done' OR id LIKE 'done/%'")  # in the log, or the outbox
_LEFT = sa.text(
    'SELECT count(*) FROM cursor JOIN head ON head.topic = cursor.topic AND head."partition" = cursor."partition" '
    "WHERE cursor.\"group\" = 'kafka' AND head.next > cursor.position"
)
PATIENCE = 60.0  # seconds without anything being done


class Field:
    """A database, the messages that were published, and the workers that come and go."""

    def __init__(self, database: Database, url: str, folder: Path, broker: Broker | None) -> None:
        self.database = database
        self.broker = broker
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
        for _ in range(count // keys):
            for key in (f"k{each}" for each in range(keys)):
                number = self.published[key]
                self.published[key] += 1
                for _ in range(1 + (number % 5 == 0)):
                    await bus.publish("work", [key, number], key=key, id=f"{key}-{number}")

    def bus(self, writer: Writer) -> Bus:
        """A bus to publish with; what is to go to Kafka is left in the outbox."""
        carrier = None if self.broker is None else Prefixed(self.broker, TOPICS)
        return Bus(self.database, writer, settings=TOPICS, carrier=carrier)

    def worker(
        self,
        point: Point = "",
        nth: int = 1,
        *,
        stops: bool = False,
        fenced: bool = True,
        forgetful: bool = False,
    ) -> BaseProcess:
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
                stops=stops,
                fenced=fenced,
                broker=self.broker,
                forgetful=forgetful,
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

    async def stopped(self, process: BaseProcess) -> None:
        """Wait until it has stopped itself."""
        async with asyncio.timeout(PATIENCE):
            while not (self._history / f"w{self._started}.stopped").exists():
                assert process.is_alive(), process.exitcode
                await asyncio.sleep(0.01)

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
            return int(connection.execute(_DONE).scalar_one())

    async def finish(self) -> None:
        """Wait until every message has had its effect; the checker says whether once."""
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while len(set(effects := self.effects())) < self.published.total():
            if len(effects) != seen:
                seen, since = len(effects), loop.time()
            assert loop.time() < since + PATIENCE, f"nothing is done any more: {self.findings()}"
            await asyncio.sleep(0.02)

    async def carried(self) -> None:
        """Wait until Kafka has all that was in the outbox, and somebody has noted it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with self._engine.connect() as connection:
                    if not connection.execute(_LEFT).scalar_one():
                        return
                await asyncio.sleep(0.02)

    def findings(self) -> Findings:
        return check(self.published, self.effects(), read(self._history))

    def close(self) -> None:
        for process in list(self.living):
            os.kill(process.pid or 0, signal.SIGCONT)
            self.kill(process)
        self._engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "kafka"])
async def field(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Field]:
    """SQLite with one worker at a time, PostgreSQL with several, and those with Kafka between."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("database_url")
    broker = None
    if request.param == "kafka":
        broker = Broker(request.getfixturevalue("kafka").bootstrap, request.getfixturevalue("topic_prefix"))
    database = of(url, tmp_path)
    database.hold()
    await asyncio.to_thread(database.prepare)
    writer = Writer(database)
    await arrival(writer.submit(lambda transaction: transaction.run(TABLES[database.dialect])))
    await asyncio.to_thread(writer.close)
    found = Field(database, url, tmp_path, broker)
    yield found
    found.close()
    database.release()


async def _publish_all(field: Field, count: int, keys: int) -> None:
    """Publish from this process, and leave the database to the workers."""
    writer = Writer(field.database)
    async with field.bus(writer) as bus:
        await field.publish(bus, count, keys)
    await asyncio.to_thread(writer.close)
    if not field.database.shared:
        field.database.release()


@pytest.mark.parametrize(
    "field", ["sqlite", "postgresql", pytest.param("kafka", marks=pytest.mark.slow)], indirect=True
)
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
            bus = await stack.enter_async_context(field.bus(writer))
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


async def _stopped_beyond_its_lease(field: Field, point: Point, *, fenced: bool = True) -> None:
    """A worker is stopped at a point until another one has done everything, and then goes on."""
    await _publish_all(field, 60, keys=12)
    zombie = field.worker(point, stops=True, fenced=fenced)
    await field.stopped(zombie)
    other = field.worker(fenced=fenced)
    await field.finish()
    os.kill(zombie.pid or 0, signal.SIGCONT)
    if fenced:
        field.kill(other)
        await _publish_all(field, 24, keys=12)  # when it has done these, it has tried what it was at before
        await field.finish()


@pytest.mark.parametrize(
    ("field", "point"),
    [("postgresql", "settling"), ("kafka", "settling"), ("kafka", "sent"), ("kafka", "received")],
    indirect=["field"],
)
async def test_a_process_that_was_stopped_beyond_its_lease_changes_nothing(field: Field, point: Point) -> None:
    await _stopped_beyond_its_lease(field, point)
    assert field.findings().clean, field.findings()
    assert field.derived() == field.published.total()


@pytest.mark.parametrize("field", ["postgresql", "kafka"], indirect=True)
async def test_without_the_fences_the_same_repeats_what_was_done(field: Field) -> None:
    await _stopped_beyond_its_lease(field, "settling", fenced=False)
    async with asyncio.timeout(PATIENCE):
        while not field.findings().repeated:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("field", ["kafka"], indirect=True)
@pytest.mark.parametrize("point", ["sent", "received", "stored"])
async def test_a_process_may_die_while_it_carries(field: Field, point: Point) -> None:
    await _publish_all(field, 60, keys=6)
    assert await field.died(field.worker(point))
    field.worker()
    await field.finish()
    await field.carried()
    await _publish_all(field, 6, keys=6)  # when these have come, all that was sent twice has come twice
    await field.finish()
    assert field.findings().clean, field.findings()
    assert field.derived() == 66


@pytest.mark.parametrize("field", ["kafka"], indirect=True)
async def test_without_the_look_at_ids_what_was_sent_twice_is_done_twice(field: Field) -> None:
    await _publish_all(field, 60, keys=6)
    assert await field.died(field.worker("sent", forgetful=True))
    field.worker(forgetful=True)
    async with asyncio.timeout(PATIENCE):
        while not field.findings().repeated:
            await asyncio.sleep(0.02)
