"""A run is handed to LangGraph: from its beginning, from its checkpoint, or with the answers it waited for."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt

from gatewright.agents.errors import GatewrightError

from . import requests
from .chain import RunChain
from .checkpoints import RUN_KEY
from .claims import Claimed
from .config import Worker
from .deployments import LoadedAgent
from .hub import Hub
from .recording import Office
from .store.writer import arrival


class RunTimeoutError(GatewrightError):
    """The run took longer than `worker.run_timeout`; look for a loop or a call that hangs, or raise the limit."""


class Stop(NamedTuple):
    """How far a graph got: its values, None where it gave none, and the interrupts that it waits in."""

    values: Any
    interrupts: list[Interrupt]


class Invocation:
    """One execution of a graph. `delivered`: the agent's own questions whose answers it was handed."""

    def __init__(
        self, run: Claimed, agent: LoadedAgent, chain: RunChain, *, office: Office, hub: Hub, worker: Worker
    ) -> None:
        self.delivered: tuple[str, ...] = ()
        self._run = run
        self._agent = agent
        self._chain = chain
        self._office = office
        self._hub = hub
        self._worker = worker

    async def execute(self, given: Any, control: RunControl) -> Stop:
        """Execute the graph on this input until it ends or waits; its updates are published.

        Raises:
            RunTimeoutError: it took too long.
        """
        run, worker = self._run, self._worker
        config: RunnableConfig = {
            "configurable": {"thread_id": run.thread_id, RUN_KEY: run.id},
            "callbacks": [self._chain.steps],
            "recursion_limit": worker.recursion_limit,
        }
        payload = given if run.first else await self._continuation(config, given)
        values: Any = None
        interrupts: list[Interrupt] = []
        limit = asyncio.timeout(worker.run_timeout)
        try:
            async with limit:
                stream = self._agent.graph.astream(
                    payload,
                    config,
                    stream_mode=["updates", "values"],
                    durability="exit",
                    control=control,
                )
                async for part in stream:
                    mode, chunk = cast("tuple[str, Any]", part)
                    if mode == "values":
                        values = chunk
                    elif "__interrupt__" in chunk:
                        interrupts.extend(chunk["__interrupt__"])
                    else:
                        self._hub.publish(run.id, "update", chunk)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = RunTimeoutError(f"the run took longer than {worker.run_timeout} s (worker.run_timeout)")
            self._chain.close(late)
            raise late from error
        return Stop(values, interrupts)

    async def _continuation(self, config: RunnableConfig, given: Any) -> Any:
        """What to hand to LangGraph when the run has been executed before: how far its checkpoints got decides."""
        run, office = self._run, self._office
        snapshot = await self._agent.graph.aget_state(config)
        if (snapshot.metadata or {}).get(RUN_KEY) != run.id:
            return given  # nothing of this run has been checkpointed: from its beginning, by the journal
        answers = await arrival(office.writer.submit(lambda tx: requests.answers(tx, run.id)))
        pending = {interrupt.id for interrupt in snapshot.interrupts}
        due = {id: answer for id, answer in answers.items() if id in pending}
        self.delivered = tuple(answer.request_id for answer in due.values())
        for id, answer in due.items():
            key = f"{requests.QUESTION}{id}"
            office.cases.answered(run.case_id, run.id, key, answer.by, answer.value, office.clock.now())
        return Command(resume={id: answer.value for id, answer in due.items()}) if due else None
