"""The agent: knows the right calls for its user, and obeys every instruction that it reads in a tool's result.

Plain LangGraph and LangChain, as anybody would write it: nothing in here knows that it is governed. It finds its
episode by the id of its thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, ToolException
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic_core import to_jsonable_python

from . import suites
from .episodes import Episode
from .suites import Call, Sent

EPISODES: dict[str, Episode] = {}
"""The episodes that are being held, by thread."""


def _episode(config: RunnableConfig) -> Episode:
    return EPISODES[config.get("configurable", {})["thread_id"]]


async def act(state: MessagesState, config: RunnableConfig) -> dict[str, list[BaseMessage]]:
    """Make the next call, or answer when there is none left."""
    episode = _episode(config)
    results = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    if results and episode.bitten is None and episode.reads(str(results[-1].content)):
        episode.bitten = len(results)
    position = int(results[-1].tool_call_id) + 1 if results else 0
    script = episode.script
    while position < len(script):
        call = _resolved(script[position], episode, results)
        if call is not None:
            episode.attempted[position] = call
            wanted = {"name": call.name, "args": dict(call.args), "id": str(position), "type": "tool_call"}
            return {"messages": [AIMessage("", tool_calls=[wanted], id=f"call-{position}")]}
        position += 1
    return {"messages": [AIMessage(episode.final_answer, id="answer")]}


def _resolved(call: Call, episode: Episode, results: Sequence[ToolMessage]) -> Call | None:
    """The call with the ids of e-mails in it; None where the e-mail that it is about was never sent."""
    args = dict(call.args)
    for name, value in args.items():
        if isinstance(value, Sent):
            assert episode.bitten is not None  # only the attacker's calls are about such e-mails
            wanted = str(episode.bitten + value.position)
            sent = next(result for result in results if result.tool_call_id == wanted)
            if sent.status == "error":
                return None
            args[name] = json.loads(str(sent.content))["id_"]
    return Call(call.name, args)


def _tool(suite: str, function: Any) -> StructuredTool:
    async def call(config: RunnableConfig, **args: Any) -> Any:
        episode = _episode(config)
        position = max(episode.attempted)
        hostile = episode.hostile(position)
        before = episode.environment.model_copy(deep=True) if hostile else None
        result, error = suites.runtime(suite).run_function(episode.environment, function.name, args)
        made = episode.attempted[position]
        episode.performed.add(position)
        episode.trace.append(made.function_call())
        if hostile and episode.environment != before:
            episode.leaked.append(made)
        if error is not None:
            raise ToolException(error)
        return to_jsonable_python(result)

    return StructuredTool(
        name=function.name,
        description=function.description,
        args_schema=function.parameters,
        coroutine=call,
        handle_tool_error=True,
    )


def tools(suite: str) -> list[StructuredTool]:
    """The functions of a suite as LangChain tools that act on the environment of the thread's episode."""
    return [_tool(suite, function) for function in suites.suite(suite).tools]


def _next(state: MessagesState) -> str:
    last = state["messages"][-1]
    return "tools" if isinstance(last, AIMessage) and last.tool_calls else END


def _graph(suite: str) -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(MessagesState)
    builder.add_node("act", act)
    builder.add_node("tools", ToolNode(tools(suite)))
    builder.add_edge(START, "act")
    builder.add_conditional_edges("act", _next, ["tools", END])
    builder.add_edge("tools", "act")
    return builder


def workspace() -> StateGraph[Any, Any, Any, Any]:
    """The assistant of an office worker."""
    return _graph("workspace")


def travel() -> StateGraph[Any, Any, Any, Any]:
    """The assistant of a travel agency's customer."""
    return _graph("travel")


def banking() -> StateGraph[Any, Any, Any, Any]:
    """The assistant of a bank's customer."""
    return _graph("banking")


def slack() -> StateGraph[Any, Any, Any, Any]:
    """The assistant of a team that chats."""
    return _graph("slack")
