"""Strict replay through graphs and chain, beside the same graphs run bare on in-memory fakes.

What is replayed are recorded conversations with the airline's customers, held through the service before. The fakes
give the same answers, decoded beforehand and in their order, and look at nothing. Memory is that of this process
while it replays over and over, at its end against a tenth of the way.
"""

from __future__ import annotations

import gc
import os
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
from langchain_core.runnables import RunnableConfig

from gatewright.agents import Effect, RunContext
from gatewright.agents.effects import ACTIVE
from gatewright.runtime import episodes, results
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config
from gatewright.runtime.episodes import Episode
from gatewright.runtime.policy import recorded
from gatewright.runtime.service import Service
from gatewright.runtime.store import database
from gatewright.scenarios.replay import release, strict
from gatewright.scenarios.replay.release import Release
from gatewright.scenarios.replay.tape import Tape

from .figures import Bar, Figure, compare, say, take_turns
from .program import Setting, main, shared_data
from .recorded import EPISODES

R = TypeVar("R")

DEARER = Bar(value=1.5, sense="at most")
FLAT = Bar(value=1.1, sense="at most")

Answers = dict[tuple[str, str], deque[Any]]


class Fakes:
    """A chain that gives canned answers, in their order."""

    def __init__(self, answers: Mapping[tuple[str, str], Sequence[Any]]) -> None:
        self._answers: Answers = {place: deque(values) for place, values in answers.items()}

    def _next(self, kind: str, name: str) -> Any:
        value = self._answers[kind, name].popleft()
        if isinstance(value, BaseException):
            raise value
        return value

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        answer: R = self._next(effect.kind, effect.name)
        return answer

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        answer: R = self._next(effect.kind, effect.name)
        return answer

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        return self._next("message", agent)

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        return str(self._next("message", agent))

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        return str(self._next("message", topic))


def _answers(episode: Episode, run_id: str) -> dict[tuple[str, str], list[Any]]:
    """What the effects of a run gave, by kind and name."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for entry in Tape(episode, run_id).left():
        effect = entry.record.effect
        assert effect is not None
        value = entry.values["result"].decoded()
        found[effect.kind, effect.name].append(value if entry.record.outcome == "ok" else results.revive(value))
    return found


async def _bare(episode: Episode, release: Release, answers: Mapping[str, Mapping[tuple[str, str], list[Any]]]) -> None:
    for thread in episode.threads:
        for run in episode.runs:
            if run.thread_id != thread.id:
                continue
            deployment = release.deployment(run.deployment)
            token = ACTIVE.set(
                RunContext(
                    run_id=run.id,
                    thread_id=run.thread_id,
                    case_id=episode.id,
                    deployment=run.deployment,
                    agent=run.agent,
                    chain=Fakes(answers[run.id]),
                    settings=thread.settings,
                )
            )
            config: RunnableConfig = {"configurable": {"thread_id": run.thread_id}, "recursion_limit": 10_000}
            given = orjson.loads(episode.input_of(run) or b"null")
            stream = deployment.agents[run.agent].graph.astream(
                given, config, stream_mode=["updates", "values"], durability="exit"
            )
            async for _ in stream:
                pass
            ACTIVE.reset(token)
        release.saver.delete_thread(thread.id)


async def _held(setting: Setting) -> tuple[Config, list[Episode]]:
    """Conversations held through the service, and their episodes."""
    given = shared_data() / EPISODES
    path = given if given.is_file() and not setting.quick else None
    config = Config(data_dir=setting.folder / "data")
    async with await Service.open(config) as service:
        holding = Holding(service, "support", approve=lambda approval: True, tell=lambda approval: None)
        await holding.start(await service.conversations("support", path))
        await holding.follow()
    engine = database.of("", setting.folder / "data").connect(readonly=True)
    with engine.connect() as connection:
        found = [episodes.read(connection, case) for case in recorded.cases(connection)]
    engine.dispose()
    return config, found


def _resident() -> float:
    """Megabytes of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(setting: Setting) -> Sequence[Figure]:
    """Processor seconds for an episode, and memory after many."""
    config, found = await _held(setting)
    answers = [{run.id: _answers(episode, run.id) for run in episode.runs} for episode in found]
    say(f"replays: {len(found)} episodes, {sum(len(episode.entries) for episode in found)} records")
    with release.loaded(config) as ours:

        async def replayed() -> float:
            began = time.process_time()
            equal = [(await strict.replay(episode, ours)).equal for episode in found]
            taken = time.process_time() - began
            assert all(equal), f"{equal.count(False)} of {len(equal)} episodes diverged"
            return taken / len(found) * 1000

        async def bare() -> float:
            began = time.process_time()
            for episode, canned in zip(found, answers, strict=True):
                await _bare(episode, ours, canned)
            return (time.process_time() - began) / len(found) * 1000

        pairs = await take_turns(replayed, bare, setting.size(5, 1))
        few, many = setting.size(1_000, 20), setting.size(10_000, 60)
        shortest = sorted(found, key=lambda episode: len(episode.entries))[:20]
        resident: dict[int, float] = {}
        for number in range(1, many + 1):
            await strict.replay(shortest[number % len(shortest)], ours)
            if number in (few, many):
                resident[number] = _resident()
    memory = Figure(
        name=f"memory_after_{many}",
        unit="MB",
        ours=resident[many],
        reference=resident[few],
        ratio=resident[many] / resident[few],
        bar=FLAT,
    )
    return [compare("strict_replay", "ms", pairs, DEARER), memory]


if __name__ == "__main__":
    main(measure, __doc__)
