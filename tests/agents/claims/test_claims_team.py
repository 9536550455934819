"""The claims team without a service: the world's tools are stand-ins, and payout is asked in the same process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from gatewright.agents import Resources
from gatewright.agents.claims import team
from gatewright.agents.claims.intake import NO_CLAIM, TOOLS
from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.errors import DeniedError
from gatewright.safety.rules.packs import Pack

R = TypeVar("R")
REPORT = {
    "claim_id": "C-1-7",
    "claim_type": "motor",
    "amount": 4_000.0,
    "policy_age_months": 60,
    "prior_claims": 0,
    "channel": "agent",
    "documents_complete": True,
    "reported_after_days": 2,
}


class Desk:
    """Works on one claim. `answers`: what tools answer, or refuse with; `calls`: which were called with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "get_claim": REPORT,
            "check_coverage": {"coverage": "inside"},
            "check_fraud": {"fraud_score": 0, "risk": 0},
            "check_workload": {"unit_busy": False},
            "assign_claim": {"lane": "standard", "assessment": "clear"},
            "request_documents": {"documents": "consistent"},
            "inspect_damage": {"inspection": "damaging"},
            "pay_claim": {"paid": 4_000.0},
            "deny_claim": {"denied": "so"},
        }
        resources = Resources(tools={name: self._tool(name) for name in (*TOOLS, "pay_claim", "deny_claim")})
        self._intake = team.agent("intake").build(resources).compile(checkpointer=InMemorySaver())
        self._payout = team.agent("payout").build(resources).compile()

    def _tool(self, name: str) -> BaseTool:
        def answer(**args: Any) -> str:
            self.calls.append((name, args))
            given = self.answers[name]
            if isinstance(given, DeniedError):
                raise given
            return given if isinstance(given, str) else json.dumps(given)

        schema = {"type": "object", "properties": {}}
        return StructuredTool.from_function(answer, name=name, description=name, args_schema=schema)

    def say(self, text: str) -> dict[str, Any]:
        """The customer says something; gives the state of the case."""
        context = RunContext(
            run_id="run", thread_id="case", case_id="case", deployment="test", agent="intake", chain=self, settings={}
        )
        token = ACTIVE.set(context)
        try:
            said = {"messages": [{"role": "user", "content": text}]}
            state: dict[str, Any] = self._intake.invoke(said, {"configurable": {"thread_id": "case"}})
            return state
        finally:
            ACTIVE.reset(token)

    @property
    def called(self) -> list[str]:
        return [name for name, _ in self.calls if name not in ("check_coverage", "check_fraud", "check_workload")]

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        return await action(effect.args)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        assert agent == "payout"
        return self._payout.invoke(payload)

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        raise AssertionError("the team sends no notices")

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        raise AssertionError("the team publishes nothing")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_clear_claim_is_paid(desk: Desk) -> None:
    state = desk.say("I report C-1-7, please")
    assert desk.called == ["get_claim", "assign_claim", "pay_claim"]
    assert desk.calls[-1][1] == {"claim_id": "C-1-7", "amount": 4_000.0}
    assert state["closed"] == "paid" and "4,000 euros" in state["messages"][-1].text


def test_doubt_is_followed_by_evidence_and_evidence_by_refusal(desk: Desk) -> None:
    desk.answers["assign_claim"] = {"lane": "standard", "assessment": "doubtful"}
    state = desk.say("I report C-1-7")
    assert desk.called == ["get_claim", "assign_claim", "inspect_damage", "deny_claim"]
    assert state["closed"] == "denied" and "the inspection speaks against" in state["messages"][-1].text


def test_what_is_not_covered_is_refused_at_once(desk: Desk) -> None:
    desk.answers |= {"check_coverage": {"coverage": "outside"}, "assign_claim": {"lane": "reject"}}
    assert desk.say("I report C-1-7")["closed"] == "denied"
    assert desk.called == ["get_claim", "assign_claim", "deny_claim"]


@pytest.mark.parametrize("tool", ["assign_claim", "request_documents", "pay_claim"])
def test_what_a_person_refused_leaves_the_claim_open(desk: Desk, tool: str) -> None:
    desk.answers["assign_claim"] = {"lane": "standard", "assessment": "unclear"}
    desk.answers[tool] = DeniedError("too much")
    state = desk.say("I report C-1-7")
    assert state["closed"] == "open" and "refused: too much" in state["messages"][-1].text
    assert desk.called[-1] == tool


def test_what_the_world_refuses_to_pay_leaves_the_claim_open(desk: Desk) -> None:
    desk.answers["pay_claim"] = "Error: the claim is for 1 euro"
    state = desk.say("I report C-1-7")
    assert state["closed"] == "open" and "for 1 euro" in state["messages"][-1].text


def test_a_customer_who_names_no_claim_is_asked_for_it(desk: Desk) -> None:
    assert desk.say("My car!")["messages"][-1].text == NO_CLAIM
    assert desk.say("It is C-1-7")["closed"] == "paid"


def test_a_claim_that_nobody_knows_is_not_worked_on(desk: Desk) -> None:
    desk.answers["get_claim"] = "Error: there is no claim 'C-1-8' in this case"
    state = desk.say("I report C-1-8")
    assert desk.called == ["get_claim"] and "there is no claim" in state["messages"][-1].text


def test_a_claim_that_is_closed_is_not_opened_again(desk: Desk) -> None:
    desk.say("I report C-1-7")
    state = desk.say("And C-1-8")
    assert desk.called.count("get_claim") == 1 and "it is paid" in state["messages"][-1].text


def test_the_rule_pack_keeps_its_examples() -> None:
    assert team.rules is not None
    assert [rule.id for rule in Pack.load(team.rules).rules] == ["large-payout"]
