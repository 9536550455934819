"""Agents that ask people in the shapes of langchain's middleware and of Agent Inbox, as their authors write them."""

import json
import os
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import interrupt


@tool
def send_email(to: str, text: str = "") -> str:
    """Send an e-mail."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(["send_email", to]) + "\n")
    return f"sent to {to}"


@tool
def delete_file(path: str) -> str:
    """Delete a file."""
    with open(os.environ["WORLD_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(["delete_file", path]) + "\n")
    return f"deleted {path}"


class Scripted(BaseChatModel):
    """Calls these tools at once, then says what came of them."""

    calls: list[dict[str, Any]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        results = [message.text for message in messages if isinstance(message, ToolMessage)]
        message = AIMessage("; ".join(results)) if results else AIMessage("", tool_calls=self.calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


EMAIL = {"name": "send_email", "args": {"to": "ann@example.org"}, "id": "call-1"}
FILE = {"name": "delete_file", "args": {"path": "report.txt"}, "id": "call-2"}
GATES: Any = {"send_email": True, "delete_file": {"allowed_decisions": ["approve", "reject"]}}

batched = create_agent(
    Scripted(calls=[EMAIL, FILE]),
    [send_email, delete_file],
    middleware=[HumanInTheLoopMiddleware(interrupt_on=GATES)],
)
single = create_agent(
    Scripted(calls=[EMAIL]),
    [send_email, delete_file],
    middleware=[HumanInTheLoopMiddleware(interrupt_on=GATES)],
)
per_call = create_agent(
    Scripted(calls=[EMAIL, FILE]),
    [send_email, delete_file],
    middleware=[HumanInTheLoopMiddleware(interrupt_on=GATES, interrupt_mode="per_call")],
)
ungated = create_agent(Scripted(calls=[EMAIL]), [send_email])


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    said: list[Any]


def _ask(state: State) -> dict[str, Any]:
    """As Agent Inbox's own examples do."""
    request = {
        "action_request": {"action": "send_email", "args": {"to": "ann@example.org"}},
        "config": {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True},
        "description": "Ann asked for an answer.",
    }
    response = interrupt([request])[0]
    match response["type"]:
        case "accept":
            send_email.invoke(request["action_request"]["args"])
        case "edit":
            send_email.invoke(response["args"]["args"])
    return {"said": [response]}


inbox = StateGraph(State).add_node("ask", _ask).add_edge(START, "ask").add_edge("ask", END).compile()
