"""The time as the service tells it: always forward, whatever happens to the machine's clock."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

MICROSECONDS = 1_000_000  # in a second

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """Wall-clock time in microseconds since the epoch that always goes forward while the process lives.

    Where the machine's clock is set back, time goes on at half its speed until the machine has caught up; were it to
    stand still, what is due in a second would be due only then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = 0
        self._at = time.monotonic_ns() // 1000

    def now(self) -> int:
        """The time."""
        with self._lock:
            at = time.monotonic_ns() // 1000
            told = max(self._told + (at - self._at) // 2, time.time_ns() // 1000)
            if told > self._told:
                self._told, self._at = told, at
            return self._told


def microseconds(at: datetime) -> int:
    """A time as database columns hold it; without a time zone it is taken for UTC."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """The time of a database column."""
    return datetime.fromtimestamp(microseconds // MICROSECONDS, UTC).replace(microsecond=microseconds % MICROSECONDS)
