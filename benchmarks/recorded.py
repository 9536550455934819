"""Recorded conversations of an airline's customers through the service, beside the world's tools called bare.

Every conversation is a thread; approvals are given at once. The recordings are not part of the repository: without them
the small set that comes along is held, and the figures' names say so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gatewright.agents import Conversation, Effect, RunContext
from gatewright.agents.effects import ACTIVE, IDEMPOTENCY_KEY
from gatewright.environments.airline import airline
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config
from gatewright.runtime.service import Service

from .figures import Figure, say
from .program import Setting, main, shared_data

R = TypeVar("R")

EPISODES = Path("taubench/airline/episodes-gpt-4o.json")


class Open:
    """A chain that lets everything pass: what the tools cost by themselves."""

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        return await action(effect.args)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        raise LookupError(f"there is no agent {agent!r} beside a bare tool")

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        raise LookupError(f"there is no agent {agent!r} beside a bare tool")

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        raise LookupError(f"there is no topic {topic!r} beside a bare tool")


def _bare(state: Path, conversations: Sequence[Conversation]) -> float:
    """Seconds for all recorded tool calls, one after the other."""
    state.mkdir()
    world = airline(state, {})
    tools = {tool.name: tool for tool in world.tools()}
    began = time.perf_counter()
    for conversation in conversations:
        context = RunContext(
            run_id=conversation.id,
            thread_id=conversation.id,
            case_id=conversation.id,
            deployment="bare",
            agent="bare",
            chain=Open(),
            settings=conversation.settings,
        )
        active = ACTIVE.set(context)
        for number, call in enumerate(conversation.tool_calls):
            if call.name not in tools:
                continue
            keyed = IDEMPOTENCY_KEY.set(f"{conversation.id}-{number}")
            tools[call.name].invoke({"name": call.name, "args": call.args, "id": f"call-{number}", "type": "tool_call"})
            IDEMPOTENCY_KEY.reset(keyed)
        ACTIVE.reset(active)
    taken = time.perf_counter() - began
    world.close()
    return taken


async def measure(setting: Setting) -> Sequence[Figure]:
    """Seconds for all conversations, and milliseconds for each of their tool calls."""
    given = shared_data() / EPISODES
    path, label = (given, "recorded") if given.is_file() and not setting.quick else (None, "small_set")
    if path is None:
        why = "--quick" if setting.quick else f"there is no {str(given)!r}; GATEWRIGHT_SHARED_DATA names its folder"
        say(f"recorded: the small set that comes along, as {why}")
    async with await Service.open(Config(data_dir=setting.folder / "data")) as service:
        conversations = await service.conversations("support", path)
        calls = sum(len(conversation.tool_calls) for conversation in conversations)
        say(f"recorded: {len(conversations)} conversations, {calls} tool calls")
        reference = _bare(setting.folder / "bare", conversations)
        holding = Holding(service, "support", approve=lambda approval: True, tell=lambda approval: None)
        await holding.start(conversations)
        await holding.follow()
        await holding.compare()
    ours = holding.outcome.seconds
    say(
        f"recorded: tool results equal {holding.outcome.tool_results}, rewards equal {holding.outcome.rewards}, "
        f"approvals {holding.outcome.approvals}"
    )
    ratio = ours / reference
    return [
        Figure(name=f"{label}_conversations", unit="s", ours=ours, reference=reference, ratio=ratio),
        Figure(
            name=f"{label}_per_tool_call",
            unit="ms",
            ours=ours / calls * 1000,
            reference=reference / calls * 1000,
            ratio=ratio,
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
