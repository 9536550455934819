"""Asking external guards: all at once, each with its time, and never waiting for one that hangs.

A scorer is other people's code. It runs in threads of its own, which are abandoned when its time is over; when too
many of them have not come back, it is not called any more but counts as failed at once.
"""

from __future__ import annotations

import asyncio
import inspect
import pkgutil
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, cast

from gatewright.agents.errors import GatewrightError, LimitError, UsageError
from gatewright.safety import scorers
from gatewright.safety.rules.events import Event, Hook
from gatewright.safety.scorers import Content, Scored, Scorer

from . import config

MAX_ABANDONED = 8  # calls of one guard that did not end in time and still run
GRACE = 0.5  # seconds for what awaits to end by itself when its time is over; what blocks does not


class Scoring:
    """The external guards of one deployment."""

    def __init__(self, guards: Mapping[str, config.ExternalGuard]) -> None:
        """Load what the guards name.

        Raises:
            UsageError: a guard cannot be loaded.
        """
        self._guards = [_Asked(name, _load(name, settings), settings) for name, settings in guards.items()]
        self._loop: _Loop | None = None
        self._lock = threading.Lock()

    def wants(self, hook: Hook, name: str) -> bool:
        """Whether a guard looks at such events."""
        return any(guard.wants(hook, name) for guard in self._guards)

    def submit(self, event: Event) -> Future[Scored]:
        """Ask the guards that look at the event; ends when all have answered or had their time, and never raises."""
        with self._lock:
            if self._loop is None:
                self._loop = _Loop("gatewright-guards")
        asked = [guard for guard in self._guards if guard.wants(event.hook, event.name)]
        return self._loop.run(_answers(asked, Content.of(event)))

    def close(self) -> None:
        """Stop asking; calls that run are left alone."""
        for guard in self._guards:
            guard.close()
        if self._loop is not None:
            self._loop.close()


async def _answers(guards: list[_Asked], content: Content) -> Scored:
    found = await asyncio.gather(*(guard.ask(content) for guard in guards))
    return Scored(
        scores={name: score for one in found for name, score in one.scores.items()},
        findings=tuple(finding for one in found for finding in one.findings),
    )


class _Asked:
    """One guard: when it is asked, how long, and how many of its calls have not come back."""

    def __init__(self, name: str, scorer: Scorer, settings: config.ExternalGuard) -> None:
        self.name = name
        self._scorer = scorer
        self._settings = settings
        self._awaits = inspect.iscoroutinefunction(scorer.score)
        self._loop: _Loop | None = None
        self._lock = threading.Lock()
        self._abandoned = 0

    def wants(self, hook: Hook, name: str) -> bool:
        return hook in self._settings.hooks and (not self._settings.names or name in self._settings.names)

    async def ask(self, content: Content) -> Scored:
        try:
            scores = scorers.checked(await self._answer(content))
        except TimeoutError:
            return Scored(findings=(scorers.failure(self.name, f"no answer in {self._settings.timeout:g} s"),))
        except GatewrightError as error:
            return Scored(findings=(scorers.failure(self.name, str(error)),))
        except Exception as error:  # whatever other people's code raises
            return Scored(findings=(scorers.failure(self.name, f"{type(error).__name__}: {error}"),))
        return Scored(scores={f"{self.name}.{name}": score for name, score in scores.items()})

    async def _answer(self, content: Content) -> object:
        if self._abandoned >= MAX_ABANDONED:
            raise LimitError(
                f"{self._abandoned} calls have not come back and it is not asked any more; mend it, or raise its "
                f"timeout of {self._settings.timeout:g} s"
            )
        call = self._start(content)
        waiter = asyncio.wrap_future(call)
        done, _waiting = await asyncio.wait([waiter], timeout=self._settings.timeout + (GRACE if self._awaits else 0))
        if done:
            return waiter.result()
        with self._lock:
            self._abandoned += 1
        waiter.add_done_callback(lambda late: late.cancelled() or late.exception())  # so that it counts as seen
        call.add_done_callback(self._came_back)
        raise TimeoutError

    def _came_back(self, _call: Future[Any]) -> None:
        with self._lock:
            self._abandoned -= 1

    def _start(self, content: Content) -> Future[Any]:
        if self._awaits:
            if self._loop is None:
                self._loop = _Loop(f"gatewright-guard-{self.name}")
            return self._loop.run(self._in_time(content))
        return _threaded(lambda: _blocking(self._scorer, content), f"gatewright-guard-{self.name}")

    async def _in_time(self, content: Content) -> object:
        async with asyncio.timeout(self._settings.timeout):
            return await cast("Awaitable[object]", self._scorer.score(content))

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()


def _blocking(scorer: Scorer, content: Content) -> object:
    found = scorer.score(content)
    return asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found


async def _awaited(found: Awaitable[object]) -> object:
    return await found


def _threaded(call: Callable[[], object], name: str) -> Future[Any]:
    """Call in a thread of its own, which the process does not wait for when it ends."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # a call that runs cannot be cancelled, only left alone

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # told to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


def _load(name: str, settings: config.ExternalGuard) -> Scorer:
    try:
        found: Any = pkgutil.resolve_name(settings.use)
        scorer = found(**settings.settings) if inspect.isclass(found) or inspect.isroutine(found) else found
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"guard {name!r}: {settings.use!r} cannot be loaded: {error}; write 'module:attribute'"
        ) from error
    except TypeError as error:
        raise UsageError(f"guard {name!r}: {settings.use!r} does not take these settings: {error}") from error
    if scorer is found and settings.settings:
        raise UsageError(f"guard {name!r}: {settings.use!r} is no class or function, so it takes no settings")
    if not isinstance(scorer, Scorer):
        raise UsageError(f"guard {name!r}: {settings.use!r} gives a {type(scorer).__name__}, which has no `score`")
    return scorer
