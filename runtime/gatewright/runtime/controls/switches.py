"""What the API, the console and the command line do with pauses and waivers."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from typing import Any

from gatewright.agents.errors import ConflictError, NotFoundError, UnavailableError, UsageError
from gatewright.runtime import identifiers
from gatewright.runtime.clock import Clock, moment
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.engine import Engine
from gatewright.runtime.reader import Reader
from gatewright.runtime.store.bell import Bell
from gatewright.runtime.store.writer import Transaction, Writer, arrival
from gatewright.safety.rules.waivers import Scope, Waiver

from . import storage
from .board import Controls, Pause
from .views import DeploymentView, PauseView, ScopeView, WaiverView

LOOK = 5.0  # seconds between looks at what other processes have changed, when nobody said that they had

_log = logging.getLogger(__name__)


def _nothing() -> None:
    pass


class Switches(Reader):
    """The part of the service that operators stop it with."""

    _writer: Writer
    _clock: Clock
    _engine: Engine
    _bell: Bell
    _loop: asyncio.AbstractEventLoop
    _controls: Controls
    _controls_changed: asyncio.Event
    _deployments: dict[str, LoadedDeployment]

    async def deployments_state(self) -> list[DeploymentView]:
        """The deployments, and which of them are paused."""
        paused = {pause.deployment: pause for pause in self._controls.pauses}
        return [
            DeploymentView(
                name=name,
                configured=name in self._deployments,
                paused=None if (pause := paused.get(name)) is None else _shown(pause),
            )
            for name in sorted({*self._deployments, *paused})
        ]

    async def pause_deployment(self, name: str, *, by: str, reason: str) -> DeploymentView:
        """Stop a deployment: what is being performed comes to its end, no further effect is performed, and no run
        begins. Runs wait where they are.

        Raises:
            NotFoundError: there is no such deployment.
            ConflictError: it is paused.
            UsageError: no reason is given.
        """
        if name not in self._deployments:
            near = difflib.get_close_matches(name, self._deployments, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"configured are {sorted(self._deployments)}"
            raise NotFoundError(f"there is no deployment {name!r}; {hint}")
        if not reason.strip():
            raise UsageError(f"say why deployment {name!r} is paused; whoever resumes it wants to know")
        if (found := self._controls.paused(name)) is not None:
            raise ConflictError(f"deployment {name!r} has been paused by {found.by!r} already")
        now = self._clock.now()
        pause = Pause(name, by, reason, moment(now))
        self._controls.pause(pause)  # at once, and not when it is on the disk: it may be urgent
        await self._change(
            lambda transaction: storage.pause(transaction, pause, now=now),
            done=lambda: self._controls.pause(pause),  # it may have been read meanwhile what was before
            failed=lambda: self._controls.resume(name),
        )
        return DeploymentView(name=name, configured=True, paused=_shown(pause))

    async def resume_deployment(self, name: str, *, by: str) -> DeploymentView:
        """Let a deployment go on where it was stopped.

        Raises:
            NotFoundError: there is no such deployment.
            ConflictError: it is not paused.
        """
        if name not in self._deployments and self._controls.paused(name) is None:
            raise NotFoundError(f"there is no deployment {name!r}; paused are {_names(self._controls.pauses)}")

        await self._change(
            lambda transaction: storage.resume(transaction, name, by=by, now=self._clock.now()),
            done=lambda: self._controls.resume(name),
        )
        self._engine.wake()
        return DeploymentView(name=name, configured=name in self._deployments)

    async def waive(self, rule_id: str, *, scope: ScopeView, until: datetime, by: str, reason: str) -> WaiverView:
        """Let the matches of a rule not count for a while, within a scope; from the next effect on.

        Args:
            rule_id: as decisions name it.

        Raises:
            UsageError: no reason, no scope, or a time without a zone or not ahead.
        """
        now = self._clock.now()
        waiver = Waiver(
            id=identifiers.new("waiver"),
            rule_id=rule_id,
            scope=Scope(**scope.model_dump()),
            by=by,
            reason=reason,
            until=until,
        )
        if until <= moment(now):
            raise UsageError(f"the waiver would end at {until.isoformat()!r}, which is over; name a time ahead")
        await self._change(
            lambda transaction: storage.waive(transaction, waiver, now=now), done=lambda: self._controls.waive(waiver)
        )
        return await self._waiver(waiver.id)

    async def revoke_waiver(self, waiver_id: str, *, by: str) -> WaiverView:
        """End a waiver: the rule counts again from the next effect on.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it is over.
        """
        await self._change(
            lambda transaction: storage.revoke(transaction, waiver_id, by=by, now=self._clock.now()),
            done=lambda: self._controls.revoke(waiver_id),
        )
        return await self._waiver(waiver_id)

    async def waivers(self, *, every: bool = False) -> list[WaiverView]:
        """Waivers, newest first; with `every`, also those that are over."""
        return await self._query(lambda connection: storage.listed(connection, every=every, now=self._clock.now()))

    async def _waiver(self, waiver_id: str) -> WaiverView:
        return next(view for view in await self.waivers(every=True) if view.id == waiver_id)

    async def _change(
        self,
        operation: Callable[[Transaction], Any],
        *,
        done: Callable[[], None] = _nothing,
        failed: Callable[[], None] = _nothing,
    ) -> None:
        """Write, and say so to the controls: whether or not somebody still waits for it, and before what is next."""

        def tell(over: Future[Any]) -> None:
            if over.exception() is not None:
                failed()
                return
            done()
            self._bell.ring("controls")
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._controls_changed.set)

        future = self._writer.submit(operation)
        future.add_done_callback(tell)
        await arrival(future)

    async def _follow_controls(self) -> None:
        """Know what other processes pause, resume, waive and revoke."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._controls_changed.wait()
            self._controls_changed.clear()
            try:
                found = await self._query(lambda connection: storage.load(connection, now=self._clock.now()))
            except UnavailableError as error:  # nothing that changes the world is performed meanwhile
                _log.warning("what other processes have paused is not known: %s", error)
            else:
                self._controls.become(found)


def _shown(pause: Pause) -> PauseView:
    return PauseView(by=pause.by, reason=pause.reason, since=pause.since)


def _names(pauses: list[Pause]) -> list[str]:
    return sorted(pause.deployment for pause in pauses)
