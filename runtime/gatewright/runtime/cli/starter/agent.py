"""A clerk who looks up an order and refunds it: plain LangGraph, which imports nothing of Gatewright.

Both tools pass Gatewright's chain all the same. `rules.yaml` lets small refunds through and makes larger ones wait.

    gatewright run start clerk --input '{"order": "A-17", "amount": 40}'
    gatewright run start clerk --input '{"order": "B-02", "amount": 400}'
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph


class Request(TypedDict):
    """What the clerk is given, and what comes of it."""

    order: str
    amount: float
    found: NotRequired[str]
    answer: NotRequired[str]


@tool
def find_order(order: str) -> str:
    """Look an order up."""
    return f"order {order}: paid, delivered"


@tool
def refund(order: str, amount: float) -> str:
    """Give money back."""
    return f"{amount:.2f} refunded for order {order}"


def look_up(state: Request) -> dict[str, str]:
    return {"found": find_order.invoke({"order": state["order"]})}


def give_back(state: Request) -> dict[str, str]:
    return {"answer": refund.invoke({"order": state["order"], "amount": state["amount"]})}


builder = StateGraph(Request)
builder.add_node("look_up", look_up)
builder.add_node("give_back", give_back)
builder.add_edge(START, "look_up")
builder.add_edge("look_up", "give_back")
builder.add_edge("give_back", END)
graph = builder.compile()
