from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from gatewright.agents import RecordedChatModel
from gatewright.agents.errors import OutsideRunError, UsageError

Running = Callable[[Mapping[str, Any]], AbstractContextManager[None]]
CALL = {"name": "look", "args": {"n": 1}, "id": "c1"}
SETTINGS = {"recording": {"turns": [{"content": None, "tool_calls": [CALL]}, {"content": "bye"}]}}


def test_the_turn_that_is_due_follows_from_the_conversation(running: Running) -> None:
    model = RecordedChatModel()
    with running(SETTINGS):
        first = model.invoke([HumanMessage("hi")])
        second = model.invoke([HumanMessage("hi"), AIMessage("")])
    assert (first.text, [call["args"] for call in first.tool_calls]) == ("", [{"n": 1}])
    assert (second.text, second.tool_calls) == ("bye", [])


def test_asking_again_gives_the_same_message(running: Running) -> None:
    with running(SETTINGS):
        once, again = (RecordedChatModel().invoke([HumanMessage("hi")]) for _ in range(2))
    assert once.id == again.id == "recorded-case-0"


def test_past_the_end_the_model_says_nothing(running: Running) -> None:
    with running(SETTINGS):
        said = RecordedChatModel().invoke([AIMessage(""), AIMessage("")])
    assert (said.text, said.tool_calls) == ("", [])
    assert said.response_metadata["finish_reason"] == "end"


def test_tools_may_be_bound(running: Running) -> None:
    with running(SETTINGS):
        assert RecordedChatModel().bind_tools([]).invoke([HumanMessage("hi")]).tool_calls[0]["name"] == "look"


@pytest.mark.parametrize("settings", [{}, {"recording": {}}, {"recording": None}])
def test_a_thread_without_a_recording_says_what_to_do(running: Running, settings: dict[str, Any]) -> None:
    with running(settings), pytest.raises(UsageError, match="--episodes FILE"):
        RecordedChatModel().invoke([HumanMessage("hi")])


def test_the_model_plays_only_within_a_run() -> None:
    with pytest.raises(OutsideRunError):
        RecordedChatModel().invoke([HumanMessage("hi")])
