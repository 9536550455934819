"""Intake: takes the customer's report in, has it checked, decides who works on it, and follows it to its settlement.

begin ──▶ coverage ─┬─▶ triage ──▶ (standard, special_unit) investigate ⟲ ──▶ settle: ask("payout") ──▶ end
  │  └──▶ fraud ────┘      └─────▶ (fast_track, reject) ────────────────────────▲
  └─────▶ (no claim named, or closed before) ──▶ end
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from gatewright.agents.decisions import decide
from gatewright.agents.errors import DeniedError
from gatewright.agents.messages import ask
from gatewright.agents.teams import Resources

from .points import InvestigateFeatures, TriageFeatures, closed_at_investigation, closed_at_triage
from .rules import INVESTIGATE, TRIAGE

CLAIM = re.compile(r"\bC-\d+-\d+\b")
TOOLS = (
    "get_claim",
    "check_coverage",
    "check_fraud",
    "check_workload",
    "assign_claim",
    "request_documents",
    "inspect_damage",
)
EVIDENCE = {"request_documents": "request_documents", "inspect": "inspect_damage"}
NO_CLAIM = "Please tell me the number of your claim; it looks like C-1-7."


class IntakeState(TypedDict):
    """A claim. `report`, `coverage` and `fraud` are what the checks gave; `findings` what the investigation did.

    `settlement` is what is to be done with it, and `closed` how it ended; both empty before.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    claim_id: NotRequired[str]
    report: NotRequired[dict[str, Any]]
    coverage: NotRequired[dict[str, Any]]
    fraud: NotRequired[dict[str, Any]]
    findings: NotRequired[dict[str, str]]
    settlement: NotRequired[Literal["", "pay", "deny"]]
    reason: NotRequired[str]
    closed: NotRequired[Literal["", "paid", "denied", "open"]]


def _reply(state: IntakeState, text: str) -> dict[str, Any]:
    # The reducer would give it a random id: a step that is executed again must say the same thing.
    return {"messages": [AIMessage(text, id=f"intake-{len(state['messages'])}")]}


def _left_open(state: IntakeState, why: str) -> dict[str, Any]:
    """For people to go on with."""
    return {"closed": "open", **_reply(state, f"A colleague goes on with the claim {state.get('claim_id')} ({why}).")}


class _Intake:
    """The nodes of the graph. Between effects they look at the state only, so that a node can be executed again."""

    def __init__(self, resources: Resources) -> None:
        self._tools = {name: resources.tool(name) for name in TOOLS}

    def _found(self, tool: str, claim_id: str, **more: Any) -> dict[str, Any]:
        """What a tool answers.

        Raises:
            DeniedError: a rule or a person refused the call, or the world did.
        """
        text = str(self._tools[tool].invoke({"claim_id": claim_id, **more}))
        if text.startswith("Error:"):
            raise DeniedError(text.removeprefix("Error: "))
        found: dict[str, Any] = json.loads(text)
        return found

    def begin(self, state: IntakeState) -> dict[str, Any]:
        if state.get("closed"):
            return _reply(state, f"The claim {state.get('claim_id')} was taken in before; it is {state.get('closed')}.")
        named = CLAIM.search(state["messages"][-1].text)
        if named is None:
            return _reply(state, NO_CLAIM)
        try:
            return {"claim_id": named[0], "report": self._found("get_claim", named[0])}
        except DeniedError as refusal:
            return _reply(state, f"I cannot work on the claim {named[0]}: {refusal}.")

    def coverage(self, state: IntakeState) -> dict[str, Any]:
        return {"coverage": self._found("check_coverage", state.get("claim_id", ""))}

    def fraud(self, state: IntakeState) -> dict[str, Any]:
        claim_id = state.get("claim_id", "")
        return {"fraud": self._found("check_fraud", claim_id) | self._found("check_workload", claim_id)}

    def triage(self, state: IntakeState) -> dict[str, Any]:
        known = state.get("report", {}) | state.get("coverage", {}) | state.get("fraud", {})
        features = TriageFeatures.model_validate(known)
        choice = decide(TRIAGE, features, closed=closed_at_triage(features))
        try:
            assigned = self._found("assign_claim", state.get("claim_id", ""), lane=choice.option)
        except DeniedError as refusal:
            return _left_open(state, f"refused: {refusal}")
        if choice.option == "fast_track":
            return {"settlement": "pay", "reason": choice.reason}
        if choice.option == "reject":
            return {"settlement": "deny", "reason": choice.reason}
        return {"findings": {**assigned, "documents": "not_requested", "inspection": "not_done"}}

    def investigate(self, state: IntakeState) -> dict[str, Any]:
        """One decision, and the evidence that it asks for."""
        findings = state.get("findings", {})
        known = state.get("report", {}) | state.get("coverage", {}) | state.get("fraud", {}) | findings
        features = InvestigateFeatures.model_validate(known)
        choice = decide(INVESTIGATE, features, closed=closed_at_investigation(features))
        if choice.option in EVIDENCE:
            try:
                found = self._found(EVIDENCE[choice.option], state.get("claim_id", ""))
            except DeniedError as refusal:
                return _left_open(state, f"refused: {refusal}")
            return {"findings": {**findings, **found}}
        return {"settlement": "pay" if choice.option == "approve" else "deny", "reason": choice.reason}

    def settle(self, state: IntakeState) -> dict[str, Any]:
        """Have it paid or refused; what is not approved stays open."""
        claim_id, report = state.get("claim_id", ""), state.get("report", {})
        settlement, reason = state.get("settlement", ""), state.get("reason", "")
        order = {"claim_id": claim_id, "settlement": settlement, "amount": report["amount"], "reason": reason}
        try:
            outcome = ask("payout", order)["outcome"]
        except DeniedError as refusal:
            outcome = f"refused: {refusal}"
        if outcome == "paid":
            return {"closed": "paid", **_reply(state, f"We pay {report['amount']:,.0f} euros on the claim {claim_id}.")}
        if outcome == "denied":
            return {"closed": "denied", **_reply(state, f"We cannot pay the claim {claim_id}: {reason}.")}
        return _left_open(state, outcome)


def _begun(state: IntakeState) -> list[str]:
    return [END] if state.get("closed") or not state.get("claim_id") else ["coverage", "fraud"]


def _next(state: IntakeState) -> str:
    if state.get("closed"):
        return END
    return "settle" if state.get("settlement") else "investigate"


def build(resources: Resources) -> Any:
    """The graph. Its input is `{"messages": [what the customer says]}`; its last message is the reply.

    Raises:
        UsageError: the world lacks one of the tools.
    """
    intake = _Intake(resources)
    graph = StateGraph(IntakeState)
    graph.add_node("begin", intake.begin)
    graph.add_node("coverage", intake.coverage)
    graph.add_node("fraud", intake.fraud)
    graph.add_node("triage", intake.triage)
    graph.add_node("investigate", intake.investigate)
    graph.add_node("settle", intake.settle)
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", _begun, ["coverage", "fraud", END])
    graph.add_edge(["coverage", "fraud"], "triage")
    graph.add_conditional_edges("triage", _next, ["investigate", "settle", END])
    graph.add_conditional_edges("investigate", _next, ["investigate", "settle", END])
    graph.add_edge("settle", END)
    return graph
