"""One trial in a service that is there: the user's side, the people who are asked, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from gatewright.agents.errors import ConflictError, GatewrightError, UsageError
from gatewright.environments.worlds import RecordedUser, User
from gatewright.runtime import identifiers
from gatewright.runtime.cli.episodes import effects, replies
from gatewright.runtime.service import Service
from gatewright.runtime.views import FINAL, RunView

from . import seeds
from .approvers import Approvers
from .cases import Case, simulated
from .documents import Suite
from .observations import Observation

LOOK = 0.05  # seconds between looks at what people are asked
CANCELLING = 5.0  # seconds that the runs of a trial which is ended have to end
LATE = "error: not at its end after"
BY = "scenario"
PAGE = 1000


class Attempt:
    """A trial of a case. Its ids follow from the case and its number, so that whatever depends on them is the same."""

    def __init__(self, service: Service, suite: Suite, case: Case, number: int, chance: seeds.Chance) -> None:
        self._client = service
        self._suite = suite
        self._case = case
        self._name = suite.deployment
        self._world = simulated(service.loaded(self._name).world, self._name)
        self._approvers = Approvers(case.approvals, case.answers)
        self._thread = identifiers.derived("thread", str(suite.seed), suite.suite, case.id, str(number))
        of_world, of_user, of_policies = case.seeds(number).spawn(3)
        self._of_world, self._of_user = seeds.number(of_world), seeds.number(of_user)
        chance.begin(of_policies)

    async def held(self) -> tuple[Observation, str]:
        """What came of it, and why it was ended before its end; empty where it was not.

        Raises:
            DeniedError: rules do not let the case begin.
        """
        why = ""
        if self._world is not None and self._case.inputs is None:  # one that is written begins as any new thread does
            await asyncio.to_thread(self._world.reset, self._thread, self._of_world)
        await self._client.create_thread(self._name, thread_id=self._thread, settings=self._case.conversation.settings)
        try:
            async with asyncio.timeout(self._case.seconds):
                await self._talk()
        except TimeoutError:
            why = f"{LATE} {self._case.seconds:g} s, the limit of the case"
        except GatewrightError as error:
            why = f"error: {error}"
        if why:
            await self._end()
        return await self._observed(), why

    async def _talk(self) -> None:
        number = 0
        async for given in self._inputs():
            if number == self._suite.limits.steps:
                raise UsageError(f"the user has more than {number} words, the limit of the suite; raise `limits.steps`")
            run_id = identifiers.derived("run", self._thread, str(number))
            await self._client.start_run(self._name, given, thread_id=self._thread, run_id=run_id)
            if (await self._ended(run_id)).status != "succeeded":
                break
            number += 1
        for run in await self._runs():  # of agents of whom nobody waits for
            await self._ended(run.id)

    async def _inputs(self) -> AsyncIterator[Any]:
        if self._case.inputs is not None:
            for given in self._case.inputs:
                yield given
            return
        simulated_user = self._case.users == "world"
        conversation = self._case.conversation
        user: User = RecordedUser(conversation)
        if self._world is not None and simulated_user:
            user = self._world.user(conversation, self._of_user)
        said = user.answer(None)
        while said is not None:
            yield {"messages": [{"role": "user", "content": said}]}
            # What was recorded does not depend on the reply, and reading that takes time.
            said = user.answer(await self._reply() if simulated_user else "")

    async def _reply(self) -> str:
        return next(reversed(replies(await self._client.thread_state(self._thread))), "")

    async def _ended(self, run_id: str) -> RunView:
        """The end of a run; meanwhile people answer what anybody in the case asks."""
        waiting: asyncio.Task[RunView] | None = None
        try:
            while True:
                waiting = waiting or asyncio.create_task(self._client.wait(run_id))
                done, _ = await asyncio.wait({waiting}, timeout=LOOK)
                if done:
                    view, waiting = waiting.result(), None
                    if view.status in FINAL:
                        return view
                asked = await self._client.approvals(case_id=self._thread, limit=PAGE)
                for approval in asked:
                    await self._approvers.answer(self._client, approval)
                if done and not asked:
                    await asyncio.sleep(LOOK)  # it was answered and goes on in a moment
        finally:
            if waiting is not None:
                waiting.cancel()

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(CANCELLING):
                for run in await self._runs():
                    if run.status not in FINAL:
                        await self._client.cancel(run.id, by=BY, reason="the trial is over")
                        await self._client.wait(run.id)
        except (TimeoutError, ConflictError):
            return  # what cannot be cancelled ends with the process

    async def _observed(self) -> Observation:
        state = await self._client.thread_state(self._thread)
        said = replies(state)
        return Observation(
            records=[record async for record in effects(self._client, self._thread)],
            runs=await self._runs(),
            approvals=await self._client.approvals(state=None, case_id=self._thread, limit=PAGE),
            state=state.get("values") or {},
            replies=said,
            reward=await self._reward(said),
            world="" if self._world is None else await asyncio.to_thread(self._world.digest, self._thread),
        )

    async def _runs(self) -> list[RunView]:
        return (await self._client.runs(case_id=self._thread, limit=PAGE))[::-1]

    async def _reward(self, said: list[str]) -> float | None:
        if self._world is None:
            return None
        try:
            return await self._client.score(self._name, self._case.conversation, self._thread, said)
        except UsageError:
            if self._case.conversation.task:
                raise
            return None  # a case of one's own, which nobody said the worth of
