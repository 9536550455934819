"""A planner that breaks a goal down and hands out its tasks, and the worker that does them: plain LangGraph.

plan.goals ─▶ planner ─ plan.tasks ─▶ worker        plan.board: how things stand, by goal (the newest counts)
                 ▲                       │          plan.reports: what became of the goal
                 └──── plan.results ─────┘
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypedDict

import plan as plans
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import ToolException
from langgraph.graph import END, START, StateGraph
from plan import MOST_ATTEMPTS, Plan, Result, Task
from script import Script

from gatewright.agents import Agent, Resources, Subscription, Team, effect, idempotency_key, publish

WORLD = Path(os.environ.get("PLANNER_WORLD") or Path(__file__).parent / "reservations.jsonl")
PROMPT = """You plan. Asked for a goal, answer with a JSON list of steps: name, desk (who does it), does (one sentence),
needs (names of steps that come before). Told of a step that failed, answer with what to do in its place:
{"do": one sentence}, the same to try it again, or {"give up": why}. Answer with JSON alone."""


class Planning(TypedDict, total=False):
    """The planner's thread: one goal. A run gets the goal, or the `result` of one task."""

    id: str
    goal: str
    result: Result
    plan: Plan
    report: dict[str, Any]


class Working(TypedDict, total=False):
    """The thread of one desk for one goal, which gets one task after the other."""

    goal: str
    task: Task
    result: Result


# the planner


def planner(resources: Resources) -> Any:
    model = resources.model or Script()

    def think(question: dict[str, Any]) -> Any:
        answer = model.invoke([SystemMessage(PROMPT), HumanMessage(json.dumps(question))])
        return json.loads(str(answer.content))

    def draw_up(state: Planning) -> Planning:
        return {"plan": plans.drawn_up(think({"goal": state["goal"]}))}

    def take_in(state: Planning) -> Planning:
        plan, result = state["plan"], state["result"]
        if "report" in state or plans.late(plan, result):
            return {}
        name, outcome = result["task"], result["outcome"]
        if result["ok"]:
            return {"plan": plans.changed(plan, name, "done", outcome)}
        failed = plans.changed(plan, name, "failed", outcome)
        if result["attempt"] >= MOST_ATTEMPTS:
            return {"plan": failed, "report": _report(state, f"{name}: {outcome} (tried {MOST_ATTEMPTS} times)")}
        revised = think({"failed": failed[name], "plan": list(failed.values())})
        if "do" not in revised:
            return {"plan": failed, "report": _report(state, f"{name}: {revised['give up']}")}
        return {"plan": plans.again(failed, name, revised["do"])}

    def hand_out(state: Planning) -> Planning:
        plan, told = state["plan"], state.get("report")
        for task in [] if told else plans.ready(plan):
            plan = plans.changed(plan, task["name"], "handed out")
            publish("plan.tasks", {"goal": state["id"], "task": task}, key=f"{state['id']}:{task['desk']}")
        if told is None and plans.achieved(plan):
            told = _report(state, "")
        publish("plan.board", {"goal": state["id"], "tasks": list(plan.values())}, key=state["id"])
        if told is None:
            return {"plan": plan}
        publish("plan.reports", told, key=state["id"])
        return {"plan": plan, "report": told}

    builder = StateGraph(Planning)
    builder.add_node("draw_up", draw_up)
    builder.add_node("take_in", take_in)
    builder.add_node("hand_out", hand_out)
    builder.add_conditional_edges(START, lambda state: "take_in" if "plan" in state else "draw_up")
    builder.add_edge("draw_up", "hand_out")
    builder.add_edge("take_in", "hand_out")
    builder.add_edge("hand_out", END)
    return builder


def _report(state: Planning, reason: str) -> dict[str, Any]:
    return {"goal": state["id"], "achieved": not reason, "reason": reason}


# the worker


def worker(resources: Resources) -> Any:
    def work(state: Working) -> Working:
        task = state["task"]
        result: Result = {
            "goal": state["goal"],
            "task": task["name"],
            "attempt": task["attempt"],
            "ok": True,
            "outcome": "",
        }
        try:
            result["outcome"] = reserve(task["desk"], task["does"], task["attempt"])
        except ToolException as error:  # also where a rule or a person refuses it: the planner finds another way
            result |= {"ok": False, "outcome": str(error)}
        publish("plan.results", result, key=state["goal"])
        return {"result": result}

    builder = StateGraph(Working)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder


@effect(labels={"idempotent"})
def reserve(desk: str, does: str, attempt: int) -> str:
    """Do what a task says, in a world that is a file: once for each key, however often it is called."""
    if "Blue Hall" in does:
        raise ToolException("the Blue Hall is taken")
    if "Tranquility" in does:
        raise ToolException("nobody flies there")
    if desk == "mail" and attempt == 1:
        raise ToolException("the mail server is away")
    key = idempotency_key()
    known = WORLD.read_text("utf-8").splitlines() if WORLD.exists() else []
    if not any(json.loads(line)["key"] == key for line in known):
        with WORLD.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "desk": desk, "did": does}) + "\n")
    return f"{does}: done"


team = Team(
    name="planner",
    entry="planner",
    agents=(
        Agent(name="planner", build=planner, description="Breaks a goal down, hands its tasks out, finds other ways."),
        Agent(name="worker", build=worker, description="Does one task after the other for a desk."),
    ),
    subscriptions=(
        Subscription(topic="plan.goals", thread="data.id", input={"id": "data.id", "goal": "data.goal"}),
        Subscription(topic="plan.results", thread="data.goal", input={"result": "data"}),
        Subscription(topic="plan.tasks", agent="worker"),
    ),
)
