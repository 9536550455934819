"""A run over HTTP against bare LangGraph in its own process, with the same checkpointer.

`gatewright serve` runs as its users run it, in a process of its own, and so does the client. The reference has neither:
what is measured is all that lies between a graph in a script and the same graph as a durable service.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from . import graphs, servers, sides
from .figures import Bar, Figure, compare, say, take_turns
from .program import Setting, main
from .servers import Client, Server

AT_ONCE = 32
GRAPHS = ("booking", "silent")
LATENCY = Bar(value=1.7, sense="at most")
THROUGHPUT = Bar(value=0.8, sense="at least")
FIRST_EVENT = Bar(value=1.8, sense="at most")
RECOVERY = Bar(value=10.0, sense="at most", of="ours")


async def _waits(setting: Setting, client: Client, name: str, *, judged: bool) -> list[Figure]:
    """Start and wait, one by one and many at once."""
    turns, prefix = setting.size(9, 2), "" if judged else f"{name}_"
    count, many = setting.size(30, 3), setting.size(320, 8)
    async with sides.bare(setting.folder / f"bare-{name}", getattr(graphs, name)) as reference:
        say(f"http: {name} graph, start and wait")

        async def one_by_one() -> float:
            return (await client.measure(name, count)).median

        async def together() -> float:
            return (await client.measure(name, many, at_once=AT_ONCE)).rate

        sequential = await take_turns(one_by_one, partial(sides.latency, reference, count), turns)
        concurrent = await take_turns(together, partial(sides.throughput, reference, many, AT_ONCE), turns)
    return [
        compare(f"{prefix}wait_sequential_p50", "ms", sequential, LATENCY if judged else None),
        compare(f"{prefix}wait_throughput_at_{AT_ONCE}", "runs/s", concurrent, THROUGHPUT if judged else None),
    ]


async def _first(setting: Setting, client: Client, name: str, *, event: str, bar: Bar | None) -> Figure:
    """The first event (of a kind) of a stream, beside the first update of the bare graph."""
    count, turns = setting.size(30, 3), setting.size(9, 2)
    async with AsyncSqliteSaver.from_conn_string(str(setting.folder / f"stream-{uuid.uuid4().hex}.sqlite")) as saver:
        graph: Any = getattr(graphs, name).compile(checkpointer=saver)
        times: list[float] = []

        async def once() -> None:
            began = time.perf_counter()
            thread = {"configurable": {"thread_id": uuid.uuid4().hex}}
            first: float | None = None
            async for _ in graph.astream(graphs.INPUT, thread, stream_mode="updates", durability="sync"):
                first = first or time.perf_counter() - began
            assert first is not None
            times.append(first * 1000)

        async def reference() -> float:
            times.clear()
            for _ in range(count):
                await once()
            return sorted(times)[len(times) // 2]

        async def ours() -> float:
            return (await client.measure(name, count, measure="stream", event=event)).median

        say(f"http: {name} graph, first event")
        pairs = await take_turns(ours, reference, turns)
    label = "first_event_p50" if not event else "first_update_p50"
    return compare(label if name == "booking" else f"{name}_{label}", "ms", pairs, bar)


async def _recovery(setting: Setting) -> Figure:
    """Seconds from the restart after SIGKILL until every run that was running has gone on.

    The reference is the time until the restarted service answers.
    """
    say("http: SIGKILL and restart")
    folder, runs = setting.folder / "killed", setting.size(16, 2)
    servers.configuration(folder, ("patient",))
    trail = folder / "trail"
    environ = {graphs.TRAIL: str(trail)}
    server = await Server.start(folder, "serve", environ=environ)
    try:
        started = [server.post("/v1/runs", {"deployment": "patient", "input": graphs.INPUT})["id"] for _ in range(runs)]
        while len({step.run for step in _steps(trail)}) < runs:
            await asyncio.sleep(0.05)
    finally:
        server.kill()
    before = len(_steps(trail))
    began = time.time()
    server = await Server.start(folder, "serve", environ=environ)
    ready = time.time() - began
    try:
        ended = [await asyncio.to_thread(server.get, f"/v1/runs/{run}/wait?timeout=60") for run in started]
        assert all(run["status"] == "succeeded" for run in ended), ended
    finally:
        await asyncio.to_thread(server.stop)
    resumed: dict[str, float] = {}
    for step in _steps(trail)[before:]:
        resumed.setdefault(step.run, step.at - began)
    assert set(resumed) == set(started), "a run ended without the steps that it had left"
    longest = max(resumed.values())
    return Figure(
        name="resumed_after_kill", unit="s", ours=longest, reference=ready, ratio=longest / ready, bar=RECOVERY
    )


def _steps(trail: Path) -> list[graphs.Step]:
    if not os.path.exists(trail):
        return []
    return [graphs.Step.parse(line) for line in trail.read_text("utf-8").splitlines()]


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures over HTTP."""
    figures: list[Figure] = []
    folder = setting.folder / "service"
    servers.configuration(folder, GRAPHS)
    async with servers.serving(folder, "serve") as server, servers.measuring(server) as client:
        figures += await _waits(setting, client, "booking", judged=True)
        figures += await _waits(setting, client, "silent", judged=False)
        figures.append(await _first(setting, client, "booking", event="", bar=FIRST_EVENT))
        figures.append(await _first(setting, client, "booking", event="event: update", bar=None))
        figures.append(await _first(setting, client, "silent", event="", bar=None))
    figures.append(await _recovery(setting))
    return figures


if __name__ == "__main__":
    main(measure, __doc__)
