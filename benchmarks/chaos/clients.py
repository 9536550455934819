"""Customers: a process that hands runs to services and notes what they promised.

A request without an answer may or may not have been heard, so it is sent again, under the same id, to any service.
Only an answer of 2xx is a promise.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from pydantic import BaseModel

from .conversations import Script, message, scripts
from .history import Accepted

DEPLOYMENT = "support"
ANSWER = 15.0  # seconds to wait for an answer
PAUSE = 0.2  # seconds between two tries
HASTE = 2.0  # seconds at most between two things that a customer says


class Order(BaseModel):
    """What one process of customers does: hold `threads` (id and script) within `seconds`, give up after `patience`."""

    services: list[str]
    record: Path
    seed: int
    threads: list[tuple[str, str]]
    seconds: float
    patience: float


class Customers:
    """The customers of one process."""

    def __init__(self, order: Order, client: httpx.AsyncClient) -> None:
        self._order = order
        self._client = client
        self._chance = random.Random(f"{order.seed} {order.threads[0][0]}" if order.threads else order.seed)
        self._scripts = {script.id: script for script in scripts(order.seed)}

    async def hold(self) -> None:
        """Hold all threads, each from a moment of its own."""
        with self._order.record.open("ab", buffering=0) as record:
            async with asyncio.TaskGroup() as group:
                for thread, script in self._order.threads:
                    delay = self._chance.uniform(0, self._order.seconds)
                    group.create_task(self._thread(thread, self._scripts[script], delay, record))

    async def _thread(self, thread: str, script: Script, delay: float, record: BinaryIO) -> None:
        await asyncio.sleep(delay)
        body: dict[str, Any] = {"deployment": DEPLOYMENT, "thread_id": thread, "settings": script.settings}
        await self._promised("/v1/threads", body, known=409)
        for number, text in enumerate(script.said):
            run = f"{thread}.{number}"
            body = {
                "deployment": DEPLOYMENT,
                "thread_id": thread,
                "run_id": run,
                "input": message(number, text),
            }
            via = await self._promised("/v1/runs", body)
            noted = Accepted(run=run, thread=thread, number=number, via=via)
            record.write(noted.model_dump_json().encode() + b"\n")
            await asyncio.sleep(self._chance.uniform(0, HASTE))

    async def _promised(self, path: str, body: dict[str, Any], *, known: int = 0) -> str:
        """Ask until some service promises; gives which. `known`: the status that says it was heard before."""
        while True:
            service = self._chance.choice(self._order.services)
            try:
                answer = await self._client.post(service + path, json=body, timeout=ANSWER)
            except httpx.HTTPError:
                await asyncio.sleep(PAUSE)
                continue
            if answer.is_success or answer.status_code == known:
                return service
            if answer.status_code < 500 and answer.status_code != 429:
                raise RuntimeError(f"{service}{path} refused {body.get('run_id', body['thread_id'])!r}: {answer.text}")
            await asyncio.sleep(PAUSE)


async def hold(order: Order) -> None:
    """Carry out an order."""
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(ANSWER, pool=None)) as client:
        async with asyncio.timeout(order.seconds + order.patience):
            await Customers(order, client).hold()


def accepted(record: Path) -> list[Accepted]:
    """What was promised so far. A line that is being written is not counted."""
    if not record.exists():
        return []
    lines = record.read_text("utf-8").splitlines(keepends=True)
    return [Accepted.model_validate_json(line) for line in lines if line.endswith("\n")]


if __name__ == "__main__":
    asyncio.run(hold(Order.model_validate_json(Path(sys.argv[1]).read_text("utf-8"))))
