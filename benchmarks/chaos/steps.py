"""A team that passes on numbered steps: one agent publishes each on a topic, another one notes it in the world outside.

Between the two lies everything that a message of the bus goes through. Steps of one key must arrive in their order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from gatewright.agents import Agent, Conversation, Resources, Subscription, Team, idempotency_key, labelled, publish

from . import outside
from .processes import NAME

TOPIC = "chaos.steps"


class Step(TypedDict):
    """The `sequence`th step of a key, counted from 1."""

    key: str
    sequence: int


class World:
    """Where steps are noted, at a Unix socket."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def tools(self) -> Sequence[BaseTool]:
        """The one tool."""
        noting = StructuredTool.from_function(self._note, name="note", description="Note a step of a key.")
        return [labelled(noting, {"idempotent"})]

    def conversations(self, path: Path | None) -> list[Conversation]:
        """None: nobody converses."""
        return []

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        """Nothing is scored here."""
        raise NotImplementedError("what was noted is examined instead")

    def close(self) -> None:
        """There is nothing to close: each call connects anew."""

    def _note(self, key: str, sequence: int) -> str:
        by, once = os.environ.get(NAME, ""), idempotency_key() or ""
        outside.asked(self._place, {"asks": "mark", "key": key, "sequence": sequence, "once": once, "by": by})
        return f"{key} {sequence}"


def world(state: Path, options: Mapping[str, Any]) -> World:
    """Open the world; `options["socket"]` is where it listens."""
    return World(Path(options["socket"]))


def _publisher(resources: Resources) -> Any:
    def pass_on(state: Step) -> dict[str, Any]:
        publish(TOPIC, {"key": state["key"], "sequence": state["sequence"]}, key=state["key"])
        return {}

    return _graph("pass_on", pass_on)


def _noter(resources: Resources) -> Any:
    tool = resources.tool("note")

    def note(state: Step) -> dict[str, Any]:
        tool.invoke({"key": state["key"], "sequence": state["sequence"]})
        return {}

    return _graph("note", note)


def _graph(name: str, node: Any) -> Any:
    graph = StateGraph(Step)
    graph.add_node(name, node)
    graph.add_edge(START, name)
    graph.add_edge(name, END)
    return graph


team = Team(
    name="steps",
    entry="publisher",
    agents=(Agent(name="publisher", build=_publisher), Agent(name="noter", build=_noter)),
    world="benchmarks.chaos.steps:world",
    subscriptions=(Subscription(topic=TOPIC, agent="noter"),),
)
