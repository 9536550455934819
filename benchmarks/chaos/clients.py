"""Customers: a process that hands runs to services and notes what they promised.

A request without an answer may or may not have been heard, so it is sent again, under the same id, to any service.
Only an answer of 2xx is a promise.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import httpx
from pydantic import BaseModel, TypeAdapter

from .conversations import Script, message, scripts
from .history import Accepted, Step

DEPLOYMENT = "support"
STEPS = "steps"
ANSWER = 15.0  # seconds to wait for an answer
PAUSE = 0.2  # seconds between two tries
HASTE = 2.0  # seconds at most between two things that a customer says


class Order(BaseModel):
    """What one process does: hold what `customers` say, by their scripts, and send `steps` of each of `keys`.

    All is begun within `seconds`, and given up `patience` seconds later.
    """

    services: list[str]
    record: Path
    seed: int
    customers: list[tuple[str, str]]
    keys: list[str]
    steps: int
    seconds: float
    patience: float


class _Promise(NamedTuple):
    """An answer of 2xx."""

    via: str
    view: dict[str, Any]


class Customers:
    """The customers of one process."""

    def __init__(self, order: Order, client: httpx.AsyncClient) -> None:
        self._order = order
        self._client = client
        self._chance = random.Random(f"{order.seed} {order.customers[:1]}")
        self._scripts = {script.id: script for script in scripts(order.seed)}

    async def hold(self) -> None:
        """Hold all threads, each from a moment of its own."""
        with self._order.record.open("ab", buffering=0) as record:
            async with asyncio.TaskGroup() as group:
                for customer, script in self._order.customers:
                    delay = self._chance.uniform(0, self._order.seconds)
                    group.create_task(self._hold(customer, self._scripts[script], delay, record))
                for key in self._order.keys:
                    group.create_task(self._send(key, record))

    async def _hold(self, customer: str, script: Script, delay: float, record: BinaryIO) -> None:
        """Hold a conversation: on a thread of a name that the customer chose, or one that the first run creates."""
        await asyncio.sleep(delay)
        case = None
        if self._chance.random() < 0.5:
            case = customer
            body: dict[str, Any] = {"deployment": DEPLOYMENT, "thread_id": case, "settings": script.settings}
            await self._promised("/v1/threads", body, known=409)
        for number, text in enumerate(script.said):
            run = f"{customer}.{number}"
            body = {"deployment": DEPLOYMENT, "run_id": run, "input": message(number, text)}
            body |= {"settings": script.settings} if case is None else {"thread_id": case}
            promise = await self._promised("/v1/runs", body)
            case = str(promise.view["thread_id"])
            noted = Accepted(run=run, customer=customer, case=case, number=number, via=promise.via)
            record.write(noted.model_dump_json().encode() + b"\n")
            await asyncio.sleep(self._chance.uniform(0, HASTE))

    async def _send(self, key: str, record: BinaryIO) -> None:
        """Send the steps of a key, one after the other: their runs share a thread, which keeps them in order."""
        for sequence in range(1, self._order.steps + 1):
            await asyncio.sleep(self._chance.uniform(0, 2 * self._order.seconds / self._order.steps))
            run, given = f"{key}.{sequence}", {"key": key, "sequence": sequence}
            body = {"deployment": STEPS, "thread_id": f"sender-{key}", "run_id": run, "input": given}
            await self._promised("/v1/runs", body)
            record.write(Step(run=run, key=key, sequence=sequence).model_dump_json().encode() + b"\n")

    async def _promised(self, path: str, body: dict[str, Any], *, known: int = 0) -> _Promise:
        """Ask until some service promises. `known`: the status that says it was heard before."""
        while True:
            service = self._chance.choice(self._order.services)
            try:
                answer = await self._client.post(service + path, json=body, timeout=ANSWER)
            except httpx.HTTPError:
                await asyncio.sleep(PAUSE)
                continue
            if answer.is_success or answer.status_code == known:
                return _Promise(service, answer.json())
            if answer.status_code < 500 and answer.status_code != 429:
                raise RuntimeError(
                    f"{service}{path} refused {body.get('run_id') or body['thread_id']!r}: {answer.text}"
                )
            await asyncio.sleep(PAUSE)


async def hold(order: Order) -> None:
    """Carry out an order."""
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(ANSWER, pool=None)) as client:
        async with asyncio.timeout(order.seconds + order.patience):
            await Customers(order, client).hold()


_PROMISED: TypeAdapter[Accepted | Step] = TypeAdapter(Accepted | Step)


def promised(record: Path) -> list[Accepted | Step]:
    """What was promised so far. A line that is being written is not counted."""
    if not record.exists():
        return []
    lines = record.read_text("utf-8").splitlines(keepends=True)
    return [_PROMISED.validate_json(line) for line in lines if line.endswith("\n")]


if __name__ == "__main__":
    asyncio.run(hold(Order.model_validate_json(Path(sys.argv[1]).read_text("utf-8"))))
