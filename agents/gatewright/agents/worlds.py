"""Worlds: what a team is deployed in, a real system or a simulated one, and conversations recorded there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field


class RecordedToolCall(BaseModel):
    """A tool call of a recorded conversation with the text that it gave."""

    name: str
    args: dict[str, Any]
    result: str


class Conversation(BaseModel):
    """A recorded conversation with a customer, enough to hold it again.

    `customer`: what the customer said, in order; each is one run on the thread. `settings` are put on the thread:
    they hold the recording that `RecordedChatModel` plays and which data the world opens for it. `score` is the
    final reward as recorded, None where none was. `task` is what `World.score` needs to judge it anew.
    """

    id: str
    customer: list[str]
    settings: dict[str, Any]
    tool_calls: list[RecordedToolCall] = Field(default_factory=list)
    score: float | None = None
    task: dict[str, Any] = Field(default_factory=dict)


class World(Protocol):
    """What a team works in. Its tools find the case they work on through `gatewright.agents.current()`."""

    def tools(self) -> Sequence[BaseTool]:
        """The tools that agents of this world are given."""
        ...

    def conversations(self, path: Path | None) -> list[Conversation]:
        """The conversations recorded in the file `path`; without one, the small set that comes along.

        Raises:
            UsageError: the file does not hold conversations of this world.
        """
        ...

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        """The reward of a conversation that was held as `case_id`, from the world's state; the higher, the better.

        It is in the world's own unit: recorded domains give [0, 1] with 1 for a task that was solved, the claims desk
        thousands of euros. `replies` are the texts the team said to the customer, in order.
        """
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


class WorldFactory(Protocol):
    """How a deployment opens its world; `Team.world` names one as `module:attribute`."""

    def __call__(self, state: Path, options: Mapping[str, Any]) -> World:
        """Open the world with `state`, a folder that it may keep its durable state in."""
        ...
