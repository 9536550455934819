"""Courses: code that waits, written once as a generator, and driven by blocking or by awaiting code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from gatewright.agents.effects import IDEMPOTENCY_KEY

from .identity import WITHIN
from .store.writer import arrival


class Act(NamedTuple):
    """Perform the effect at `place` with these arguments; `key` is its idempotency key."""

    args: Mapping[str, Any]
    place: str
    key: str


class Pause(NamedTuple):
    """Wait a moment."""

    seconds: float


@contextmanager
def _performing(act: Act) -> Generator[None]:
    key, within = IDEMPOTENCY_KEY.set(act.key), WITHIN.set(act.place)
    try:
        yield
    finally:
        WITHIN.reset(within)
        IDEMPOTENCY_KEY.reset(key)


Step = Future[Any] | Act | Pause
Course = Generator[Step, Any, Any]
Action = Callable[[Mapping[str, Any]], Any]
"""Performs an effect with the arguments that it is given; `adrive` awaits what it returns."""


def _nothing(args: Mapping[str, Any]) -> Any:
    raise AssertionError("this course performs nothing: it was driven without an action")


def drive(course: Course, action: Action = _nothing) -> Any:
    """Run a course to its end, blocking; without an action it must be one that performs nothing."""
    reply: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = course.send(reply) if error is None else course.throw(error)
        except StopIteration as end:
            return end.value
        reply, error = None, None
        try:
            if isinstance(step, Act):
                with _performing(step):
                    reply = action(step.args)
            elif isinstance(step, Pause):
                threading.Event().wait(step.seconds)
            else:
                reply = step.result()
        except BaseException as raised:
            error = raised


async def adrive(course: Course, action: Action = _nothing) -> Any:
    """Run a course to its end, awaiting; without an action it must be one that performs nothing."""
    reply: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = course.send(reply) if error is None else course.throw(error)
        except StopIteration as end:
            return end.value
        reply, error = None, None
        try:
            if isinstance(step, Act):
                with _performing(step):
                    reply = await action(step.args)
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                reply = await arrival(step)
        except BaseException as raised:
            error = raised
