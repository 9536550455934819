"""Agents that spend: tools called in a row or side by side, and models that say what they took."""

import asyncio
import json
import operator
import os
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import ToolException, tool
from langgraph.graph import END, START, StateGraph


def happen(name: str, what: object) -> None:
    """Change the world: a line in a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps([name, what]) + "\n")


def flag(name: str) -> Path:
    """A file beside the world's log, by which a test talks to the agent."""
    return Path(os.environ["WORLD_LOG"]).with_name(name)


@tool
async def send(number: int) -> str:
    """Send a message; one numbered 0 waits until it may go on."""
    if number == 0:
        flag("sending").touch()
        while not flag("go").exists():
            await asyncio.sleep(0.005)
    happen("send", number)
    return f"sent {number}"


@tool
async def charge(number: int) -> str:
    """Charge a card; the provider may be down."""
    happen("charge", number)
    if flag("down").exists():
        raise ToolException("the provider is down")
    return f"charged {number}"


class Counting(BaseChatModel):
    """A model that says what it took: 100 tokens, or 1,000 when it is asked for much."""

    model_name: str = "counting"

    @property
    def _llm_type(self) -> str:
        return self.model_name

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        happen("model", self.model_name)
        taken = 1000 if "much" in messages[-1].text else 100
        usage: Any = {"input_tokens": taken - 10, "output_tokens": 10, "total_tokens": taken}
        answer = AIMessage("well", usage_metadata=usage, response_metadata={"model_name": self.model_name})
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Job(TypedDict, total=False):
    numbers: list[int]
    words: list[str]
    out: Annotated[list[str], operator.add]


def graph(node: Any) -> Any:
    """A graph of one step."""
    builder = StateGraph(Job)
    builder.add_node("work", node)
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile()


async def _told(call: Any) -> str:
    """What a call gives, or why it was refused; a run that has to wait or to end does so."""
    try:
        return str(await call)
    except ToolException as error:
        return f"refused: {error}"


async def _sends(state: Job) -> Job:
    return {"out": [await _told(send.ainvoke({"number": number})) for number in state["numbers"]]}


async def _sends_at_once(state: Job) -> Job:
    calls = [_told(send.ainvoke({"number": number})) for number in state["numbers"]]
    return {"out": list(await asyncio.gather(*calls))}


async def _charges(state: Job) -> Job:
    return {"out": [await _told(charge.ainvoke({"number": number})) for number in state["numbers"]]}


async def _thinks(state: Job) -> Job:
    model = Counting()
    out: list[str] = []
    for words in state["words"]:
        try:
            out.append((await model.ainvoke(words)).text)
        except ToolException as error:
            out.append(f"refused: {error}")
    return {"out": out}


sends = graph(_sends)
sends_at_once = graph(_sends_at_once)
charges = graph(_charges)
thinks = graph(_thinks)
