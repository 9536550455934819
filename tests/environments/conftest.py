"""A way to work in a world as if a run were active."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import pytest

from gatewright.agents.effects import ACTIVE, IDEMPOTENCY_KEY, Effect, RunContext
from gatewright.agents.worlds import World

R = TypeVar("R")


class OpenChain:
    """A chain that lets everything pass."""

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        return await action(effect.args)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        raise AssertionError("no agent is asked here")

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        raise AssertionError("no agent is written to here")

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        raise AssertionError("nothing is published here")


class Call(Protocol):
    """Calls a tool of a case as LangGraph's nodes do."""

    def __call__(
        self,
        tool: str,
        args: Mapping[str, Any],
        *,
        case_id: str = "case",
        settings: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> str: ...


Working = Callable[[str, Mapping[str, Any], str | None], AbstractContextManager[None]]
"""Makes a run of a case active: case id, settings, idempotency key."""


@contextmanager
def working(case_id: str, settings: Mapping[str, Any], key: str | None) -> Generator[None]:
    active = ACTIVE.set(
        RunContext(
            run_id="run",
            thread_id=case_id,
            case_id=case_id,
            deployment="test",
            agent="desk",
            chain=OpenChain(),
            settings=settings,
        )
    )
    keyed = IDEMPOTENCY_KEY.set(key)
    try:
        yield
    finally:
        IDEMPOTENCY_KEY.reset(keyed)
        ACTIVE.reset(active)


def caller(world: World) -> Call:
    tools = {tool.name: tool for tool in world.tools()}

    def call(
        tool: str,
        args: Mapping[str, Any],
        *,
        case_id: str = "case",
        settings: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> str:
        with working(case_id, settings or {}, key):
            message = tools[tool].invoke({"name": tool, "args": dict(args), "id": "call", "type": "tool_call"})
        assert isinstance(message.content, str)
        return message.content

    return call


@pytest.fixture(name="caller")
def caller_fixture() -> Callable[[World], Call]:
    return caller


@pytest.fixture(name="working")
def working_fixture() -> Working:
    return working
