"""News from a thread on its way to an event loop: one wake-up brings all that has gathered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Letters of threads for `receive`, which the event loop calls for each in the order they were posted."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Callable[[T], None]) -> None:
        self._loop = loop
        self._receive = receive
        self._letters: deque[T] = deque()
        self._called = False

    def post(self, letter: T) -> None:
        """Called by any thread."""
        self._letters.append(letter)
        if not self._called:  # set back before the letters are taken out, so that none is left behind
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._called = False
        while self._letters:
            self._receive(self._letters.popleft())
