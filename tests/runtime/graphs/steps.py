"""Steps that do several things around `sign`, at which a run waits for a person, dies or fails the first time."""

import asyncio
import json
import operator
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, Send


def happen(name: str, what: object) -> None:
    """Change the world: a line in a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps([name, what]) + "\n")


def _stumble(paper: str) -> None:
    """End the process, or fail, the first time that this paper is signed."""
    mode = os.environ.get("SIGN", "")
    mark = Path(os.environ["WORLD_LOG"]).with_name(f"signing-{paper}")
    if not mode or mark.exists():
        return
    mark.touch()
    if mode == "exit":
        os._exit(1)
    raise ConnectionError("the line went dead")


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    happen("pay", amount)
    return f"paid {amount}"


@tool
async def apay(amount: int) -> str:
    """Pay an amount, asynchronously."""
    await asyncio.sleep(0.001 * (amount % 3))
    happen("apay", amount)
    return f"paid {amount}"


@tool
def sign(paper: str) -> str:
    """Sign a paper."""
    _stumble(paper)
    happen("sign", paper)
    return f"signed {paper}"


@tool
def deliver(amount: int) -> str:
    """Pay, sign and pay again, by means of other tools."""
    before = pay.invoke({"amount": amount})
    signed = sign.invoke({"paper": f"delivery {amount}"})
    return str([before, signed, pay.invoke({"amount": amount + 1})])


@tool
def double(amount: int) -> str:
    """Pay twice, by means of another tool."""
    happen("double", amount)
    return str([pay.invoke({"amount": amount}), pay.invoke({"amount": amount})])


class Job(TypedDict, total=False):
    amount: int
    out: Annotated[list[str], operator.add]


def graph(node: Callable[[Job], Any], retry: RetryPolicy | None = None) -> Any:
    builder = StateGraph(Job)
    builder.add_node("work", cast("Any", node), retry_policy=retry)
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile()


def _paying(*amounts: int) -> list[str]:
    return [pay.invoke({"amount": amount}) for amount in amounts]


def _signing(*papers: str) -> list[str]:
    return [sign.invoke({"paper": paper}) for paper in papers]


def _in_line(state: Job) -> Job:
    return {"out": [*_paying(1, 1, 2), *_signing("a"), *_paying(1, 3), *_signing("b", "a")]}


async def _in_line_async(state: Job) -> Job:
    first = await apay.ainvoke({"amount": 1})
    signed = await sign.ainvoke({"paper": "a"})
    return {"out": [first, signed, await apay.ainvoke({"amount": 1})]}


async def _gathered(state: Job) -> Job:
    amounts = [1, 1, 2, 3, 4]
    random.shuffle(amounts)
    out = await asyncio.gather(*(apay.ainvoke({"amount": amount}) for amount in amounts))
    return {"out": [*sorted(out), *_signing("a"), *_paying(9)]}


async def _gathered_signing(state: Job) -> Job:
    async def one(amount: int) -> list[str]:
        paid = await apay.ainvoke({"amount": amount})
        return [paid, await sign.ainvoke({"paper": str(amount)}), await apay.ainvoke({"amount": amount + 10})]

    amounts = [1, 2, 3]
    random.shuffle(amounts)
    out = await asyncio.gather(*(one(amount) for amount in amounts))
    return {"out": sorted(line for lines in out for line in lines)}


def _threads(state: Job) -> Job:
    amounts = [1, 1, 2, 3, 4]
    random.shuffle(amounts)
    with ThreadPoolExecutor(3) as pool:
        out = list(pool.map(lambda amount: str(pay.invoke({"amount": amount})), amounts))
    return {"out": [*sorted(out), *_signing("a"), *_paying(9)]}


_pay_once = graph(lambda state: {"out": _paying(state["amount"])})
_pay_and_sign = graph(lambda state: {"out": [*_paying(state["amount"]), *_signing(str(state["amount"]))]})


def _two_steps() -> Any:
    builder = StateGraph(Job)
    builder.add_node("first", lambda state: {"out": _paying(state["amount"])})
    builder.add_node("second", lambda state: {"out": [*_paying(state["amount"]), *_signing(str(state["amount"]))]})
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile()


_pay_then_sign = _two_steps()


def _loop(state: Job) -> Job:
    out = [line for amount in (1, 1, 2) for line in _pay_once.invoke({"amount": amount})["out"]]
    return {"out": [*out, *_signing("a"), *_pay_once.invoke({"amount": 1})["out"]]}


def _loop_signing(state: Job) -> Job:
    return {"out": [line for amount in (1, 2) for line in _pay_and_sign.invoke({"amount": amount})["out"]]}


async def _loop_of_steps(state: Job) -> Job:
    out: list[str] = []
    for amount in (1, 2):
        out += (await _pay_then_sign.ainvoke({"amount": amount}))["out"]
    return {"out": out}


def _threads_of_graphs(state: Job) -> Job:
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(copy_context().run, _pay_once.invoke, {"amount": amount}) for amount in (1, 1, 2)]
        out = [line for future in futures for line in cast("Any", future.result())["out"]]
    return {"out": [*out, *_signing("a")]}


in_line = graph(_in_line)
in_line_async = graph(_in_line_async)
in_line_retried = graph(_in_line, RetryPolicy(initial_interval=0.01))
gathered = graph(_gathered)
gathered_signing = graph(_gathered_signing)
threads = graph(_threads)
loop = graph(_loop)
loop_retried = graph(_loop, RetryPolicy(initial_interval=0.01))
loop_signing = graph(_loop_signing)
loop_of_steps = graph(_loop_of_steps)
threads_of_graphs = graph(_threads_of_graphs)
nested_tool = graph(lambda state: {"out": [deliver.invoke({"amount": 1}), deliver.invoke({"amount": 5})]})
nested_before = graph(lambda state: {"out": [double.invoke({"amount": 1}), *_signing("a"), *_paying(1)]})


def _sub_graphs() -> Any:
    builder = StateGraph(Job)
    for before, name in ((START, "one"), ("one", "other")):
        builder.add_node(name, _pay_then_sign)
        builder.add_edge(before, name)
    builder.add_node("end", lambda state: {"out": _paying(7)})
    builder.add_edge("other", "end")
    return builder.compile()


def _fan_out() -> Any:
    builder = StateGraph(Job)

    def each(state: Job) -> Job:
        amount = state["amount"]
        return {"out": [*_paying(amount, 8), *_signing(f"paper {amount}"), *_paying(amount)]}

    builder.add_node("each", cast("Any", each))
    builder.add_conditional_edges(START, lambda state: [Send("each", {"amount": n}) for n in (1, 1, 2)], ["each"])
    builder.add_edge("each", END)
    return builder.compile()


def _cycle() -> Any:
    """The same node again and again, to which edges lead back."""
    builder = StateGraph(Job)

    def work(state: Job) -> Command[Any]:
        amount = state["amount"]
        out = [*_paying(1), *_signing(f"round {amount}"), *_paying(1)]
        return Command(update={"amount": amount - 1, "out": out}, goto=END if amount == 0 else "work")

    builder.add_node("work", cast("Any", work), destinations=("work", END))
    builder.add_edge(START, "work")
    return builder.compile()


sub_graphs = _sub_graphs()
fan_out = _fan_out()
cycle = _cycle()


@task
def _task_paying(amount: int) -> str:
    return str(pay.invoke({"amount": amount}))


@task
def _task_signing(paper: str) -> str:
    return str(sign.invoke({"paper": paper}))


@entrypoint()
def functional(job: dict[str, Any]) -> list[str]:
    paid = [future.result() for future in [_task_paying(1), _task_paying(1), _task_paying(2)]]
    signed = [_task_signing("a").result(), *_signing("b")]
    return [*paid, *signed, _task_paying(1).result()]


class Fake(BaseChatModel):
    """Calls the tools that `calls` names with these arguments, all at once, then says that it is done."""

    model: str = "fake"
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        happen("fake", len(messages))
        message = AIMessage("done")
        if not any(isinstance(message, ToolMessage) for message in messages):
            calls: list[Any] = [
                {"name": name, "args": args, "id": f"call-{at}", "type": "tool_call"}
                for at, (name, args) in enumerate(self.calls)
            ]
            message = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


class Talk(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pay", {"amount": 1}),
    ("sign", {"paper": "a"}),
    ("pay", {"amount": 1}),
    ("deliver", {"amount": 4}),
    ("apay", {"amount": 2}),
)


def _tool_node() -> Any:
    builder = StateGraph(Talk)
    builder.add_node("turn", lambda state: {"messages": [Fake(calls=_CALLS).invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([pay, apay, sign, deliver]))
    builder.add_edge(START, "turn")
    builder.add_edge("turn", "tools")
    builder.add_edge("tools", END)
    return builder.compile()


def _model_first(state: Talk) -> Talk:
    answer = Fake().invoke(state["messages"])
    again = "".join(str(chunk.content) for chunk in Fake().stream("hello"))
    return {"messages": [answer, AIMessage(again), *map(AIMessage, _signing("a")), Fake().invoke(state["messages"])]}


def _model_node() -> Any:
    builder = StateGraph(Talk)
    builder.add_node("talk", _model_first)
    builder.add_edge(START, "talk")
    builder.add_edge("talk", END)
    return builder.compile()


tool_node = _tool_node()
agent = create_agent(Fake(calls=_CALLS), [pay, apay, sign, deliver])
model = _model_node()
