"""The graphs that are measured. Both sides execute the same: outside of a run, a marked function is just called."""

from __future__ import annotations

import asyncio
import os
import time
from operator import add
from typing import Annotated, Any, NamedTuple, TypedDict

from langgraph.graph import END, START, StateGraph

from gatewright.agents import current, effect


class State(TypedDict, total=False):
    """A list of what the nodes said, as in a conversation."""

    said: Annotated[list[str], add]


INPUT: dict[str, Any] = {"said": ["hello"]}
NODES = ("first", "second", "third")


@effect
async def book(node: str, amount: int) -> dict[str, Any]:
    """What a tool gives that changes the world: not `reads`, so its intention must be on the disk before it happens."""
    return {"node": node, "amount": amount, "reference": f"{node}-{amount:04d}"}


def _chain(work: Any, names: tuple[str, ...] = NODES) -> StateGraph[State, None, State, State]:
    graph: StateGraph[State, None, State, State] = StateGraph(State)
    for name in names:
        graph.add_node(name, work(name))
    for before, after in zip((START, *names), (*names, END), strict=True):
        graph.add_edge(before, after)
    return graph


def _booking(name: str) -> Any:
    async def node(state: State) -> State:
        booked = await book(name, len(state.get("said", ())))
        return {"said": [booked["reference"]]}

    return node


def _silent(name: str) -> Any:
    async def node(state: State) -> State:
        return {"said": [name]}

    return node


booking = _chain(_booking)
silent = _chain(_silent)


# A graph that takes its time, and leaves a trail on the disk by which one sees how far each run has got.

TRAIL = "GATEWRIGHT_BENCHMARK_TRAIL"  # environment variable with the path of the trail
PACE = 0.4  # seconds a step of the patient graph takes
STEPS = 5


class Step(NamedTuple):
    """One line of the trail. `at` is seconds since the epoch."""

    run: str
    node: str
    at: float

    @classmethod
    def parse(cls, line: str) -> Step:
        """Read a line."""
        run, node, at = line.split()
        return cls(run, node, float(at))


@effect(labels={"idempotent"})
async def leave_trail(node: str) -> str:
    """Append a line in one write, so that lines of different runs never mix."""
    line = f"{current().run_id} {node} {time.time():.6f}\n"
    trail = os.open(os.environ[TRAIL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(trail, line.encode())
    finally:
        os.close(trail)
    return node


def _patient(name: str) -> Any:
    async def node(state: State) -> State:
        await asyncio.sleep(PACE)
        return {"said": [await leave_trail(name)]}

    return node


patient = _chain(_patient, tuple(f"step-{number}" for number in range(STEPS)))
