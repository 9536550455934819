"""The two sides: bare LangGraph with its own SQLite checkpointer, and the engine, both on a file of their own."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import StateGraph

from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service

from .graphs import INPUT, NODES

Durability = Literal["sync", "async", "exit"]
Once = Callable[[], Awaitable[None]]
"""Executes one run on a thread of its own, from its input to its end."""

PATIENCE = 600.0  # seconds


@asynccontextmanager
async def bare(
    folder: Path, graph: StateGraph[Any, Any, Any, Any], durability: Durability = "sync"
) -> AsyncGenerator[Once]:
    """LangGraph as its users run it, without anything of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncSqliteSaver.from_conn_string(str(folder / f"{durability}.sqlite")) as saver:
        compiled = graph.compile(checkpointer=saver)

        async def once() -> None:
            thread: RunnableConfig = {"configurable": {"thread_id": uuid.uuid4().hex}}
            values = await compiled.ainvoke(INPUT, thread, durability=durability)
            assert len(values["said"]) == 1 + len(NODES), values

        yield once


def configuration(folder: Path, graphs: tuple[str, ...], *, concurrency: int = 32) -> Config:
    """A service of the graphs of `benchmarks.graphs`, with its defaults."""
    return Config.model_validate(
        {
            "data_dir": folder,
            "deployments": {name: Deployment(graph=f"benchmarks.graphs:{name}") for name in graphs},
            "worker": {"concurrency": concurrency},
            "server": {"port": 0},
        }
    )


@asynccontextmanager
async def engine(folder: Path, *graphs: str) -> AsyncGenerator[Service]:
    """The service in this process."""
    async with await Service.open(configuration(folder, graphs)) as service:
        yield service


async def execute(service: Service, deployment: str) -> None:
    """Start a run and wait for it to end."""
    run = await service.start_run(deployment, INPUT)
    ended = await service.wait(run.id, timeout=PATIENCE)
    assert ended.status == "succeeded" and len(ended.output["said"]) == 1 + len(NODES), ended


async def latency(once: Once, count: int) -> float:
    """Median time of a run, in milliseconds, one after the other."""
    times: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await once()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def throughput(once: Once, count: int, at_once: int) -> float:
    """Runs per second with `at_once` in flight."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await once()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    return count / (time.perf_counter() - began)
