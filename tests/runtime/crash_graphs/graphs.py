"""Agents of the crash test, one for each way in which steps come about, with their tools and the world these act on.

The world is a file that outlives every process: what was begun, what happened, what was refused. Each line is on the
disk before the next thing happens, and a mark on the standard output tells who watches.
"""

import asyncio
import json
import operator
import os
import time
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt

from gatewright.agents import Agent, Resources, Team, ask, idempotency_key


def lines() -> list[dict[str, Any]]:
    """Everything so far, in order."""
    path = os.environ["CRASH_WORLD"]
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def note(event: str, tool: str, case: str, key: str = "") -> None:
    """Add a line: `begun`, `happened` or `refused`."""
    line = json.dumps({"event": event, "tool": tool, "case": case, "key": key}) + "\n"
    descriptor = os.open(os.environ["CRASH_WORLD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.write(1, f"{event}\n".encode())


def count(event: str, tool: str, case: str) -> int:
    """How often this has been noted."""
    return sum((line["event"], line["tool"], line["case"]) == (event, tool, case) for line in lines())


def knows(key: str) -> bool:
    """Whether something happened under this idempotency key."""
    return any(line["event"] == "happened" and line["key"] == key for line in lines())


def result(tool: str, case: str) -> str:
    """What the tool answers."""
    return f"{tool} {case}: done"


PAUSE = 0.003  # seconds in which a process may be killed before, and after, the thing happens


def _act(name: str, case: str) -> str:
    note("begun", name, case)
    time.sleep(PAUSE)
    note("happened", name, case)
    time.sleep(PAUSE)
    return result(name, case)


@tool
def charge(case: str) -> str:
    """Charge a card; the provider knows no idempotency keys."""
    return _act("charge", case)


@tool
def transfer(case: str) -> str:
    """Transfer money, which rules have approved by a person."""
    return _act("transfer", case)


@tool
async def ship(case: str) -> str:
    """Ship a parcel, asynchronously."""
    note("begun", "ship", case)
    await asyncio.sleep(PAUSE)
    note("happened", "ship", case)
    await asyncio.sleep(PAUSE)
    return result("ship", case)


@tool
def notify(case: str) -> str:
    """Send a notice; the server drops a second one under the same key."""
    key = idempotency_key() or ""
    note("begun", "notify", case, key)
    if not (key and knows(key)):
        note("happened", "notify", case, key)
    time.sleep(PAUSE)
    return result("notify", case)


@tool
def fetch(case: str) -> str:
    """Reserve at a server whose connection breaks the first time, before anything has happened."""
    note("begun", "fetch", case)
    if count("begun", "fetch", case) == 1:
        note("refused", "fetch", case)
        raise ConnectionError("the connection broke")
    note("happened", "fetch", case)
    time.sleep(PAUSE)
    return result("fetch", case)


class Echo(BaseChatModel):
    """Says what it was told."""

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        time.sleep(PAUSE)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"echo {messages[-1].content}"))])


class State(TypedDict, total=False):
    case: str
    done: Annotated[list[str], operator.add]


class Item(TypedDict):
    item: str


Update = dict[str, Any]


def pay(state: State) -> Update:
    return {"done": [charge.invoke({"case": state["case"]})]}


async def _ship(state: State) -> Update:
    return {"done": [await ship.ainvoke({"case": state["case"]})]}


def _several(state: State) -> Update:
    fee = charge.invoke({"case": f"{state['case']}-fee"})
    told = notify.invoke({"case": state["case"]})
    tax = charge.invoke({"case": f"{state['case']}-tax"})
    return {"done": [fee, told, tax]}


def line(*nodes: Any) -> StateGraph[State]:
    graph = StateGraph(State)
    names = [node.__name__.strip("_") for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph


sequential = line(pay, _ship, _several)


def _branch(number: int) -> Any:
    def branch(state: State) -> Update:
        return {"done": [charge.invoke({"case": f"{state['case']}-{number}"})]}

    async def abranch(state: State) -> Update:
        return {"done": [await ship.ainvoke({"case": f"{state['case']}-{number}"})]}

    return abranch if number % 2 else branch


def _close(state: State) -> Update:
    return {"done": [notify.invoke({"case": f"{state['case']}-close"})]}


parallel = StateGraph(State)
parallel.add_node("close", _close)
for _number in range(4):
    parallel.add_node(f"branch{_number}", _branch(_number))
    parallel.add_edge(START, f"branch{_number}")
parallel.add_edge([f"branch{number}" for number in range(4)], "close")


def _plan(state: State) -> list[Send]:
    return [Send("each", {"item": f"{state['case']}-{number}"}) for number in range(3)]


def _each(state: Item) -> Update:
    return {"done": [charge.invoke({"case": state["item"]})]}


fanout = StateGraph(State)
fanout.add_node("each", _each, input_schema=Item)
fanout.add_node("close", _close)
fanout.add_conditional_edges(START, _plan, ["each"])
fanout.add_edge("each", "close")


def _think(state: State) -> Update:
    return {"done": [str(Echo().invoke(state["case"]).content)]}


class Inside(TypedDict, total=False):
    case: str
    done: list[str]


async def _inner(state: Inside) -> Update:
    return {"done": [await ship.ainvoke({"case": state["case"]})]}


def _last(state: Inside) -> Update:
    return {"done": [*state["done"], charge.invoke({"case": state["case"]})]}


_inside = StateGraph(Inside)
_inside.add_node("inner", _inner)
_inside.add_node("last", _last)
_inside.add_edge(START, "inner")
_inside.add_edge("inner", "last")
_compiled = _inside.compile()


async def _around(state: State) -> Update:
    found = await _compiled.ainvoke({"case": f"{state['case']}-inside"})
    return {"done": found["done"]}


nested = line(_think, _around, _close)


def _transfer(state: State) -> Update:
    return {"done": [transfer.invoke({"case": state["case"]})]}


def _ask_person(state: State) -> Update:
    before = charge.invoke({"case": f"{state['case']}-before"})
    answer = interrupt(f"how is {state['case']}?")
    return {"done": [before, str(answer), charge.invoke({"case": f"{state['case']}-after"})]}


asking = line(_transfer, _ask_person, _close)


def _fetch(state: State) -> Update:
    return {"done": [fetch.invoke({"case": state["case"]})]}


def _shaky(state: State) -> Update:
    done = charge.invoke({"case": state["case"]})
    if not count("refused", "shaky", state["case"]):
        note("refused", "shaky", state["case"])
        raise ConnectionError("the step broke after its tool")
    return {"done": [done]}


flaky = line(_fetch, _shaky, _close)


def _front(state: State) -> Update:
    before = charge.invoke({"case": f"{state['case']}-front"})
    first = ask("back", {"case": f"{state['case']}-one"})
    second = ask("back", {"case": f"{state['case']}-two"})
    return {"done": [before, first["done"][-1], second["done"][-1]]}


def _build(*nodes: Any) -> Any:
    def build(_resources: Resources) -> StateGraph[State]:
        return line(*nodes)

    return build


team = Team(
    name="desk",
    entry="front",
    agents=(
        Agent(name="front", build=_build(_front)),
        Agent(name="back", build=_build(pay)),
    ),
)
