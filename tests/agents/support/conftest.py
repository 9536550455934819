"""The support team's two graphs, joined without a service: tools, model and the other agent are stand-ins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from gatewright.agents import RecordedChatModel, Resources
from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.errors import DeniedError
from gatewright.agents.support import team
from gatewright.agents.support.changes import CHANGING
from gatewright.agents.support.desk import LOOKING, TRANSFER

R = TypeVar("R")


class Service:
    """Holds one conversation and notes what the team did.

    `answers`: text or refusal by tool; other tools answer "ok". `refused`: the changes desk cannot be asked.
    `choose`: the option that is picked at `escalate` in place of the team's rule.
    """

    def __init__(self, *turns: Mapping[str, Any], model: BaseChatModel | None = None) -> None:
        self.settings = {"recording": {"turns": list(turns)}}
        self.answers: dict[str, str | DeniedError] = {}
        self.refused: DeniedError | None = None
        self.choose: str | None = None
        self.performed: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[Mapping[str, Any]] = []
        self.features: list[Mapping[str, Any]] = []
        resources = Resources(
            tools={name: self._tool(name) for name in (*LOOKING, TRANSFER, *CHANGING)},
            model=model or RecordedChatModel(),
        )
        self.desk = team.agent("desk").build(resources).compile(checkpointer=InMemorySaver())
        self.changes = team.agent("changes").build(resources).compile()

    def _tool(self, name: str) -> BaseTool:
        def answer(**args: Any) -> str:
            self.performed.append((name, args))
            given = self.answers.get(name, "ok")
            if isinstance(given, DeniedError):
                raise given
            return given

        schema = {"type": "object", "properties": {}}
        return StructuredTool.from_function(answer, name=name, description=name, args_schema=schema)

    def say(self, text: str) -> list[Any]:
        """The customer says something; gives all messages of the conversation."""
        context = RunContext(
            run_id="run",
            thread_id="case",
            case_id="case",
            deployment="test",
            agent="desk",
            chain=self,
            settings=self.settings,
        )
        token = ACTIVE.set(context)
        try:
            said = {"messages": [{"role": "user", "content": text}]}
            messages: list[Any] = self.desk.invoke(said, {"configurable": {"thread_id": "case"}})["messages"]
            return messages
        finally:
            ACTIVE.reset(token)

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        if effect.kind != "decision":  # wrapped by the runtime, if another test of this process has loaded it
            return action(effect.args)
        self.features.append(effect.args["features"])
        if self.choose is not None:
            chosen: Any = {"option": self.choose, "policy": "test"}
            return chosen  # type: ignore[no-any-return]
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        return await action(effect.args)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        assert agent == "changes"
        self.asked.append(payload)
        if self.refused is not None:
            raise self.refused
        return self.changes.invoke(payload)

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        raise AssertionError("the team sends no notices")

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        raise AssertionError("the team publishes nothing")


def calling(*calls: tuple[str, Mapping[str, Any]], content: str = "") -> dict[str, Any]:
    wanted = [{"name": name, "args": dict(args), "id": f"call-{at}"} for at, (name, args) in enumerate(calls)]
    return {"content": content, "tool_calls": wanted}


@pytest.fixture
def service() -> type[Service]:
    return Service


@pytest.fixture(name="calling")
def calling_fixture() -> Callable[..., dict[str, Any]]:
    return calling
