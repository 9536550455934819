"""Payout: the only agent of the team that holds the tools which pay and refuse."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from gatewright.agents.errors import DeniedError
from gatewright.agents.teams import Resources


class Order(TypedDict):
    """What is to be done with a claim: `settlement` is `pay` or `deny`; `amount` is in euros."""

    claim_id: str
    settlement: str
    amount: float
    reason: str


class Outcome(TypedDict):
    """`paid`, `denied`, or why neither was done."""

    outcome: str


class PayoutState(Order, Outcome):
    """The state of one order."""


def build(resources: Resources) -> Any:
    """The graph: carries out one order.

    Raises:
        UsageError: the world lacks one of the tools.
    """
    pay, deny = resources.tool("pay_claim"), resources.tool("deny_claim")

    def settle(state: PayoutState) -> Outcome:
        paying = state["settlement"] == "pay"
        try:
            if paying:
                text = str(pay.invoke({"claim_id": state["claim_id"], "amount": state["amount"]}))
            else:
                text = str(deny.invoke({"claim_id": state["claim_id"], "reason": state["reason"]}))
        except DeniedError as refusal:
            return {"outcome": f"refused: {refusal}"}
        if text.startswith("Error:"):
            return {"outcome": text}
        return {"outcome": "paid" if paying else "denied"}

    graph = StateGraph(PayoutState, input_schema=Order, output_schema=Outcome)
    graph.add_node("settle", settle)
    graph.add_edge(START, "settle")
    graph.add_edge("settle", END)
    return graph
