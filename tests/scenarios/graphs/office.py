"""A team that does all that can be recorded. `PLANTED` names what is changed in it: a release that differs."""

import asyncio
import json
import operator
import os
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from gatewright.agents import Agent, Choice, DecisionPoint, Team, ask, decide, effect, send
from gatewright.agents.errors import DeniedError


def planted(name: str) -> bool:
    return os.environ.get("PLANTED") == name


def happen(name: str) -> None:
    """Change the world: a line in a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(name) + "\n")


class Job(TypedDict, total=False):
    amount: int
    out: Annotated[list[Any], operator.add]


class Features(BaseModel):
    amount: int


def _size(features: Features, open_options: Any) -> Choice:
    threshold = 6 if planted("threshold") else 10
    wanted = "large" if features.amount >= threshold else "small"
    option = wanted if wanted in open_options else open_options[0]
    return Choice(option=option, policy="threshold-1", propensity=1.0)


SIZE = DecisionPoint(name="size", features=Features, options=("small", "large"), policy=_size)
MODEL = FakeListChatModel(responses=["pay it", "thank you"])


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    happen(f"pay {amount}")
    if amount == 13:
        raise ValueError("13 cannot be paid")
    return f"paid {amount}"


@effect(labels={"reads"})
async def rate(currency: str) -> float:
    happen(f"rate {currency}")
    return {"EUR": 1.0, "CHF": 0.5}[currency]


def _think(state: Job) -> Job:
    prompt = "Be brief" if planted("prompt") else "Be kind"
    said = MODEL.invoke([("system", prompt), ("user", f"amount {state['amount']}")]).content
    return {"out": [said, decide(SIZE, Features(amount=state["amount"])).option]}


async def _rates(state: Job) -> Job:
    found = await asyncio.gather(rate("EUR"), rate("CHF"))
    return {"out": list(found)}


def _pay(state: Job) -> Job:
    try:
        return {"out": [pay.invoke({"amount": state["amount"]})]}
    except (ValueError, DeniedError) as error:
        return {"out": [f"not paid: {error}"]}


def _ask(state: Job) -> Job:
    send("clerk", {"amount": 1})
    return {"out": [ask("clerk", {"amount": 2})["out"][-1]]}


def _confirm(state: Job) -> Job:
    answer = interrupt(f"Is {state['amount']} right?") if state["amount"] == 7 else "yes"
    if planted("more"):
        pay.invoke({"amount": 99})
    return {"out": [answer]}


def _clerk(state: Job) -> Job:
    return {"out": [pay.invoke({"amount": state["amount"]})]}


def _graph(*layers: Any) -> Any:
    builder = StateGraph(Job)
    before = START
    for at, node in enumerate(layers):
        builder.add_node(f"node{at}", node)
        builder.add_edge(before, f"node{at}")
        before = f"node{at}"
    builder.add_edge(before, END)
    return builder


team = Team(
    name="office",
    agents=(
        Agent(name="front", build=lambda resources: _graph(_think, _rates, _pay, _ask, _confirm)),
        Agent(name="clerk", build=lambda resources: _graph(_clerk)),
    ),
    entry="front",
    points=(SIZE,),
)
