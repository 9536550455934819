"""The specialist for changes and refunds: the only agent of the team that holds tools which change anything."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from gatewright.agents.teams import Resources

from .calling import answer_of

CHANGING = (
    "book_reservation",
    "cancel_reservation",
    "send_certificate",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
)


class Request(TypedDict):
    """One call that the desk asks for; `id` is the model's tool-call id."""

    tool: str
    args: dict[str, Any]
    id: str


class Result(TypedDict):
    """The text that the call gave, or why it was refused."""

    result: str


class ChangesState(Request, Result):
    """The state of one request."""


def build(resources: Resources) -> Any:
    """The specialist's graph: performs one request.

    Raises:
        UsageError: the world lacks one of the tools.
    """
    tools = {name: resources.tool(name) for name in CHANGING}

    def perform(state: ChangesState) -> Result:
        name = state["tool"]
        if name not in tools:
            return {"result": f"Error: {name!r} is not a tool of the changes desk; it has {', '.join(tools)}"}
        return {"result": answer_of(tools[name], state["args"], state["id"])}

    graph = StateGraph(ChangesState, input_schema=Request, output_schema=Result)
    graph.add_node("perform", perform)
    graph.add_edge(START, "perform")
    graph.add_edge("perform", END)
    return graph
