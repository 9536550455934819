"""The log of a process that stays: warnings and errors on stderr, each with its time and level."""

from __future__ import annotations

import logging
import threading
import time

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
DATES = "%Y-%m-%dT%H:%M:%S%z"
QUIET = 60.0  # seconds in which the same is said once
MOST = 1000  # lines of which it is known how often they were said since


class Sparing(logging.Filter):
    """Lets the same line pass once in `QUIET` seconds: that a database is away, several parts say every second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self._lock = threading.Lock()  # a handler asks its filters before it takes its own

    def filter(self, record: logging.LogRecord) -> bool:
        text, now = record.getMessage(), time.monotonic()
        with self._lock:
            if len(self._said) >= MOST:
                self._said.clear()
            at, more = self._said.get((record.name, text), (now - QUIET, 0))
            passes = now - at >= QUIET
            self._said[record.name, text] = (now, 0) if passes else (at, more + 1)
        if passes and more:
            record.msg, record.args = f"{text} ({more} times more since it was last written)", ()
        return passes


def begin() -> None:
    """Write the log so, unless an agent's code has set up another."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(logging.Formatter(FORMAT, DATES))
        logging.lastResort.addFilter(Sparing())
