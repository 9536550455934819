"""What holds now, in memory, for those who must know it at every effect."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from gatewright.safety.rules.waivers import Waiver


class Pause(NamedTuple):
    """A deployment that performs no effects: who stopped it, why and since when."""

    deployment: str
    by: str
    reason: str
    since: datetime


class Controls:
    """Which deployments are paused and which waivers hold. The service alone changes it, in step with what is stored;
    all threads may read it. What another process changes it holds a moment later (see `runs.check_going`)."""

    def __init__(self, pauses: Iterable[Pause] = (), waivers: Iterable[Waiver] = ()) -> None:
        self._pauses = {pause.deployment: pause for pause in pauses}
        self._waivers = {waiver.id: waiver for waiver in waivers}

    def become(self, others: Controls) -> None:
        """Hold what `others` hold, which have just been read."""
        self._pauses, self._waivers = others._pauses, others._waivers

    def paused(self, deployment: str) -> Pause | None:
        """The pause of a deployment; None while it performs effects."""
        return self._pauses.get(deployment)

    @property
    def pauses(self) -> list[Pause]:
        """All pauses."""
        return list(self._pauses.values())

    def pause(self, pause: Pause) -> None:
        """From now on no effect of the deployment is performed."""
        self._pauses = {**self._pauses, pause.deployment: pause}

    def resume(self, deployment: str) -> None:
        """Effects are performed again."""
        self._pauses = {name: pause for name, pause in self._pauses.items() if name != deployment}

    def waivers(self, deployment: str) -> tuple[Waiver, ...]:
        """The waivers that may concern a deployment; each says itself until when it holds."""
        waivers = self._waivers  # replaced when it changes, never changed, as pauses are: readers need no lock
        if not waivers:
            return ()
        return tuple(waiver for waiver in waivers.values() if waiver.scope.deployment in (None, deployment))

    def waive(self, waiver: Waiver) -> None:
        """A waiver begins to hold."""
        self._waivers = {**self._waivers, waiver.id: waiver}

    def revoke(self, waiver_id: str) -> None:
        """A waiver holds no longer."""
        self._waivers = {id: waiver for id, waiver in self._waivers.items() if id != waiver_id}
