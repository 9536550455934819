"""Agents of processes that are killed, stopped and ended: what they do to the world is a file outside, of lines.

With `BLIND` nobody is seen to be dead, as if on another machine. With `DEAF` a process goes on with its runs when it
was found lost; with `UNFENCED` whoever writes for a run is taken for its holder.
"""

import asyncio
import json
import os
import time
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from gatewright.agents import effect, idempotency_key
from gatewright.runtime import runs
from gatewright.runtime.engine import Engine
from gatewright.runtime.workers import liveness


class State(TypedDict):
    case: str


def lines() -> list[dict[str, Any]]:
    """Everything so far, in order."""
    with open(os.environ["WORLD"], "a+", encoding="utf-8") as file:
        file.seek(0)
        return [json.loads(line) for line in file]


def note(event: str, case: str, **more: Any) -> None:
    """Add a line, in one write, so that those of several processes never mix."""
    line = json.dumps({"event": event, "case": case, "pid": os.getpid(), **more}) + "\n"
    descriptor = os.open(os.environ["WORLD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def opened(case: str) -> bool:
    """Whether the test lets this case go on."""
    return os.path.exists(f"{os.environ['WORLD']}.{case}")


@effect
async def pay(case: str) -> str:
    """What nobody may do twice."""
    note("paid", case)
    return case


@effect(labels={"idempotent"})
async def tell(case: str, step: int) -> str:
    """What may be tried again under its key."""
    note("told", case, step=step, key=idempotency_key())
    await asyncio.sleep(0.02)
    return case


async def _work(state: State) -> dict[str, str]:
    note("begun", state["case"])
    for step in range(4):
        await tell(state["case"], step)
        await asyncio.sleep(0.02)
    return {}


async def _stubborn(state: State) -> dict[str, str]:
    case = state["case"]
    first = not any(line["case"] == case for line in lines())
    note("begun", case)
    while first and not opened(case):
        time.sleep(0.005)  # its process renews no lease
    try:
        await pay(case)
    except BaseException:  # it may be cancelled, too
        note("refused", case)
        raise
    return {}


async def _waiting(state: State) -> dict[str, str]:
    note("begun", state["case"])
    while not opened(state["case"]):
        await asyncio.sleep(0.01)
    return {}


async def _paying(state: State) -> dict[str, str]:
    await pay(state["case"])
    return {}


def _graph(*nodes: Any) -> StateGraph[State]:
    graph = StateGraph(State)
    names = [START, *(f"node{number}" for number in range(len(nodes))), END]
    for name, node in zip(names[1:], nodes, strict=False):
        graph.add_node(name, node)
    for before, after in zip(names, names[1:], strict=False):
        graph.add_edge(before, after)
    return graph


works = _graph(_work)
stubborn = _graph(_stubborn)
patient = _graph(_waiting, _paying)

if os.environ.get("BLIND"):
    liveness.dead = lambda process: False
if os.environ.get("DEAF"):
    Engine.begin_anew = lambda self, worker: None  # type: ignore[method-assign]
if os.environ.get("UNFENCED"):
    runs.hold = lambda transaction, run_id, epoch: None
