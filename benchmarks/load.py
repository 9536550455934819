"""What a PostgreSQL server and other processes of this machine are busy with."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from deploy.cluster.processes import descendants

_TICK = os.sysconf("SC_CLK_TCK")
LOOK = 0.02  # seconds between two looks at what backends wait for


def cpu(pids: Iterable[int]) -> float:
    """Seconds of CPU time that processes have used, and their children that have ended."""
    return sum(_used(pid) for pid in pids)


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    return [pid, *descendants(pid)]


def _used(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK  # proc(5): utime, stime, cutime, cstime


class Waits:
    """Counts what the backends of a database wait for while they have something to do, as seen in many looks."""

    def __init__(self, url: str) -> None:
        self.seen: Counter[str] = Counter()
        self.looks = 0
        self._url = url.replace("+psycopg", "")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        query = (
            "SELECT coalesce(wait_event_type || ':' || wait_event, 'CPU') FROM pg_stat_activity"
            " WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.wait(LOOK):
                self.looks += 1
                self.seen.update(row[0] for row in connection.execute(query))

    def told(self) -> str:
        """The most frequent ones, with how many backends were in them on average."""
        most = self.seen.most_common(6)
        return ", ".join(f"{name} {count / max(self.looks, 1):.2f}" for name, count in most)
