"""The time as the service tells it: never backwards, whatever happens to the machine's clock."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

MICROSECONDS = 1_000_000  # in a second


class Clock:
    """Wall-clock time in microseconds since the epoch that never decreases while the process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> int:
        """The time, or the last one told where the machine's clock has been set back."""
        with self._lock:
            self._last = max(self._last, time.time_ns() // 1000)
            return self._last


def moment(microseconds: int) -> datetime:
    """The time of a database column."""
    return datetime.fromtimestamp(microseconds // MICROSECONDS, UTC).replace(microsecond=microseconds % MICROSECONDS)
