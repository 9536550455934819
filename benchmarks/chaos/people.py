"""People at their desks: they approve what waits, and say truthfully what happened where nobody knows.

Whoever answers "it did not happen" must know that it will not happen any more. A stopped process may go on with a call
that it was about to make, so questions about outcomes wait until no process is stopped, cut off or just started again,
and what was on its way has arrived. That is what an operator does: see to it that the machine is dead, or back, first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx

from . import outside
from .history import Answer, Invocation

LOOK = 0.5  # seconds between two looks at what waits
SETTLED = 3.0  # seconds after which whatever a process had begun has reached the world outside
PAGE = 200
NAME = "operator"


class People:
    """Decide what waits, by way of whichever service answers.

    Args:
        record: what the world outside notes.
        certain: seconds since every process is either dead or runs undisturbed; 0 while one is stopped or cut off.
    """

    def __init__(self, services: Sequence[str], record: Path, *, certain: Callable[[], float]) -> None:
        self._services = list(services)
        self._record = record
        self._certain = certain
        self.answers: list[Answer] = []
        self.approved = 0
        self._told: dict[str, Invocation | None] = {}

    async def attend(self) -> None:
        """Decide, until cancelled."""
        async with httpx.AsyncClient(timeout=10.0) as client:
            while True:
                for service in self._services:
                    try:
                        await self.look(client, service)
                    except httpx.HTTPError:
                        continue
                await asyncio.sleep(LOOK)

    async def look(self, client: httpx.AsyncClient, service: str) -> None:
        """Decide what waits now."""
        answer = await client.get(f"{service}/v1/approvals", params={"state": "open", "limit": PAGE})
        if not answer.is_success:
            return
        for request in answer.json():
            if request["kind"] == "unknown":
                if self._certain() >= SETTLED:
                    await self._tell(client, service, request)
            else:
                self.approved += await self._say(client, service, request["id"], "approve", None)

    async def _tell(self, client: httpx.AsyncClient, service: str, request: dict[str, Any]) -> None:
        """Answer what happened to a call. The answer stays: it may have got through although nobody heard so."""
        if request["id"] not in self._told:
            self._told[request["id"]] = self._looked_up(request)
        done = self._told[request["id"]]
        verb, value = ("approve", None) if done is None else ("answer", done.result)
        await self._say(client, service, request["id"], verb, value)

    def _looked_up(self, request: dict[str, Any]) -> Invocation | None:
        """The call in the airline's books, None where it never reached it."""
        tool, args = request["action"]["name"], request["action"]["args"]
        invocations, _ = outside.recorded(self._record)
        done = next(
            (one for one in invocations if (one.run, one.tool, one.args) == (request["run_id"], tool, args)), None
        )
        said: Literal["happened", "perform again"] = "perform again" if done is None else "happened"
        self.answers.append(Answer(request=request["id"], case=request["case_id"], tool=tool, args=args, said=said))
        return done

    async def _say(self, client: httpx.AsyncClient, service: str, request: str, verb: str, value: Any) -> bool:
        body = {"by": NAME, "reason": "chaos", "value": value, "vote_id": f"{request}-{verb}"}
        answer = await client.post(f"{service}/v1/approvals/{request}/{verb}", json=body)
        return answer.is_success
