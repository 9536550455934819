"""What goes to the disk comes back equal, and people are shown JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langgraph.types import Command

from gatewright.agents.errors import UsageError
from gatewright.runtime import codec

INTEGERS = st.integers(-(2**63), 2**63 - 1)  # of any size is refused, with the reason
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
OTHER = st.tuples(JSON, st.binary()) | st.sets(INTEGERS)


@given(JSON | OTHER)
def test_a_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    again = codec.decode(codec.encode(value))

    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        ToolMessage("paid", tool_call_id="1", artifact={"raw": [1]}, status="error"),
        Command(update={"messages": [ToolMessage("paid", tool_call_id="1")]}, goto="next"),
        LLMResult(
            generations=[[ChatGeneration(message=AIMessage("x", tool_calls=[], usage_metadata=None, id="a"))]],
            llm_output={"tokens": 3},
        ),
        LLMResult(generations=[[Generation(text="x", generation_info={"finish": "stop"})]]),
        [HumanMessage("a"), AIMessage("b")],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_agents_pass_around_comes_back_equal(value: Any) -> None:
    assert codec.decode(codec.encode(value)) == value


def test_what_cannot_be_recorded_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="cannot be recorded.*return JSON values"):
        codec.encode(open)


def test_a_message_is_shown_without_the_id_that_is_new_each_time() -> None:
    message = AIMessage("hello", id="random", tool_calls=[{"name": "pay", "args": {"amount": 1}, "id": "call-1"}])

    assert codec.message_json(message) == {
        "type": "ai",
        "content": "hello",
        "tool_calls": [{"name": "pay", "args": {"amount": 1}, "id": "call-1"}],
    }


@given(st.dictionaries(st.text(), st.tuples(st.text(), st.binary()) | st.sets(st.text()) | st.text(), max_size=3))
def test_what_people_are_shown_fast_is_what_they_are_shown_slowly(value: Any) -> None:
    assert orjson.loads(codec.shown(value)) == orjson.loads(orjson.dumps(codec.plain(value)))


def test_the_text_of_blocks_is_what_they_say() -> None:
    assert codec.text_of(["a", {"type": "text", "text": "b"}, {"type": "image", "url": "u"}]) == "ab"
