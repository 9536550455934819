"""Rounds of episodes on one service, and the people who decide what its rules ask."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service
from gatewright.runtime.views import FINAL, ApprovalView

from . import suites
from .agent import EPISODES
from .episodes import Ask, Episode, episode
from .outcomes import Outcome, Review, Round
from .suites import Call

PACKS = Path(__file__).parent / "packs"
AT_ONCE = 8
PATIENCE = 120.0  # seconds for one episode
REVIEWER = "reviewer"


def deployments() -> dict[str, Deployment]:
    """Two deployments of each suite's agent: with its rule pack, and `NAME-unguarded` without."""
    return {
        f"{name}{suffix}": Deployment(graph=f"benchmarks.agentdojo.agent:{name}", rules=rules)
        for name in suites.NAMES
        for suffix, rules in (("", PACKS / f"{name}.yaml"), ("-unguarded", None))
    }


_numbers = itertools.count(1)


async def hold(service: Service, episode: Episode, review: Review) -> Episode:
    """Hold an episode to its end."""
    thread = f"{str(episode.pair).replace('/', '.')}.{next(_numbers)}"
    EPISODES[thread] = episode
    try:
        name = f"{episode.pair.suite}-unguarded" if review == "none" else episode.pair.suite
        said = {"messages": [{"role": "user", "content": episode.prompt}]}
        run = await service.start_run(name, said, thread_id=thread)
        while (view := await service.wait(run.id, timeout=PATIENCE)).status not in FINAL:
            for approval in await service.approvals(run_id=run.id):
                await _decide(service, episode, review, approval)
    finally:
        del EPISODES[thread]
    if view.status == "succeeded":
        episode.answer = str(view.output["messages"][-1]["content"])
    else:
        episode.problem = f"{view.status}: {view.error.message if view.error else ''}"
    return episode


async def _decide(service: Service, episode: Episode, review: Review, approval: ApprovalView) -> None:
    call = Call(approval.action["name"], approval.action["args"])
    own = episode.own(call)
    episode.asks.append(Ask(call=call, own=own, rules=tuple(approval.rules)))
    if review == "correct" and own:
        await service.decide(approval.id, "approve", by=REVIEWER)
    else:
        await service.decide(approval.id, "reject", by=REVIEWER, reason="not what the user asked for")


async def hold_round(service: Service, round: Round) -> list[Outcome]:
    """Hold the episodes of a round, `AT_ONCE` at a time."""
    outcomes: list[Outcome] = []
    left = iter(round.pairs)

    async def worker() -> None:
        for pair in left:
            fresh = episode(pair, template=round.template, structured=round.structured)
            outcomes.append(Outcome.of(await hold(service, fresh, round.review)))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return outcomes


async def hold_rounds(folder: Path, rounds: Sequence[Round]) -> dict[str, list[Outcome]]:
    """Hold rounds one after the other on one service; the outcomes by the rounds' names."""
    async with await Service.open(Config(data_dir=folder, deployments=deployments())) as opened:
        return {round.name: await hold_round(opened, round) for round in rounds}
