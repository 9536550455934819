"""A run through the engine against bare LangGraph with its SQLite checkpointer.

The graph has three nodes with an effect each. Ours journals the effects, keeps the ledger and lets LangGraph
checkpoint at the end of the run; the reference does the same work unguarded and checkpoints every step
(`durability="sync"`), which is what LangGraph needs for not losing steps. Its two cheaper modes, which do lose them,
are there for comparison.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from gatewright.runtime.service import Service

from . import graphs, sides
from .figures import Bar, Figure, Pair, compare, say, take_turns
from .program import Setting, main

AT_ONCE = 32
THROUGHPUT = Bar(value=2.0, sense="at least")
LATENCY = Bar(value=0.8, sense="at most")


async def _against(
    setting: Setting, service: Service, name: str, durability: sides.Durability, *, judged: bool
) -> list[Figure]:
    graph: StateGraph[Any, Any, Any, Any] = getattr(graphs, name)
    label = f"{name}_" if name != "booking" else ""
    label += "" if durability == "sync" else f"against_{durability}_"
    turns, ours = setting.size(9, 2), partial(sides.execute, service, name)
    async with sides.bare(setting.folder / f"bare-{name}", graph, durability) as reference:
        say(f"engine: {name} graph, bare durability={durability!r}")
        count = setting.size(30, 3)
        one_by_one = await take_turns(
            lambda: sides.latency(ours, count), lambda: sides.latency(reference, count), turns
        )
        many = setting.size(320, 8)
        together = await take_turns(
            lambda: sides.throughput(ours, many, AT_ONCE),
            lambda: sides.throughput(reference, many, AT_ONCE),
            turns,
        )
    return [
        compare(f"{label}sequential_p50", "ms", one_by_one, LATENCY if judged else None),
        compare(f"{label}throughput_at_{AT_ONCE}", "runs/s", together, THROUGHPUT if judged else None),
    ]


async def _queued(service: Service, count: int) -> float:
    """Runs per second when `count` runs are accepted at once, each on a thread of its own."""
    began = time.perf_counter()
    started = await asyncio.gather(*(service.start_run("booking", graphs.INPUT) for _ in range(count)))
    ended = await asyncio.gather(*(service.wait(run.id, timeout=sides.PATIENCE) for run in started))
    assert all(run.status == "succeeded" for run in ended)
    return count / (time.perf_counter() - began)


async def _scaling(setting: Setting, service: Service) -> list[Figure]:
    """The same work with ten and a hundred times as many runs in the queue; the reference is the short queue."""
    base = setting.size(100, 4)
    figures: list[Figure] = []
    for factor in (10, 100):
        say(f"engine: {base * factor} runs queued at once")
        pairs: list[Pair] = []
        for _ in range(setting.size(300, 100) // factor // 3 or 1):
            pairs.append(Pair(await _queued(service, base * factor), await _queued(service, base)))
        figures.append(compare(f"queue_of_{base * factor}", "runs/s", pairs))
    return figures


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures of the engine."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(sides.engine(setting.folder / "ours", "booking", "silent"))
        figures += await _against(setting, service, "booking", "sync", judged=True)
        figures += await _against(setting, service, "silent", "sync", judged=False)
        for durability in ("async", "exit"):
            figures += await _against(setting, service, "booking", durability, judged=False)
        figures += await _scaling(setting, service)
    return figures


if __name__ == "__main__":
    main(measure, __doc__)
