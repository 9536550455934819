"""A clerk who refunds, and who can be told to go wrong in all the ways in which agents do."""

import asyncio
import os
import time
from typing import Any, TypedDict

from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class Request(TypedDict, total=False):
    do: str
    amount: float
    answer: Any


@tool
def refund(amount: float) -> str:
    """Give money back."""
    return f'{{"refunded": {amount:g}}}'


async def work(state: Request) -> dict[str, Any]:
    match state.get("do"):
        case "wait":
            await asyncio.sleep(3600)
        case "block":
            time.sleep(3600)
        case "die":
            os._exit(3)
        case "fail":
            raise ValueError("I cannot do this")
        case "ask":
            return {"answer": interrupt({"question": "shall I?"})}
        case _:
            pass
    return {"answer": await refund.ainvoke({"amount": state.get("amount", 1.0)})}


graph = StateGraph(Request)
graph.add_node("work", work)
graph.add_edge(START, "work")
graph.add_edge("work", END)
