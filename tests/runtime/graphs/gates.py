"""Steps at which people are asked, processes die and second thoughts come: `TURN` says what is done another time."""

import asyncio
import json
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt


def happen(name: str, what: object) -> None:
    """Change the world: a line in a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps([name, what]) + "\n")


def die_once(name: str) -> None:
    """End the process the first time, where `DIES` names this."""
    mark = Path(os.environ["WORLD_LOG"]).with_name(f"died-{name}")
    if name in os.environ.get("DIES", "").split() and not mark.exists():
        mark.touch()
        os._exit(1)


def turn() -> int:
    return int(os.environ.get("TURN", "1"))


@tool
def pay(amount: int, note: str = "") -> str:
    """Pay an amount."""
    happen("pay", amount)
    die_once("pay")
    return f"paid {amount}{note}"


@tool
def refund(amount: int) -> str:
    """Give an amount back."""
    happen("refund", amount)
    return f"refunded {amount}"


@tool
def sign(paper: str) -> str:
    """Sign a paper."""
    happen("sign", paper)
    return f"signed {paper}"


@tool
def deliver(amount: int) -> str:
    """Pay by means of another tool, then sign."""
    return str([pay.invoke({"amount": amount}), sign.invoke({"paper": "delivery"})])


class Job(TypedDict, total=False):
    amount: int
    out: Annotated[list[str], operator.add]


class Talk(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


def graph(*nodes: Callable[[Job], Any]) -> Any:
    """The nodes side by side."""
    builder = StateGraph(Job)
    for at, node in enumerate(nodes):
        builder.add_node(f"node{at}", cast("Any", node))
        builder.add_edge(START, f"node{at}")
        builder.add_edge(f"node{at}", END)
    return builder.compile()


def _paying(state: Job) -> Job:
    return {"out": [pay.invoke({"amount": state["amount"]})]}


def _swallowing(state: Job) -> Job:
    try:
        return _paying(state)
    except Exception as error:
        return {"out": [type(error).__name__]}


def _asking(state: Job) -> Job:
    first = interrupt("first?")
    paid = pay.invoke({"amount": state["amount"]})
    second = interrupt("second?")
    return {"out": [first, paid, second, pay.invoke({"amount": state["amount"] + 1})]}


def _another_effect(state: Job) -> Job:
    used = pay if turn() == 1 else refund
    return {"out": [used.invoke({"amount": 1}), sign.invoke({"paper": "a"}), refund.invoke({"amount": 9})]}


def _other_arguments(state: Job) -> Job:
    call = {"type": "tool_call", "id": "call-1", "name": "pay", "args": {"amount": turn()}}
    return {"out": [str(pay.invoke(call)), sign.invoke({"paper": "a"})]}


def _ends_without(state: Job) -> Job:
    if turn() > 1:
        return {"out": []}
    return {"out": [pay.invoke({"amount": 1}), sign.invoke({"paper": "a"})]}


def _then_refund(state: Job) -> Job:
    return {"out": [refund.invoke({"amount": 9})]}


def _forgetting() -> Any:
    builder = StateGraph(Job)
    builder.add_node("first", _ends_without)
    builder.add_node("second", _then_refund)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile()


def _calls(*calls: tuple[str, dict[str, Any]]) -> Any:
    builder = StateGraph(Talk)

    def say(state: Talk) -> dict[str, Any]:
        wanted: list[Any] = [
            {"name": name, "args": args, "id": f"call-{at}", "type": "tool_call"}
            for at, (name, args) in enumerate(calls)
        ]
        return {"messages": [AIMessage("", tool_calls=wanted, id="turn")]}

    builder.add_node("say", say)
    builder.add_node("tools", ToolNode([pay, refund, sign]))
    builder.add_edge(START, "say")
    builder.add_edge("say", "tools")
    builder.add_edge("tools", END)
    return builder.compile()


def _talk(state: Job) -> Job:
    model = FakeListChatModel(responses=["my card is 4111"])
    return {"out": [str(model.invoke([HumanMessage("my card is 4111")]).content)]}


class Echo(FakeListChatModel):
    """Says what it heard."""

    responses: list[str] = []

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        return f"heard: {messages[-1].content}"


def _echo(state: Job) -> Job:
    return {"out": [str(Echo().invoke([HumanMessage("my card is 4111")]).content)]}


@tool
async def slow(amount: int) -> str:
    """Pay slowly."""
    await asyncio.sleep(0.1)
    happen("slow", amount)
    return "paid"


async def _giving_up(state: Job) -> Job:
    try:
        await asyncio.wait_for(slow.ainvoke({"amount": 1}), 0.02)
    except TimeoutError:
        return {"out": ["too slow"]}
    raise AssertionError("it is slower than that")


giving_up = graph(_giving_up)
echoing = graph(_echo)
paying = graph(_paying)
signing_then_paying = graph(
    lambda state: {"out": [sign.invoke({"paper": "a"}), pay.invoke({"amount": state["amount"]})]}
)
paying_then_signing = graph(
    lambda state: {"out": [pay.invoke({"amount": state["amount"]}), sign.invoke({"paper": "a"})]}
)
twice = graph(lambda state: {"out": [pay.invoke({"amount": 1}), pay.invoke({"amount": 2})]})
side_by_side = graph(_paying, lambda state: {"out": [pay.invoke({"amount": 7})]})
delivering = graph(lambda state: {"out": [deliver.invoke({"amount": state["amount"]})]})
swallowing = graph(_swallowing)
asking = graph(_asking)
another_effect = graph(_another_effect)
other_arguments = graph(_other_arguments)
forgetting = _forgetting()
calls = _calls(("pay", {"amount": 1}), ("pay", {"amount": 2}))
talking = graph(_talk)
