"""The front desk: talks with the customer, looks things up, and asks the changes desk for everything else.

model ──▶ (speaks) ──▶ end of the turn
  ▲  └──▶ escalate ──▶ act, call by call: look up │ ask the changes desk ──▶ back to the model
  │            └─────▶ hand over ──▶ end of the conversation
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolCall, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from gatewright.agents.decisions import decide
from gatewright.agents.errors import DeniedError
from gatewright.agents.messages import ask
from gatewright.agents.teams import Resources

from .calling import answer_of, refused, text_of
from .changes import CHANGING
from .escalation import ESCALATE, FAILURE, situation
from .prompts import DESK, HANDED_OVER, NO_REPLY_LEFT, WITH_A_PERSON

TRANSFER = "transfer_to_human_agents"
LOOKING = (
    "calculate",
    "get_reservation_details",
    "get_user_details",
    "list_all_airports",
    "search_direct_flight",
    "search_onestop_flight",
    "think",
)
MAX_TURNS = 30  # of the model, in one conversation


class DeskState(TypedDict):
    """A conversation. `closed` tells why the desk no longer serves it; empty while it does."""

    messages: Annotated[list[AnyMessage], add_messages]
    turns: NotRequired[int]
    closed: NotRequired[Literal["", "handed over", "too long"]]


def _pending(messages: list[AnyMessage]) -> list[ToolCall]:
    """The calls of the model's last turn that have no answer yet, in order."""
    answered: set[str | None] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AIMessage):
            return [call for call in message.tool_calls if call["id"] not in answered]
        else:
            break
    return []


def _answer(state: DeskState, call: ToolCall, text: str) -> ToolMessage:
    # The reducer would give it a random id: a step that is executed again must ask the model the same thing.
    identity = f"answer-{state.get('turns', 0)}-{call['id']}"
    return ToolMessage(text, name=call["name"], tool_call_id=call["id"] or "", id=identity)


def _reply(state: DeskState, text: str) -> AIMessage:
    return AIMessage(text, id=f"desk-{len(state['messages'])}")


class _Desk:
    """The nodes of the graph. Between effects they look at the state only, so that a node can be executed again."""

    def __init__(self, resources: Resources) -> None:
        self._tools = {name: resources.tool(name) for name in (*LOOKING, TRANSFER)}
        offered = [resources.tool(name) for name in sorted((*LOOKING, TRANSFER, *CHANGING))]
        self._model = resources.chat_model().bind_tools(offered)

    def model(self, state: DeskState) -> dict[str, Any]:
        said = self._model.invoke([SystemMessage(DESK), *state["messages"]])
        turns = state.get("turns", 0) + 1
        unreadable = [
            ToolMessage(
                f"{FAILURE} the arguments of {call['name']!r} are not a JSON object",
                name=call["name"] or "",
                tool_call_id=call["id"] or "",
                id=f"answer-{turns}-{call['id']}",
            )
            for call in said.invalid_tool_calls
        ]
        return {"messages": [said, *unreadable], "turns": turns}

    def escalate(self, state: DeskState) -> dict[str, Any]:
        wanted = _pending(state["messages"])
        names = [call["name"] for call in wanted]
        choice = decide(ESCALATE, situation(state["messages"], state.get("turns", 0), names, frozenset(CHANGING)))
        return self._hand_over(state, wanted, choice.reason) if choice.option == "hand_over" else {}

    def _hand_over(self, state: DeskState, wanted: list[ToolCall], reason: str) -> dict[str, Any]:
        own = next((call for call in wanted if call["name"] == TRANSFER), None)
        summary = {"summary": f"The desk hands over: {reason}."}
        transfer = own or ToolCall(name=TRANSFER, args=summary, id=f"hand-over-{state.get('turns', 0)}")
        try:
            text = text_of(self._tools[TRANSFER], transfer["args"], transfer["id"] or "")
        except DeniedError as refusal:  # the conversation goes on, and with it the model's other calls
            return {"messages": [_answer(state, own, refused(refusal))] if own else []}
        dropped = f"{FAILURE} not performed, the customer is handed over"
        answers = [_answer(state, call, text if call is own else dropped) for call in wanted]
        return {"messages": [*answers, _reply(state, HANDED_OVER)], "closed": "handed over"}

    def look_up(self, state: DeskState) -> dict[str, Any]:
        call = _pending(state["messages"])[0]
        name = call["name"]
        if name == TRANSFER:  # the policy at `escalate` decided otherwise
            text = f"{FAILURE} the customer is not handed over now; go on serving"
        elif name in self._tools:
            text = answer_of(self._tools[name], call["args"], call["id"] or "")
        else:
            text = f"Unknown action {name}"
        return {"messages": [_answer(state, call, text)]}

    def request_change(self, state: DeskState) -> dict[str, Any]:
        call = _pending(state["messages"])[0]
        try:
            text = ask("changes", {"tool": call["name"], "args": call["args"], "id": call["id"] or ""})["result"]
        except DeniedError as refusal:
            text = refused(refusal)
        return {"messages": [_answer(state, call, text)]}

    def close(self, state: DeskState) -> dict[str, Any]:
        text = WITH_A_PERSON if state.get("closed") == "handed over" else NO_REPLY_LEFT
        return {"messages": [_reply(state, text)], "closed": state.get("closed") or "too long"}


def _begin(state: DeskState) -> Literal["model", "close"]:
    return "close" if state.get("closed") or state.get("turns", 0) >= MAX_TURNS else "model"


def _spoken(state: DeskState) -> str:
    if _pending(state["messages"]):
        return "escalate"
    return _begin(state) if isinstance(state["messages"][-1], ToolMessage) else END


def _next(state: DeskState) -> str:
    if state.get("closed"):
        return END
    pending = _pending(state["messages"])
    if pending:
        return "request_change" if pending[0]["name"] in CHANGING else "look_up"
    return _begin(state)


def build(resources: Resources) -> Any:
    """The desk's graph. Its input is `{"messages": [what the customer says]}`; its last message is the reply.

    Raises:
        UsageError: the world lacks one of the tools, or no model is configured.
    """
    desk = _Desk(resources)
    graph = StateGraph(DeskState)
    graph.add_node("model", desk.model)
    graph.add_node("escalate", desk.escalate)
    graph.add_node("look_up", desk.look_up)
    graph.add_node("request_change", desk.request_change)
    graph.add_node("close", desk.close)
    graph.add_conditional_edges(START, _begin, ["model", "close"])
    graph.add_conditional_edges("model", _spoken, ["escalate", "model", "close", END])
    for node in ("escalate", "look_up", "request_change"):
        graph.add_conditional_edges(node, _next, ["look_up", "request_change", "model", "close", END])
    graph.add_edge("close", END)
    return graph
