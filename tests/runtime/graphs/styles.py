"""One small job in many styles of plain LangGraph and LangChain: pay an amount, perhaps ask a model first."""

import asyncio
import json
import operator
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict, cast

from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, tool
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode, ToolRuntime
from langgraph.types import Command, Send
from pydantic import BaseModel


def happen(name: str, what: object) -> None:
    """Change the world: a line in a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps([name, what]) + "\n")


# Tools


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    happen("pay", amount)
    return f"paid {amount}"


@tool
async def apay(amount: int) -> str:
    """Pay an amount, asynchronously."""
    await asyncio.sleep(0)
    happen("apay", amount)
    return f"paid {amount}"


def _structured(amount: int) -> str:
    happen("structured", amount)
    return f"paid {amount}"


async def _remote(amount: int) -> tuple[str, None]:
    happen("remote", amount)
    return f"paid {amount}", None


structured = StructuredTool.from_function(_structured, name="structured", description="Pay an amount.")
remote = StructuredTool(  # as MCP adapters make them
    name="remote",
    description="Pay an amount.",
    args_schema={"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]},
    coroutine=_remote,
    response_format="content_and_artifact",
)


class Subclass(BaseTool):
    name: str = "subclass"
    description: str = "Pay an amount."

    def _run(self, amount: int) -> str:
        happen("subclass", amount)
        return f"paid {amount}"


class OwnRun(BaseTool):
    name: str = "own_run"
    description: str = "Pay an amount."

    def run(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().run(tool_input, *args, **kwargs)

    async def arun(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return await super().arun(tool_input, *args, **kwargs)

    def _run(self, amount: int) -> str:
        happen("own_run", amount)
        return f"paid {amount}"


class OwnInvoke(BaseTool):
    name: str = "own_invoke"
    description: str = "Pay an amount."

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        args = input["args"] if input.get("type") == "tool_call" else input
        return self._run(**args)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self.invoke(input, config, **kwargs)

    def _run(self, amount: int) -> str:
        happen("own_invoke", amount)
        return f"paid {amount}"


@tool
def outer(amount: int) -> str:
    """Pay twice, by means of another tool."""
    happen("outer", amount)
    return str([pay.invoke({"amount": amount}), pay.invoke({"amount": amount + 1})])


@tool
def injected(
    amount: int,
    state: Annotated[dict[str, Any], InjectedState],
    tool_call_id: Annotated[str, InjectedToolCallId],
) -> Command[Any]:
    """Pay an amount and update the state."""
    happen("injected", amount)
    said = f"paid {amount} after {len(state['messages'])} messages"
    return Command(update={"messages": [ToolMessage(said, tool_call_id=tool_call_id)]})


@tool
def bound(
    amount: int, account: Annotated[str, InjectedToolArg], connection: Annotated[Any, InjectedToolArg] = None
) -> str:
    """Pay an amount from an account that the program names."""
    happen("bound", f"{amount} from {account} by {type(connection).__name__}")
    return f"paid {amount}"


@tool
def with_runtime(amount: int, runtime: ToolRuntime) -> str:
    """Pay an amount and look at the state."""
    happen("with_runtime", amount)
    return f"paid {amount} after {len(runtime.state['messages'])} messages"


# Models


class Fake(BaseChatModel):
    """Calls the tools that `calls` names, once, then says that it is done."""

    model: str = "fake"
    calls: tuple[str, ...] = ()

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[getattr(tool, "name", str(tool)) for tool in tools], **kwargs)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        def parsed(message: AIMessage) -> Any:
            return schema(text=str(message.content))

        return self.bind(ls_structured_output_format={"schema": schema}) | parsed

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        happen(self.model, len(messages))
        if not self.calls or any(isinstance(message, ToolMessage) for message in messages):
            return AIMessage("done", id=f"answer-{len(messages)}")
        calls = [
            {"name": name, "args": {"amount": at + 1}, "id": f"call-{at}", "type": "tool_call"}
            for at, name in enumerate(self.calls)
        ]
        return AIMessage("", tool_calls=calls, id=f"answer-{len(messages)}")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])


class Streaming(Fake):
    """Speaks in pieces."""

    model: str = "streaming"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        happen("streaming", len(messages))
        for piece in ("do", "ne"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece, id="streamed"))


class OwnGenerate(Fake):
    """Overrides the public entry points."""

    model: str = "own_generate"

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate(*args, **kwargs)

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return await super().agenerate(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:
        happen("own_generate", 0)
        return AIMessage("done")

    async def ainvoke(self, *args: Any, **kwargs: Any) -> AIMessage:
        return self.invoke(*args, **kwargs)


class Completion(BaseLLM):
    """A model without chat, which answers a batch at once."""

    model: str = "completion"

    @property
    def _llm_type(self) -> str:
        return "completion"

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        happen(self.model, len(prompts))
        return LLMResult(generations=[[Generation(text="done")] for _prompt in prompts])


class Reply(BaseModel):
    text: str


# Graphs: each takes {"amount": n} or {"messages": [...]}


class Job(TypedDict, total=False):
    amount: int
    out: Annotated[list[str], operator.add]


class Talk(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


Node = Callable[[Job], Any]


def _graph(node: Node) -> Any:
    builder = StateGraph(Job)
    builder.add_node("work", cast("Any", node))
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile()


def _invoking(used: BaseTool) -> Any:
    return _graph(lambda state: {"out": [str(used.invoke({"amount": state["amount"]}))]})


def _awaiting(used: BaseTool) -> Any:
    async def work(state: Job) -> dict[str, Any]:
        return {"out": [str(await used.ainvoke({"amount": state["amount"]}))]}

    return _graph(work)


tool_sync = _invoking(pay)
tool_bound = _graph(
    lambda state: {"out": str(bound.invoke({"amount": state["amount"], "account": "a-1", "connection": object()}))}
)
tool_in_async_node = _awaiting(pay)
tool_async = _awaiting(apay)
structured_sync = _invoking(structured)
structured_async = _awaiting(structured)
subclass_sync = _invoking(Subclass())
subclass_async = _awaiting(Subclass())
own_run_sync = _invoking(OwnRun())
own_run_async = _awaiting(OwnRun())
own_invoke_sync = _invoking(OwnInvoke())
own_invoke_async = _awaiting(OwnInvoke())
remote_async = _awaiting(remote)
tool_in_tool = _invoking(outer)


def _thread(state: Job) -> dict[str, Any]:
    out: list[str] = []

    def work() -> None:
        try:
            out.append(pay.invoke({"amount": state["amount"]}))
        except Exception as error:
            out.append(f"{type(error).__name__}: {error}")

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    return {"out": out}


def _executor(state: Job) -> dict[str, Any]:
    with ThreadPoolExecutor(3) as pool:
        return {"out": list(pool.map(lambda n: str(pay.invoke({"amount": n})), range(3)))}


async def _to_thread(state: Job) -> dict[str, Any]:
    return {"out": [await asyncio.to_thread(pay.invoke, {"amount": state["amount"]})]}


async def _gather(state: Job) -> dict[str, Any]:
    return {"out": list(await asyncio.gather(*(apay.ainvoke({"amount": n}) for n in range(3))))}


def _batch(state: Job) -> dict[str, Any]:
    return {"out": list(pay.batch([{"amount": 1}, {"amount": 2}]))}


raw_thread = _graph(_thread)
executor = _graph(_executor)
to_thread = _graph(_to_thread)
gather = _graph(_gather)
batch = _graph(_batch)


def _branches() -> Any:
    builder = StateGraph(Job)
    for name in ("left", "right"):
        builder.add_node(name, lambda state: {"out": [pay.invoke({"amount": state["amount"]})]})
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile()


def _fan_out() -> Any:
    builder = StateGraph(Job)
    builder.add_node("each", lambda state: {"out": [pay.invoke({"amount": state["amount"]})]})
    builder.add_conditional_edges(START, lambda state: [Send("each", {"amount": n}) for n in (1, 1, 2)], ["each"])
    builder.add_edge("each", END)
    return builder.compile()


def _sub_graph_node() -> Any:
    builder = StateGraph(Job)
    builder.add_node("inner", tool_sync)
    builder.add_edge(START, "inner")
    builder.add_edge("inner", END)
    return builder.compile()


branches = _branches()
fan_out = _fan_out()
sub_graph_node = _sub_graph_node()
sub_graph_invoked = _graph(lambda state: {"out": tool_sync.invoke({"amount": state["amount"]})["out"]})


@task
def _paying(amount: int) -> str:
    return str(pay.invoke({"amount": amount}))


@entrypoint()
def functional(job: dict[str, Any]) -> list[str]:
    return [future.result() for future in [_paying(job["amount"]), _paying(job["amount"]), _paying(7)]]


def _talking(node: Callable[[Talk], Any]) -> Any:
    builder = StateGraph(Talk)
    builder.add_node("talk", cast("Any", node))
    builder.add_edge(START, "talk")
    builder.add_edge("talk", END)
    return builder.compile()


def _calling(*names: str) -> Any:
    """A ToolNode after a model's turn that is written down here."""
    known: list[Any] = [pay, apay, structured, remote, injected, with_runtime, Subclass(), OwnRun(), outer]
    builder = StateGraph(Talk)

    def turn(state: Talk) -> dict[str, Any]:
        calls: list[Any] = [
            {"name": name, "args": {"amount": at + 1}, "id": f"call-{at}", "type": "tool_call"}
            for at, name in enumerate(names)
        ]
        return {"messages": [AIMessage("", tool_calls=calls, id="turn")]}

    builder.add_node("turn", turn)
    builder.add_node("tools", ToolNode(known))
    builder.add_edge(START, "turn")
    builder.add_edge("turn", "tools")
    builder.add_edge("tools", END)
    return builder.compile()


tool_node = _calling("pay")
tool_node_parallel = _calling("pay", "pay", "apay", "structured", "subclass", "own_run")
tool_node_remote = _calling("remote")
tool_node_injected = _calling("injected")
tool_node_runtime = _calling("with_runtime")
tool_node_nested = _calling("outer")

agent = create_agent(Fake(calls=("pay",)), [pay])
agent_parallel = create_agent(Fake(calls=("pay", "pay", "structured")), [pay, structured])
agent_injected = create_agent(Fake(calls=("injected", "with_runtime")), [injected, with_runtime])

_prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{text}")])


async def _ainvoke(state: Talk) -> Talk:
    return {"messages": [await Fake().ainvoke(state["messages"])]}


async def _astream(state: Talk) -> Talk:
    chunks: AsyncIterator[Any] = Streaming().astream(state["messages"])
    return {"messages": [AIMessage("".join([str(chunk.content) async for chunk in chunks]))]}


def _structured_output(state: Talk) -> Talk:
    reply = Fake().with_structured_output(Reply).invoke(state["messages"])
    return {"messages": [AIMessage(reply.text)]}


model_invoke = _talking(lambda state: {"messages": [Fake().invoke(state["messages"])]})
model_ainvoke = _talking(_ainvoke)
model_stream = _talking(
    lambda state: {"messages": [AIMessage("".join(str(c.content) for c in Streaming().stream(state["messages"])))]}
)
model_astream = _talking(_astream)
model_batch = _talking(lambda state: {"messages": Fake().batch([state["messages"], "again"])})
model_bound = _talking(lambda state: {"messages": [Fake().bind_tools([pay]).invoke(state["messages"])]})
model_structured = _talking(_structured_output)
model_sequence = _talking(lambda state: {"messages": [(_prompt | Fake()).invoke({"text": "hello"})]})
model_own_entries = _talking(lambda state: {"messages": [OwnGenerate().invoke(state["messages"])]})
model_own_generate = _talking(
    lambda state: {"messages": [OwnGenerate().generate([state["messages"]]).generations[0][0].message]}
)
model_completion = _talking(lambda state: {"messages": [AIMessage(Completion().invoke("hello"))]})
model_completion_stream = _talking(lambda state: {"messages": [AIMessage("".join(Completion().stream("hello")))]})
model_completion_batch = _talking(lambda state: {"messages": [AIMessage(t) for t in Completion().batch(["a", "b"])]})
