"""A team whose agents ask each other, choose and use marked functions."""

import json
import operator
import os
from collections.abc import Callable
from typing import Annotated, Any, TypedDict, cast

from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from gatewright.agents import (
    Agent,
    Choice,
    DecisionPoint,
    Subscription,
    Team,
    ask,
    decide,
    effect,
    idempotency_key,
    publish,
    send,
)
from gatewright.agents.errors import ExpiredError, GatewrightError


def happen(name: str, what: object) -> None:
    """Change the world: a line in a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps([name, what]) + "\n")


class Job(TypedDict, total=False):
    amount: int
    out: Annotated[list[str], operator.add]


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    if amount == 13:
        raise ValueError("13 cannot be paid")
    happen("pay", amount)
    return f"paid {amount}"


@tool
def sign(paper: str) -> str:
    """Sign a paper."""
    happen("sign", paper)
    return f"signed {paper}"


class Features(BaseModel):
    amount: int


def _policy(features: Features, open_options: Any) -> Choice:
    happen("chosen", features.amount)
    return Choice(option="large" if features.amount > 10 else "small", policy="test-1")


size = DecisionPoint(name="size", features=Features, options=("small", "large"), policy=_policy)


@effect(labels={"idempotent"})
def charge(amount: int) -> str:
    happen("charge", idempotency_key())
    if os.environ.get("DIES") and not os.path.exists(os.environ["WORLD_LOG"] + ".died"):
        open(os.environ["WORLD_LOG"] + ".died", "w").close()
        os._exit(1)
    return f"charged {amount}"


@effect
async def acharge(amount: int) -> str:
    happen("acharge", amount)
    return f"charged {amount}"


class Letter(TypedDict, total=False):
    text: str
    number: int
    read: Annotated[list[str], operator.add]


@effect(labels={"idempotent"})
def note(text: str) -> str:
    if text == "deadly" and not os.path.exists(os.environ["WORLD_LOG"] + ".died"):
        open(os.environ["WORLD_LOG"] + ".died", "w").close()
        os._exit(1)
    happen("note", text)
    return text


def _reading(state: Letter) -> Letter:
    return {"read": [note(state["text"])]}


def _desk(resources: object) -> Any:
    builder = StateGraph(Letter)
    builder.add_node("read", _reading)
    builder.add_edge(START, "read")
    builder.add_edge("read", END)
    return builder


reading = Team(
    name="office",
    agents=(Agent(name="desk", build=_desk), Agent(name="archive", build=_desk)),
    entry="desk",
    subscriptions=(Subscription(topic="letters"),),
)


def graph(*nodes: Callable[[Job], Any]) -> Any:
    builder = StateGraph(Job)
    for at, node in enumerate(nodes):
        builder.add_node(f"node{at}", cast("Any", node))
        builder.add_edge(START, f"node{at}")
        builder.add_edge(f"node{at}", END)
    return builder


def _team(*nodes: Callable[[Job], Any], points: tuple[DecisionPoint[Any], ...] = ()) -> Team:
    front = Agent(name="front", build=lambda resources: graph(*nodes))
    clerk = Agent(name="clerk", build=lambda resources: graph(_clerk))
    return Team(name="office", agents=(front, clerk), entry="front", points=points)


def _clerk(state: Job) -> Job:
    return {"out": [pay.invoke({"amount": state["amount"]})]}


def _asked(amount: int) -> str:
    return str(ask("clerk", {"amount": amount})["out"][-1])


def _ask_twice(state: Job) -> Job:
    return {"out": [_asked(state["amount"]), pay.invoke({"amount": 1}), _asked(state["amount"])]}


def _ask_in_vain(state: Job) -> Job:
    try:
        return {"out": [_asked(13)]}
    except GatewrightError as error:
        return {"out": [str(error)]}


def _sending(state: Job) -> Job:
    return {"out": [send("clerk", {"amount": state["amount"]}), sign.invoke({"paper": "a"})]}


def _ask_briefly(state: Job) -> Job:
    try:
        return {"out": [str(ask("clerk", {"amount": state["amount"]}, timeout=1.5)["out"][-1])]}
    except ExpiredError as error:
        return {"out": [str(error), sign.invoke({"paper": "instead"})]}


def _ask_through(state: Job) -> Job:
    try:
        return {"out": [str(ask("middle", {"amount": state["amount"]}, timeout=2.5)["out"][-1])]}
    except ExpiredError as error:
        return {"out": [str(error)]}


def _publishing(state: Job) -> Job:
    said = publish("news", {"amount": state["amount"]}, key="k", type="told@1.0", timeout=60)
    return {"out": [said, sign.invoke({"paper": "a"})]}


async def _choose(state: Job) -> Job:
    choice = decide(size, Features(amount=state["amount"]))
    charged = await acharge(state["amount"])
    return {"out": [choice.option, charged, sign.invoke({"paper": "a"})]}


asking_twice = _team(_ask_twice)
asking_in_vain = _team(_ask_in_vain)
asking_side_by_side = _team(lambda state: {"out": [_asked(2)]}, lambda state: {"out": [_asked(3)]})
asking_a_stranger = _team(lambda state: {"out": [str(ask("nobody", {}))]})
asking_briefly = _team(_ask_briefly)
asking_through = Team(
    name="office",
    agents=(
        Agent(name="front", build=lambda resources: graph(_ask_through)),
        Agent(name="middle", build=lambda resources: graph(lambda state: {"out": [_asked(state["amount"])]})),
        Agent(name="clerk", build=lambda resources: graph(_clerk)),
    ),
    entry="front",
)
sending = _team(_sending)
publishing = _team(_publishing)
choosing = _team(_choose, points=(size,))
charging = _team(lambda state: {"out": [charge(state["amount"])]})
