"""Work that one process at a time does for all: whoever finds a duty free takes it, and keeps it while its lease runs.

Two processes may believe for a moment that a duty is theirs. What is written for it is safe all the same: it begins
with `Held.check` in the same transaction, which only the holder passes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from gatewright.agents.errors import GatewrightError
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction

_DUTY = schema.Duty.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_WORKER = schema.Worker.__table__  # type: ignore[attr-defined]

PAUSE = 1.0  # seconds before a duty that failed is begun again

_TAKE = sa.text(
    "INSERT INTO duty (name, holder) VALUES (:name, :worker) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder"
    " WHERE NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = duty.holder AND worker.state IN ('alive', 'draining'))"
)
_KEPT = (
    sa.select(_DUTY.c.name)
    .select_from(_DUTY.join(_WORKER, _WORKER.c.id == _DUTY.c.holder))
    .where(sa.or_(_WORKER.c.state == "alive", _WORKER.c.state == "draining"))
)
_HELD = (
    sa.select(_DUTY.c.name)
    .where(_DUTY.c.name == sa.bindparam("of"), _DUTY.c.holder == sa.bindparam("worker"))
    .with_for_update(read=True)
)

_log = logging.getLogger(__name__)


class NotOnDutyError(GatewrightError):
    """Another process has this duty by now; what this one does for it is refused."""


class Held(NamedTuple):
    """A duty that a process has taken."""

    name: str
    worker: str

    def check(self, transaction: Transaction) -> None:
        """Check that the duty is still held, and keep it from being taken before this transaction ends.

        Raises:
            NotOnDutyError: it is not.
        """
        if transaction.one(_HELD, of=self.name, worker=self.worker) is None:
            raise NotOnDutyError(f"duty {self.name!r} is not held by worker {self.worker!r} any more")


Work = Callable[[Held], Awaitable[None]]


def take(transaction: Transaction, worker: str, names: list[str]) -> list[str]:
    """Take those of these duties that nobody has; gives which."""
    kept = {row[0] for row in transaction.all(_KEPT)}  # without locks: `_TAKE` waits for whoever works on a duty
    return [name for name in names if name not in kept and transaction.run(_TAKE, name=name, worker=worker)]


class Duties:
    """The duties that this process would do, and those that it does."""

    def __init__(self, offered: Mapping[str, Work]) -> None:
        """`offered`: what is done for each duty, by its name; it ends when it is cancelled."""
        self._offered = offered
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def vacant(self) -> list[str]:
        """The duties that this process does not do."""
        return sorted(self._offered.keys() - self._tasks.keys())

    def begin(self, worker: str, names: list[str]) -> None:
        """Do these duties, which have been taken."""
        for name in names:
            self._tasks[name] = asyncio.create_task(self._do(Held(name, worker)), name=f"duty {name}")

    async def end(self) -> None:
        """Do none any more."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _do(self, held: Held) -> None:
        while True:
            try:
                await self._offered[held.name](held)
            except NotOnDutyError:
                _log.warning("duty %s was taken over while this process did not answer", held.name)
                self._tasks.pop(held.name, None)  # and may be taken again when it is free
                return
            except Exception:
                _log.exception("duty %s failed; beginning again in %s s", held.name, PAUSE)
            await asyncio.sleep(PAUSE)
