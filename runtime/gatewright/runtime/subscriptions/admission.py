"""Admission: a message that was delivered becomes a run, in the very transaction that settles it.

So there is one run for each message and group, whatever dies and is delivered again: the run's id follows from both.
What can never become a run (it does not fit the agent, rules refuse it, its thread is closed) is refused for good, with
the reason in the dead letter.
"""

from __future__ import annotations

from functools import partial

import orjson

from gatewright.agents.envelopes import Reject
from gatewright.agents.errors import ConflictError, DeniedError, UnavailableError, UsageError
from gatewright.agents.subscriptions import Subscription
from gatewright.runtime import acceptance, identifiers, threads
from gatewright.runtime.bus import Delivery
from gatewright.runtime.causes import Cause
from gatewright.runtime.clock import microseconds
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.recording import Office
from gatewright.runtime.store.writer import Transaction

from .mapping import Mapper
from .pressure import Pressure


class Admission:
    """The handler of one subscription."""

    def __init__(
        self, deployment: LoadedDeployment, subscription: Subscription, office: Office, pressure: Pressure
    ) -> None:
        self._deployment = deployment
        self._agent = deployment.agents[subscription.agent]
        self._subscription = subscription
        self._mapper = Mapper(deployment.name, subscription)
        self._office = office
        self._pressure = pressure

    async def __call__(self, delivery: Delivery) -> dict[str, str]:
        """Have a run accepted; gives its id and that of its thread, for those who asked."""
        await self._pressure.admit(delivery)
        mapped = self._mapper.map(delivery.message, delivery.data)
        try:
            self._agent.check(mapped.input)
        except UsageError as error:
            raise Reject(str(error)) from error
        thread = acceptance.NewThread(
            id=mapped.thread_id,
            deployment=self._deployment.name,
            agent=self._agent.name,
            case_id=mapped.thread_id,
            settings={},
            metadata={"topic": delivery.topic, "key": delivery.key},
        )
        await self._judged(thread, delivery)
        message = delivery.message  # an id is its source's own
        run_id = identifiers.derived("run", delivery.topic, self._subscription.group, message.source, message.id)
        delivery.transact(partial(self._accept, run_id, thread, orjson.dumps(mapped.input), delivery))
        return {"run_id": run_id, "thread_id": thread.id}

    async def _judged(self, thread: acceptance.NewThread, delivery: Delivery) -> None:
        while True:
            try:
                return await threads.admit(self._office, self._deployment, thread)
            except DeniedError as error:
                raise Reject(str(error)) from error
            except UnavailableError:  # nothing that the message could help; it is not to be given up for it
                await self._pressure.pause(delivery)

    def _accept(
        self, run_id: str, thread: acceptance.NewThread, body: bytes, delivery: Delivery, transaction: Transaction
    ) -> None:
        if acceptance.exists(transaction, run_id):
            return
        now = self._office.clock.now()
        try:
            threads.join(transaction, thread, now=now)
        except ConflictError as error:
            raise Reject(str(error)) from error
        known = acceptance.thread(transaction, thread.id)
        if known is not None and known.agent != thread.agent:
            raise Reject(
                f"thread {thread.id!r} is one of agent {known.agent!r}, not of {thread.agent!r}; let the subscriptions "
                "of both give different `thread` names"
            )
        message = delivery.message
        acceptance.accept(
            transaction,
            run_id,
            thread.id,
            body,
            cause=Cause.of(delivery.topic, message),
            deadline=None if message.deadline is None else microseconds(message.deadline),
            now=now,
        )
        self._office.wake()


def resolved(deployment: LoadedDeployment) -> list[Subscription]:
    """The subscriptions of a deployment with the names that they leave out, checked.

    Raises:
        UsageError: one names an agent that is not there, an expression that is none, or what another one has.
    """
    found: dict[tuple[str, str], Subscription] = {}
    for subscription in deployment.subscriptions:
        place = f"deployment {deployment.name!r}: subscription to {subscription.topic!r}"
        agent = subscription.agent or deployment.entry
        if agent not in deployment.agents:
            raise UsageError(f"{place}: there is no agent {agent!r}; there are {sorted(deployment.agents)}")
        group = subscription.group or f"{deployment.name}.{agent}"
        whole = subscription.model_copy(update={"agent": agent, "group": group})
        if found.setdefault((whole.topic, group), whole) is not whole:
            raise UsageError(f"{place}: group {group!r} has one already; each message goes to one of a group")
        try:
            Mapper(deployment.name, whole)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
    return list(found.values())
