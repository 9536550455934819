"""A run without a service: its chain notes the effects and lets them pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest

from gatewright.agents.effects import ACTIVE, Effect, RunContext

R = TypeVar("R")


class NotingChain:
    """`effects`: what was performed · `messages`: what was sent or asked, as (agent, payload, topic)."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.messages: list[tuple[str, Mapping[str, Any], str]] = []

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        self._note(effect)
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        self._note(effect)
        return await action(effect.args)

    def _note(self, effect: Effect) -> None:
        # Tools and models are wrapped by the runtime, if another test of this process has loaded it.
        if effect.kind not in ("tool", "model"):
            self.effects.append(effect)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        self.messages.append((agent, payload, topic))
        return {"reply": "fine"}

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        self.messages.append((agent, payload, topic))
        return "message-1"

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        self.messages.append((topic, payload, f"{key} {type} {timeout}"))
        return "message-2"


@pytest.fixture
def chain() -> NotingChain:
    return NotingChain()


@pytest.fixture
def running(chain: NotingChain) -> Callable[[Mapping[str, Any]], AbstractContextManager[None]]:
    """Makes a run with these settings active."""

    @contextmanager
    def run(settings: Mapping[str, Any]) -> Generator[None]:
        context = RunContext(
            run_id="run",
            thread_id="thread",
            case_id="case",
            deployment="test",
            agent="agent",
            chain=chain,
            settings=settings,
        )
        token = ACTIVE.set(context)
        try:
            yield
        finally:
            ACTIVE.reset(token)

    return run
