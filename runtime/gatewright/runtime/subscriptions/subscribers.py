"""The subscriptions of a process: those of the deployments whose runs it executes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from sqlalchemy import Connection

from gatewright.runtime import bus
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.recording import Office

from .admission import Admission, resolved
from .pressure import Pressure

GRACE = 5.0  # seconds for messages that are becoming runs when the process stops


class Subscribers:
    """Has the messages that deployments subscribe to become runs."""

    def __init__(self, deployments: Iterable[LoadedDeployment]) -> None:
        """Check what they subscribe to.

        Raises:
            UsageError: a subscription cannot be.
        """
        self._wanted = [(deployment, resolved(deployment)) for deployment in deployments]
        self._pressures: list[Pressure] = []
        self._open: list[bus.Subscription] = []

    async def open(self, office: Office, query: Callable[[Callable[[Connection], int]], Awaitable[int]]) -> None:
        """Subscribe.

        Args:
            query: runs a read of the database.

        Raises:
            UsageError: a topic or group has no proper name, or exists with other partitions.
        """
        for deployment, subscriptions in self._wanted:
            pressure = Pressure(deployment.name, query)
            self._pressures.append(pressure)
            for subscription in subscriptions:
                handler = Admission(deployment, subscription, office, pressure)
                opened = await office.bus.subscribe(
                    subscription.topic, subscription.group, handler, start=subscription.start
                )
                self._open.append(opened)

    async def close(self) -> None:
        """Take no more messages; what is becoming a run is finished."""
        for pressure in self._pressures:
            pressure.close()
        await asyncio.gather(*(subscription.close(GRACE) for subscription in self._open))
