"""Agents that fail, hang, loop, forget and ask: what a runtime has to bear with."""

import asyncio
import json
import operator
import os
import threading
from typing import Annotated, Any, TypedDict

from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    amount: int
    done: Annotated[list[str], operator.add]
    thing: Any


def _graph(*nodes: Any) -> StateGraph[State]:
    graph = StateGraph(State)
    names = [f"node{number}" for number in range(len(nodes))]
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph


def _happened() -> int:
    log = os.environ["WORLD_LOG"]
    if not os.path.exists(log):
        return 0
    with open(log, encoding="utf-8") as file:
        return len(file.readlines())


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(["pay", amount]) + "\n")
    return f"paid {amount}"


def _pay(state: State) -> dict[str, Any]:
    return {"done": [pay.invoke({"amount": state["amount"]})]}


def _gate(name: str) -> bool:
    """Whether somebody has opened this gate: a file beside the log."""
    return os.path.exists(f"{os.environ['WORLD_LOG']}.{name}")


def _raises(state: State) -> dict[str, Any]:
    raise ValueError("the agent is wrong")


def _wrong_until_mended(state: State) -> dict[str, Any]:
    if not _gate("mended"):
        raise ValueError("the agent is wrong")
    return {"done": ["mended"]}


def _breaks_twice(state: State) -> dict[str, Any]:
    with open(f"{os.environ['WORLD_LOG']}.tries", "a", encoding="utf-8") as file:
        file.write("x")
    with open(f"{os.environ['WORLD_LOG']}.tries", encoding="utf-8") as file:
        if len(file.read()) < 3:
            raise ConnectionError("the connection broke")
    return {"done": ["in the end"]}


async def _hangs(state: State) -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


LEAVE = threading.Event()


def _hangs_in_a_thread(state: State) -> dict[str, Any]:
    "An Event is taken once, for the next test has another."
    LEAVE.wait(60)
    return {"done": [pay.invoke({"amount": 1000})]}


def _pays_for_ever(state: State) -> dict[str, Any]:
    for amount in range(1_000_000):
        pay.invoke({"amount": amount})
    return {}


def _unserialisable(state: State) -> dict[str, Any]:
    return {"thing": threading.Lock()}


@tool
def lock() -> Any:
    """Give something that cannot be recorded."""
    return threading.Lock()


def _unrecordable(state: State) -> dict[str, Any]:
    lock.invoke({})
    return {}


def _asks(state: State) -> dict[str, Any]:
    return {"done": [str(interrupt({"question": "how much?"}))]}


async def _waits_for_gate(state: State) -> dict[str, Any]:
    while not _gate("open"):
        await asyncio.sleep(0.005)
    return {"done": ["open"]}


def _dies(state: State) -> dict[str, Any]:
    os._exit(7)


pays = _graph(_pay)
pays_twice = _graph(_pay, _pay)
raises = _graph(_pay, _raises)
mendable = _graph(_pay, _wrong_until_mended)
flaky = _graph(_pay, _breaks_twice)
hangs = _graph(_pay, _hangs)
hangs_in_a_thread = _graph(_pay, _hangs_in_a_thread)
pays_for_ever = _graph(_pays_for_ever)
unserialisable = _graph(_pay, _unserialisable)
unrecordable = _graph(_unrecordable)
asks = _graph(_pay, _asks)
slow = _graph(_pay, _waits_for_gate, _pay)
dies = _graph(_pay, _dies)

loops = StateGraph(State)
loops.add_node("again", _pay)
loops.add_edge(START, "again")
loops.add_edge("again", "again")

fails_beside_a_question = StateGraph(State)
fails_beside_a_question.add_node("pays", _pay)
fails_beside_a_question.add_node("fails", _wrong_until_mended)
fails_beside_a_question.add_edge(START, "pays")
fails_beside_a_question.add_edge(START, "fails")
