"""Processes that consume, and are killed or stopped at any moment."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from tests.runtime.bus.carriers import Broker, Forgetful, Prefixed, hasten
from tests.runtime.bus.histories import Notebook
from tests.runtime.bus.sites import UnfencedBus

from gatewright.agents import Retry
from gatewright.runtime.bridge import intake, outboxes
from gatewright.runtime.bus import Bus, Delivery, Subscription, Topic
from gatewright.runtime.kafka import Consumer, Record
from gatewright.runtime.store.database import of
from gatewright.runtime.store.writer import Transaction, Writer

Point = Literal[
    "", "claimed", "handled", "settling", "before the commit", "after the commit", "sent", "received", "stored"
]
"""Where a worker comes by: the last three with a batch that it carries to Kafka or from there."""

LEASE = 0.8  # seconds
TOPICS = {
    "work": Topic(partitions=8, attempts=1000, backoff=0.01, longest_backoff=0.05),
    "done": Topic(partitions=8),
    **outboxes(),
}
TABLES = {
    "sqlite": sa.text("CREATE TABLE seen (id INTEGER PRIMARY KEY, key TEXT, number BIGINT)"),
    "postgresql": sa.text("CREATE TABLE seen (id BIGSERIAL PRIMARY KEY, key TEXT, number BIGINT)"),
}
_SEE = sa.text("INSERT INTO seen (key, number) VALUES (:key, :number)")

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.runtime.bus.workers"])


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker is to do: consume, and kill or stop itself when it is at `point` for the `nth` time."""

    url: str
    folder: Path
    history: Path
    name: str
    point: Point = ""
    nth: int = 1
    stops: bool = False
    fenced: bool = True
    broker: Broker | None = None
    forgetful: bool = False
    slow: float = 0.004  # seconds that a message takes at most


def start(task: Task) -> BaseProcess:
    """Start a worker. It ends only by a signal."""
    process = _processes.Process(target=_main, args=(task,), daemon=True)
    process.start()
    return process


def _main(task: Task) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hasten(setattr)
    asyncio.run(_Worker(task).run())


class _Carrier(Prefixed):
    """Looks whether it is time to die as soon as Kafka has something."""

    def __init__(self, broker: Broker, topics: Mapping[str, Topic], sent: Callable[[], None]) -> None:
        super().__init__(broker, topics)
        self._sent = sent

    async def _give(self, records: Sequence[Record]) -> None:
        await super()._give(records)
        if records:
            self._sent()


class _Worker:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._book = Notebook(task.history / f"{task.name}.jsonl", task.name)
        self._random = random.Random(task.name)
        self._passed = 0

    async def run(self) -> None:
        task = self._task
        database = of(task.url, task.folder)
        while True:
            try:
                database.hold()
                break
            except Exception:  # the system has not buried the one before yet
                await asyncio.sleep(0.01)
        writer = self._writer = Writer(database)
        carrier = None if task.broker is None else _Carrier(task.broker, TOPICS, lambda: self._at("sent"))
        bus = (Bus if task.fenced else UnfencedBus)(database, writer, settings=TOPICS, lease=LEASE, carrier=carrier)
        await bus.open(alone=not database.shared)
        if task.forgetful:
            bus.log.__class__ = Forgetful
        self._plant(Subscription, "_take_on", "claimed")
        self._plant(Subscription, "_transact", "settling")
        self._plant(Subscription, "_settled", "after the commit", when=lambda values: bool(values.get("dropped")))
        self._plant(intake.Intake, "_take", "received")
        self._plant(Consumer, "release", "stored")
        if carrier is not None:
            await carrier.open(bus)
        await bus.subscribe("work", "g", self._handle, concurrency=8)
        await asyncio.Event().wait()

    async def _handle(self, delivery: Delivery) -> None:
        key, number = delivery.data
        self._book.begin(key, number)
        await asyncio.sleep(self._random.random() * self._task.slow)
        if self._random.random() < 0.05:
            raise Retry(after=0.01)

        def see(transaction: Transaction) -> None:
            transaction.run(_SEE, key=key, number=number)
            self._at("before the commit")

        delivery.transact(see)
        delivery.publish("done", [key, number], key=key)
        self._at("handled")

    def _plant(
        self, kind: type, name: str, point: Point, *, when: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> None:
        """Have a method of the bus look whether it is time to die, before it does anything."""
        method = getattr(kind, name)

        def planted(found: Any, *args: Any, **values: Any) -> Any:
            if when(values):
                self._at(point)
            return method(found, *args, **values)

        setattr(kind, name, planted)

    def _at(self, point: Point) -> None:
        if point == self._task.point:
            self._passed += 1
            if self._passed != self._task.nth:
                return
            if not self._task.stops:
                os.kill(os.getpid(), signal.SIGKILL)
            self._writer.submit(lambda _: None).result()  # or others would wait for the locks of its transaction
            (self._task.history / f"{self._task.name}.stopped").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
