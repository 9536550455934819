"""The support team in its airline: recorded conversations take the recorded path through both agents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from gatewright.agents import Conversation, RecordedChatModel, Resources
from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.support import team
from gatewright.environments.airline import AirlineWorld

R = TypeVar("R")


class Joined:
    """Both agents in one process; what one asks of the other is done at once."""

    def __init__(self, world: AirlineWorld) -> None:
        resources = Resources(tools={tool.name: tool for tool in world.tools()}, model=RecordedChatModel())
        self.desk = team.agent("desk").build(resources).compile(checkpointer=InMemorySaver())
        self.changes = team.agent("changes").build(resources).compile()

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        return await action(effect.args)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        return self.changes.invoke(payload)

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        raise AssertionError("the team sends no notices")

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        raise AssertionError("the team publishes nothing")

    def hold(self, conversation: Conversation) -> tuple[list[str], list[str]]:
        """The results of all tool calls, and the replies to the customer."""
        identity = conversation.id
        context = RunContext(
            run_id=identity,
            thread_id=identity,
            case_id=identity,
            deployment="support",
            agent="desk",
            chain=self,
            settings=conversation.settings,
        )
        token = ACTIVE.set(context)
        try:
            messages: list[Any] = []
            replies: list[str] = []
            for said in conversation.customer:
                given = {"messages": [{"role": "user", "content": said}]}
                messages = self.desk.invoke(given, {"configurable": {"thread_id": identity}})["messages"]
                replies.append(messages[-1].text)
            return [message.text for message in messages if message.type == "tool"], replies
        finally:
            ACTIVE.reset(token)


def differing(world: AirlineWorld, conversations: list[Conversation]) -> list[str]:
    service = Joined(world)
    found: list[str] = []
    for conversation in conversations:
        results, replies = service.hold(conversation)
        same = results == [call.result for call in conversation.tool_calls]
        if not same or world.score(conversation, conversation.id, replies) != conversation.score:
            found.append(conversation.id)
    return found


def test_the_conversations_that_come_along_take_the_recorded_path(world: AirlineWorld) -> None:
    assert differing(world, world.conversations(None)) == []


@pytest.mark.slow
def test_all_recorded_conversations_take_the_recorded_path(world: AirlineWorld, recorded: Path) -> None:
    assert differing(world, world.conversations(recorded)) == []
