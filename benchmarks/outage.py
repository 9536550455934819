"""Publishing over Kafka while its broker is away for a minute: what it takes, whom it holds up, and what is lost.

64 tasks make 100,000 attempts to publish a message of 1 KB, `disk` durability, over the whole bus: outbox in SQLite,
broker, log, a group in the same process. Before that the broker is killed (SIGKILL) or frozen (SIGSTOP); a minute later
it is started again, or goes on. 50,000 messages may wait for it: then each attempt waits for room until its time is
over, and ends with `BusyError`, of which nothing is stored.

`_memory` is the most that the process takes over what it took when it was idle, until everything is delivered.
`_lateness_p99` is how late a timer of 10 ms is on the event loop while the broker is away. `_late_awaits` are attempts
that ended later than their deadline by more than the time of a commit. `_wrong` are accepted messages that were not
delivered, delivered more than once or out of the order of their key, and delivered ones that were not accepted.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import statistics
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise

import uvloop
from deploy.cluster.brokers import broker
from deploy.cluster.kafka import Kafka
from deploy.cluster.tansu import Tansu

from gatewright.agents.errors import BusyError
from gatewright.runtime.bridge import outboxes
from gatewright.runtime.bus import Bus, Delivery, Topic

from . import carried
from .figures import Bar, Figure, say
from .program import Setting, main

TASKS = 64
TEXT = "x" * 1000
LIMIT = 50_000  # messages that may wait for the broker
TIMEOUT = 0.05  # seconds that an attempt waits for room
COMMIT = 0.25  # seconds that a commit may take
TICK = 0.01  # seconds
PATIENCE = 300.0  # seconds for everything to arrive
MEMORY = Bar(value=50.0, sense="at most", of="ours")
LATENESS = Bar(value=20.0, sense="at most", of="ours")
NONE = Bar(value=0.0, sense="at most", of="ours")


class Watch:
    """What the process takes, and how late its event loop is."""

    def __init__(self) -> None:
        self.most = 0.0
        self.lateness = array("d")
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.lateness.append((loop.time() - due) * 1000)
            self.most = max(self.most, resident())

    def p99(self) -> float:
        """Lateness since the last time, in milliseconds."""
        taken, self.lateness = self.lateness, array("d")
        return statistics.quantiles(taken, n=100)[98]

    async def close(self) -> None:
        """Look no more."""
        self._task.cancel()
        await asyncio.wait([self._task])


def resident() -> float:
    """Memory of this process, in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Attempts:
    """Attempts to publish, each task's with a key of its own, and what comes of them."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self._bus = bus
        self._topic = topic
        self._numbers = itertools.count()
        self.accepted = [array("l") for _ in range(TASKS)]
        self.delivered = [array("l") for _ in range(TASKS)]
        self.busy = 0
        self.latest = 0.0  # seconds after a deadline
        self.late = 0

    async def handle(self, delivery: Delivery) -> None:
        """Note a message."""
        self.delivered[delivery.data["task"]].append(delivery.data["number"])

    async def make(self, count: int) -> None:
        """So many attempts, by all tasks together."""
        numbers = islice(self._numbers, count)
        async with asyncio.TaskGroup() as group:
            for task in range(TASKS):
                group.create_task(self._make(task, numbers))

    async def _make(self, task: int, numbers: Iterator[int]) -> None:
        for number in numbers:
            data = {"task": task, "number": number, "text": TEXT}
            deadline = time.monotonic() + TIMEOUT
            try:
                await self._bus.publish(self._topic, data, key=f"case-{task}", timeout=TIMEOUT)
                self.accepted[task].append(number)
            except BusyError:
                self.busy += 1
            over = time.monotonic() - deadline
            self.latest = max(self.latest, over)
            self.late += over > COMMIT

    def arrived(self) -> bool:
        """Whether as many were delivered as were accepted."""
        return sum(map(len, self.delivered)) >= sum(map(len, self.accepted))

    def wrong(self) -> int:
        """How many are lost, repeated, strange or out of order."""
        found = 0
        for accepted, delivered in zip(self.accepted, self.delivered, strict=True):
            there, here = Counter(accepted), Counter(delivered)
            found += (there - here).total() + (here - there).total()
            found += sum(later < earlier for earlier, later in pairwise(delivered))
        return found


async def outage(
    name: str, bus: Bus, away: Callable[[], None], back: Callable[[], None], setting: Setting
) -> Sequence[Figure]:
    """The figures of one outage."""
    attempts = Attempts(bus, name)
    await bus.subscribe(name, "noting", attempts.handle)
    await attempts.make(setting.size(5_000, 200))  # all connections are there, and every cache has its size
    await arrival(attempts)
    gc.collect()
    await asyncio.sleep(setting.size(2, 0))
    await asyncio.to_thread(away)
    idle, watch = resident(), Watch()
    began = time.monotonic()
    await attempts.make(setting.size(100_000, 1000))
    took = time.monotonic() - began
    await asyncio.sleep(max(0.0, setting.size(60, 1) - took))
    lateness, most = watch.p99(), watch.most
    begun = time.monotonic()
    await asyncio.to_thread(back)
    await arrival(attempts)
    there = time.monotonic() - begun
    await asyncio.sleep(setting.size(5, 0))  # for what might be delivered again
    say(
        f"outage: {name}: attempts took {took:.1f} of {begun - began:.1f} s, {attempts.busy} had no room, the last "
        f"ended {attempts.latest * 1000:.0f} ms after its deadline; memory was {most - idle:.1f} MB over idle till the "
        f"broker was back; everything was there {there:.1f} s later, with a lateness p99 of {watch.p99():.1f} ms"
    )
    await watch.close()
    return [
        Figure(name=f"{name}_memory", unit="MB", ours=max(0.0, watch.most - idle), bar=MEMORY),
        Figure(name=f"{name}_lateness_p99", unit="ms", ours=lateness, bar=LATENESS),
        Figure(name=f"{name}_late_awaits", unit="awaits", ours=attempts.late, bar=NONE),
        Figure(name=f"{name}_wrong", unit="messages", ours=attempts.wrong(), bar=NONE),
    ]


async def arrival(attempts: Attempts) -> None:
    """Wait until all that was accepted is delivered, at most for `PATIENCE`; what is missing then is counted."""
    end = time.monotonic() + PATIENCE
    while not attempts.arrived() and time.monotonic() < end:
        await asyncio.sleep(0.05)


def _ways(server: Kafka | Tansu) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    frozen = (server.pause, server.resume)
    return {"killed": (server.kill, server.restart), "frozen": frozen} if server.durable else {"frozen": frozen}


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures; where the broker does not keep what it has when it is killed, those of a frozen one."""
    server = broker(setting.folder / "broker")
    settings = {name: topic.model_copy(update={"limit": LIMIT}) for name, topic in outboxes().items()}
    settings |= dict.fromkeys(_ways(server), Topic(durability="disk"))
    await asyncio.to_thread(server.start)
    figures: list[Figure] = []
    try:
        async with carried.opened(setting.folder / "ours", settings, server.bootstrap) as bus:
            for name, (away, back) in _ways(server).items():
                say(f"outage: the broker is {name}")
                figures += await outage(name, bus, away, back, setting)
    finally:
        await asyncio.to_thread(server.stop)
    return figures


if __name__ == "__main__":
    # As the service does.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # pyright: ignore[reportDeprecated]  # by Python 3.14
    main(measure, __doc__)
