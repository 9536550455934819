"""A tool that fails, and says more than it should."""

from __future__ import annotations

from langchain_core.tools import tool
from langgraph.graph import StateGraph
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    out: str


@tool
def look_up(name: str) -> str:
    """Look somebody up."""
    raise ValueError(f"no row for {name} <kim@example.com>")


def desk(state):
    try:
        return {"out": look_up.invoke({"name": "kim"})}
    except Exception as error:
        return {"out": f"{type(error).__name__}: {error}"}


looking_up = StateGraph(State)
looking_up.add_node("desk", desk)
looking_up.set_entry_point("desk")
