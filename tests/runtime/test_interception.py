"""Outside a run nothing changes; inside, one call is one effect however a class is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, TypeVar

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.tools import BaseTool, tool

from gatewright.agents import Effect, RunContext
from gatewright.agents.effects import ACTIVE
from gatewright.agents.errors import UsageError
from gatewright.runtime import interception

R = TypeVar("R")


class Noting:
    """A chain that notes what passes and lets it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        self.seen.append(effect.name)
        return action(effect.args)

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        self.seen.append(effect.name)
        return await action(effect.args)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        raise AssertionError("nobody is asked here")

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        raise AssertionError("nothing is sent here")

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        raise AssertionError("nothing is published here")


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


class Counting(BaseTool):
    """Counts down by calling itself."""

    name: str = "count"
    description: str = "Counts."

    def run(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().run(tool_input, *args, **kwargs)

    def _run(self, left: int) -> int:
        return 0 if left == 0 else 1 + int(self.invoke({"left": left - 1}))


@pytest.fixture(autouse=True)
def _installed() -> None:
    interception.install()


@pytest.fixture
def chain() -> Generator[Noting]:
    noting = Noting()
    token = ACTIVE.set(RunContext(run_id="r", thread_id="t", case_id="t", deployment="d", agent="a", chain=noting))
    try:
        yield noting
    finally:
        ACTIVE.reset(token)


def test_outside_a_run_calls_go_straight_through() -> None:
    assert pay.invoke({"amount": 1}) == "paid 1"
    assert Counting().invoke({"left": 2}) == 2
    assert FakeListChatModel(responses=["hello"]).invoke("hi").content == "hello"
    assert "".join(str(chunk.content) for chunk in FakeListChatModel(responses=["hey"]).stream("hi")) == "hey"


def test_installing_again_wraps_nothing_twice() -> None:
    before = BaseTool.run

    interception.install()

    assert BaseTool.run is before


def test_the_wrappers_keep_name_and_documentation() -> None:
    assert BaseTool.run.__name__ == "run"
    assert BaseTool.run.__doc__ and "Run the tool" in BaseTool.run.__doc__


def test_a_tool_that_calls_itself_is_as_many_effects_as_calls(chain: Noting) -> None:
    assert Counting().invoke({"left": 2}) == 2
    assert chain.seen == ["count", "count", "count"]


def test_a_class_made_later_is_wrapped_as_it_is_made(chain: Noting) -> None:
    class Late(BaseTool):
        name: str = "late"
        description: str = "Comes late."

        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            return self._run()

        def _run(self) -> str:
            return "done"

    assert Late().invoke({}) == "done"
    assert chain.seen == ["late"]


def test_a_stream_is_one_effect(chain: Noting) -> None:
    assert "".join(str(chunk.content) for chunk in FakeListChatModel(responses=["hello"]).stream("hi")) == "hello"
    assert chain.seen == ["fake-list-chat-model"]


def test_a_stream_that_would_bypass_the_chain_is_refused(chain: Noting) -> None:
    with pytest.raises(UsageError, match="astream_events"):
        FakeListChatModel(responses=["hello"]).stream_events("hi", version="v3")
