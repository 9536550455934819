"""An agent that gives the conversation to another, as LangGraph's own hand-off tools do."""

from __future__ import annotations

from typing import Annotated

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    out: str


@tool
def transfer_to_billing(reason: str, tool_call_id: Annotated[str, InjectedToolCallId]):
    """Hand the conversation to billing."""
    note = ToolMessage("transferred", tool_call_id=tool_call_id)
    return Command(goto="billing", update={"messages": [note], "out": reason})


def desk(state):
    call = {"name": "transfer_to_billing", "args": {"reason": "refund"}, "id": "call_1"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def refused(state):
    return {"out": f"at the desk: {state['messages'][-1].content}"}


builder = StateGraph(State)
builder.add_node("desk", desk)
builder.add_node("tools", ToolNode([transfer_to_billing]), destinations=("billing",))
builder.add_node("billing", lambda state: {"out": f"billing has {state['out']}"})
builder.add_node("refused", refused)
builder.set_entry_point("desk")
builder.add_edge("desk", "tools")
builder.add_conditional_edges(
    "tools", lambda state: "refused" if state["messages"][-1].status == "error" else "billing", ["refused", "billing"]
)
transferring = builder
