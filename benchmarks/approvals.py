"""Approvals: what a vote costs, and a look at what one may decide, with ten thousand open requests beside ten.

Both services hold their number of open requests all the time: each vote decides the oldest, and another is put in its
place outside of what is timed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gatewright.runtime import identifiers, requests
from gatewright.runtime.clock import moment
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service
from gatewright.runtime.store.writer import Transaction, Writer
from gatewright.runtime.views import RunView
from gatewright.safety.approvals.ballots import Action, Request, Voter
from gatewright.safety.approvals.terms import ApprovalTerms, Stage

from .figures import Bar, Figure, Turn, compare, say, take_turns
from .program import Setting, main

FEW, MANY = 10, 10_000
PAGE = 10  # requests of one look, which both services have
SLOWER = Bar(value=2.0, sense="at most")
TERMS = ApprovalTerms(stages=(Stage(roles=frozenset({"ops"})),), expires=86400.0, reminders=(3600.0,))
VOTER = Voter(name="ada", roles=frozenset({"ops"}), authenticated=True)
ACTION = Action(
    kind="tool",
    name="refund",
    args={"booking": "A1", "amount": 80},
    agent="booking",
    deployment="booking",
    pack="f" * 64,
)


class Crowd:
    """A service with so many open requests."""

    def __init__(self, service: Service, run: RunView) -> None:
        self.service = service
        self._run = run
        self._open: deque[str] = deque()

    async def grow(self, count: int) -> None:
        """Open so many requests more."""
        writer: Writer = self.service._writer  # pyright: ignore[reportPrivateUsage]  # no agent asks so often

        def write(transaction: Transaction) -> list[str]:
            return [self._ask(transaction) for _ in range(count)]

        self._open.extend(await asyncio.wrap_future(writer.submit(write)))

    def _ask(self, transaction: Transaction) -> str:
        now = time.time_ns() // 1000
        request = Request(
            id=identifiers.new("ask"),
            kind="approval",
            action=dataclasses.replace(ACTION, args={**ACTION.args, "amount": now % 1000}),
            terms=TERMS,
            opened=moment(now),
            rules=frozenset({"large-refund"}),
        )
        requests.open_request(transaction, self._run.id, self._run, request.id, request, now=now)
        return request.id

    async def vote(self) -> float:
        """Decide the oldest request; gives the milliseconds that took."""
        began = time.perf_counter()
        await self.service.decide(self._open.popleft(), "approve", voter=VOTER)
        taken = time.perf_counter() - began
        await self.grow(1)
        return taken * 1000

    async def look(self) -> float:
        """See what one may decide; gives the milliseconds that took."""
        began = time.perf_counter()
        found = await self.service.approvals(voter=VOTER, limit=PAGE)
        assert len(found) == PAGE
        return (time.perf_counter() - began) * 1000

    def votes(self, count: int) -> Turn:
        """The 95th percentile of so many votes."""

        async def turn() -> float:
            return statistics.quantiles([await self.vote() for _ in range(count)], n=20)[-1]

        return turn

    def looks(self, count: int) -> Turn:
        """The median of so many looks."""

        async def turn() -> float:
            return statistics.median([await self.look() for _ in range(count)])

        return turn


@asynccontextmanager
async def _crowd(folder: Path, size: int) -> AsyncGenerator[Crowd]:
    graph = f"{Path(__file__).with_name('graphs.py')}:booking"
    config = Config(data_dir=folder, deployments={"booking": Deployment(graph=graph)})
    async with await Service.open(config, execute=False) as service:
        crowd = Crowd(service, await service.start_run("booking", {}))
        await crowd.grow(size)
        yield crowd


async def measure(setting: Setting) -> Sequence[Figure]:
    """Votes and looks, in turns on both services."""
    size = setting.size(MANY, 100)
    say(f"approvals: votes with {size} open requests beside {FEW}")
    async with _crowd(setting.folder / "many", size) as many, _crowd(setting.folder / "few", FEW) as few:
        turns, each = setting.size(15, 2), setting.size(100, 5)
        votes = await take_turns(many.votes(each), few.votes(each), turns)
        looks = await take_turns(many.looks(each), few.looks(each), turns)
    return [compare("vote_p95", "ms", votes, SLOWER), compare("what_i_may_decide", "ms", looks)]


if __name__ == "__main__":
    main(measure, __doc__)
