"""Who is told when something happens: watchers of runs, and those who wait for a run to end."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from itertools import islice
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel

from .feed import Feed
from .store.bell import Bell
from .views import Event, RunView

KEPT = 1000  # events of a run that a late watcher still gets
RUNS = 4096  # runs whose events are kept, the newest
WEIGHT = 64 * 2**20  # bytes that all events may weigh together, by a rough measure; the least recently told go first
MEASURED = 1000  # values of an event that are looked at to weigh it
LOOKED_AT = 64  # of the oldest runs, to find one that nobody waits for

EventType = Literal["run", "update", "effect", "approval"]


class Mark(NamedTuple):
    """What is known of a run: the number of its newest event, and how often it was stirred."""

    event: int
    stirs: int


class _Watched:
    """The events of one run and those who wait for more."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=KEPT)
        self.count = 0
        self.stirs = 0
        self.weight = 0
        self.waiters: set[asyncio.Future[None]] = set()
        self.patient: set[asyncio.Future[None]] = set()  # those who wait for the next `run` event alone

    def wake(self, type: str | None) -> None:
        """Let those go who wait for an event of this type; all of them for None."""
        for waiters in (self.waiters, self.patient) if type in ("run", None) else (self.waiters,):
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            waiters.clear()


class Hub:
    """Events of runs, in memory: a watcher that connects later gets what is kept, then what follows.

    Where several processes share the database, the `feed` tells of all of them; then only what this process says of
    the status of runs is kept here.
    """

    def __init__(self, bell: Bell, feed: Feed | None = None) -> None:
        self._bell = bell
        self._feed = feed
        bell.on("run:", lambda name: self._stir(name.removeprefix("run:")))
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._weight = 0
        self._closed = False

    def publish(self, run_id: str, type: str, data: dict[str, Any]) -> None:
        """Tell the watchers of a run. May be called from any thread."""
        if self._feed is not None:
            self._feed.publish(run_id, type, data)
            if type != "run":
                return
            if data["run"].status not in ("queued", "running"):  # else nobody waits for it
                self._bell.ring(f"run:{run_id}")
        if threading.get_ident() == self._thread:
            self._publish(run_id, cast("EventType", type), data)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._publish, run_id, cast("EventType", type), data)

    def _publish(self, run_id: str, type: EventType, data: dict[str, Any]) -> None:
        feed = self._watch(run_id)
        self._watched.move_to_end(run_id)
        feed.events.append(Event(seq=feed.count, type=type, data=data))
        feed.count += 1
        feed.wake(type)
        weight = weigh(data)
        feed.weight += weight
        self._weight += weight
        self._make_room()

    def _watch(self, run_id: str) -> _Watched:
        feed = self._watched.get(run_id)
        if feed is None:
            feed = self._watched[run_id] = _Watched()
            self._make_room()
        return feed

    def _make_room(self) -> None:
        while len(self._watched) > 1 and (len(self._watched) > RUNS or self._weight > WEIGHT):
            some = islice(self._watched.items(), min(LOOKED_AT, len(self._watched) - 1))  # thousands may be waited for
            oldest = next((id for id, kept in some if not (kept.waiters or kept.patient)), None)
            if oldest is None:
                return
            self._weight -= self._watched.pop(oldest).weight

    def _stir(self, run_id: str) -> None:
        """Something may have happened to a run in another process; without an id, to any."""
        found = self._watched.get(run_id)
        for feed in self._watched.values() if not run_id else [found] if found is not None else []:
            feed.stirs += 1
            feed.wake("run")

    def forget(self) -> None:
        """Drop what is kept: the runs are executed by others by now."""
        for run_id, feed in list(self._watched.items()):
            self._weight -= self._watched.pop(run_id).weight
            feed.wake(None)

    async def changed(self, run_id: str, after: int, *, timeout: float) -> list[Event]:
        """The events of a run after number `after`; waits for one up to `timeout` seconds, then gives none."""
        if self._feed is not None:
            return await self._feed.changed(run_id, after, timeout=timeout)
        feed = self._watch(run_id)
        feed.count = max(feed.count, after + 1)  # its beginning may have been dropped meanwhile: go on counting
        if feed.count - 1 <= after and not self._closed:
            waiter: asyncio.Future[None] = self._loop.create_future()
            feed.waiters.add(waiter)
            try:
                async with asyncio.timeout(timeout):
                    await waiter
            except TimeoutError:
                return []
            finally:
                feed.waiters.discard(waiter)
        return [event for event in feed.events if event.seq > after]

    async def told(self, run_id: str, since: Mark, *, timeout: float) -> bool:
        """Wait for a `run` event since a mark; false when there was none in `timeout` seconds, or when another process
        may know of one.

        Unlike `changed` it sleeps through everything else that a run does.
        """
        feed = self._watch(run_id)
        if self._closed or feed.stirs != since.stirs or _told(feed, since):
            return self._closed or _told(feed, since)
        waiter: asyncio.Future[None] = self._loop.create_future()
        feed.patient.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return False
        finally:
            feed.patient.discard(waiter)
        return self._closed or _told(feed, since)

    def mark(self, run_id: str) -> Mark:
        """What is known of a run now."""
        feed = self._watch(run_id)
        return Mark(feed.count - 1, feed.stirs)

    async def newest(self, run_id: str) -> int:
        """The number of the newest event of a run; -1 where there is none."""
        if self._feed is not None:
            return await self._feed.newest(run_id)
        feed = self._watched.get(run_id)
        return -1 if feed is None else feed.count - 1

    def newest_run(self, run_id: str) -> RunView | None:
        """The run as this process has told its status last."""
        feed = self._watched.get(run_id)
        for event in reversed(feed.events if feed is not None else ()):
            if event.type == "run":
                return cast("RunView", event.data["run"])
        return None

    @property
    def fed(self) -> bool:
        """Whether events come through a database that several processes share."""
        return self._feed is not None

    def close(self) -> None:
        """Let everybody who waits go."""
        self._closed = True
        if self._feed is not None:
            self._feed.close()
        for feed in self._watched.values():
            feed.wake(None)

    @property
    def closed(self) -> bool:
        """Whether the service is going away."""
        return self._closed


def _told(feed: _Watched, since: Mark) -> bool:
    return any(event.type == "run" and event.seq > since.event for event in feed.events)


def weigh(data: Any) -> int:
    """About how many bytes a value holds, from its first texts and parts; exact only in its order of magnitude."""
    total, pending = 0, [data]
    for _ in range(MEASURED):
        if not pending:
            break
        part = pending.pop()
        total += 64
        if isinstance(part, str | bytes):
            total += len(part)
        elif isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, list | tuple):
            pending.extend(part)
        elif isinstance(part, BaseModel):
            pending.extend(part.__dict__.values())
    return total + 64 * len(pending)
