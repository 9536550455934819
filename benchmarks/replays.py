"""Strict replay through graphs and chain, beside the same graphs run bare on in-memory fakes.

What is replayed are recorded conversations with the airline's customers, held through the service before. The fakes
give the same answers, decoded beforehand and in their order, and look at nothing. Memory is that of this process
while it replays the episodes of one long file, read one after the other, against what it was after the first thousand.
"""

from __future__ import annotations

import dataclasses
import gc
import io
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
from gatewright.runtime.episodes import Entry, Episode
from gatewright.runtime.policy import recorded
from gatewright.runtime.service import Service
from gatewright.runtime.store import database
from gatewright.scenarios.episodes import files
from gatewright.scenarios.episodes.files import Recorded
from gatewright.scenarios.replay import release, strict
from gatewright.scenarios.replay.release import Release
from gatewright.scenarios.replay.tape import Tape

from .figures import Bar, Figure, compare, say, take_turns
from .program import Setting, main, shared_data
from .recorded import EPISODES

R = TypeVar("R")

DEARER = Bar(value=1.5, sense="at most")
FLAT = Bar(value=1.1, sense="at most")
PART = 1_000  # episodes

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


def _again(episodes: Sequence[Episode]) -> list[Episode]:
    """The episodes as they were read, with nothing remembered of earlier replays but that the records are sound."""
    found: list[Episode] = []
    for episode in episodes:
        entries = [Entry(each.position, each.body, each.values) for each in episode.entries]
        assert all(entry.record.kind for entry in entries)  # decodes them
        found.append(dataclasses.replace(episode, entries=entries))
    return found


def _first_words(episode: Episode, number: int) -> Episode:
    """What came of the first message of a conversation, as an episode of its own."""
    name, run = f"{episode.id}-{number}", episode.runs[0]
    return Episode(
        name,
        [episode.root._replace(id=name)],
        [run._replace(thread_id=name)],
        [entry for entry in episode.entries if entry.record.run_id == run.id],
        [request for request in episode.requests if request.run_id == run.id],
    )


def _written(path: Path, episode: Episode, count: int) -> None:
    """A file of so many small episodes; after every `PART` of them names and texts come again."""
    part = io.BytesIO()
    writer = files.Writer(part)
    for number in range(min(count, PART)):
        writer.write(Recorded(episode=_first_words(episode, number)))
    with path.open("wb") as stream:
        for _ in range(-(-count // PART)):
            stream.write(part.getvalue())


async def resident_after(path: Path, ours: Release, counts: Sequence[int]) -> dict[int, float]:
    """Megabytes in memory when so many episodes of a file have been replayed."""
    found: dict[int, float] = {}
    for number, read in enumerate(files.read(path), 1):
        assert (await strict.replay(read.episode, ours)).equal
        if number in counts:
            found[number] = _resident()
            say(f"replays: {found[number]:.1f} MB after {number} episodes")
    return found


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
            episodes = _again(found)
            began = time.process_time()
            equal = [(await strict.replay(episode, ours)).equal for episode in episodes]
            taken = time.process_time() - began
            assert all(equal), f"{equal.count(False)} of {len(equal)} episodes diverged"
            return taken / len(found) * 1000

        async def bare() -> float:
            began = time.process_time()
            for episode, canned in zip(found, answers, strict=True):
                await _bare(episode, ours, canned)
            return (time.process_time() - began) / len(found) * 1000

        pairs = await take_turns(replayed, bare, setting.size(5, 1))
        few, *more = (1_000, 10_000, 100_000) if not setting.quick else (20, 60)
        path = setting.folder / "episodes.jsonl"
        _written(path, min(found, key=lambda episode: len(episode.entries)), more[-1])
        resident = await resident_after(path, ours, (few, *more))
    memory = [
        Figure(
            name=f"memory_after_{count}",
            unit="MB",
            ours=resident[count],
            reference=resident[few],
            ratio=resident[count] / resident[few],
            bar=FLAT,
        )
        for count in more
    ]
    return [compare("strict_replay", "ms", pairs, DEARER), *memory]


if __name__ == "__main__":
    main(measure, __doc__)
