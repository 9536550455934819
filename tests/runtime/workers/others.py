"""An agent whose code is to be in the processes alone that execute it: it leaves a line when it is loaded."""

import os
from typing import TypedDict

from langgraph.graph import END, START, StateGraph

with open(os.environ["WORLD"] + ".loaded", "a", encoding="utf-8") as _loaded:
    _loaded.write(f"{os.getpid()}\n")


class State(TypedDict, total=False):
    case: str
    pid: int


async def _say(state: State) -> State:
    return {"pid": os.getpid()}


graph = StateGraph(State)
graph.add_node("say", _say)
graph.add_edge(START, "say")
graph.add_edge("say", END)
