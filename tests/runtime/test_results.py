"""Results and failures as rules see them and as agents get them back."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tools import ToolException

from gatewright.agents.errors import DeniedError, TerminatedError
from gatewright.runtime import codec, prices, results
from gatewright.runtime.config import Price


@pytest.mark.parametrize(
    "error", [DeniedError("no"), TerminatedError("over"), ToolException("broken"), ValueError("bad"), KeyError("key")]
)
def test_an_error_that_agents_may_catch_comes_back_as_its_class(error: Exception) -> None:
    assert type(results.revive(results.failure(error))) is type(error)


class OwnError(Exception):
    pass


@pytest.mark.parametrize("error", [OwnError("odd"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")])
def test_another_error_comes_back_with_its_name_and_message(error: Exception) -> None:
    again = results.revive(results.failure(error))

    assert isinstance(again, results.RecordedError)
    assert type(error).__name__ in str(again) and str(error) in str(again)


def test_rules_see_what_a_tool_said_and_not_its_wrapping() -> None:
    assert results.judged(ToolMessage("paid", tool_call_id="1")) == "paid"


def test_data_that_looks_like_a_message_hides_nothing_from_rules() -> None:
    data = {"type": "tool", "content": "paid", "note": "to somebody else", "tool_call_id": "1"}

    assert results.judged(data) == data


@pytest.mark.parametrize(
    "payload",
    [
        {"content": "hello", "note": "and more"},
        {"type": "ai", "content": "hello", "note": "and more"},
        {"type": "ai", "content": "hello", "name": "and more"},
        {"messages": [{"role": "user", "content": "and more"}, {"role": "user", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello", "note": "and more"}]},
        {"messages": [], "parts": [{"of": ["hello and more"]}]},
    ],
)
def test_all_text_that_is_given_is_shown_to_rules(payload: dict[str, Any]) -> None:
    assert "hello" in results.given(payload) and "and more" in results.given(payload)


def test_the_text_of_an_output_is_its_last_message_and_all_else_that_is_in_it() -> None:
    output = {
        "messages": [{"type": "human", "content": "question"}, {"type": "ai", "content": "answer", "id": "a"}],
        "out": ["first", {"deep": "second"}],
    }

    assert results.said(output) == "answer\nfirst\nsecond"


def test_what_rules_put_in_place_of_a_tools_answer_keeps_its_shape() -> None:
    message = ToolMessage("paid", tool_call_id="1")

    changed = results.with_result(message, codec.plain(message), {"hidden": True})

    assert isinstance(changed, ToolMessage)
    assert (changed.content, changed.tool_call_id) == ('{"hidden":true}', "1")


def test_a_models_answer_may_only_be_given_another_content() -> None:
    answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("secret", id="a"))]])

    changed = results.with_result(answer, codec.plain(answer), {"content": "x"})

    assert changed.generations[0][0].text == "x"
    with pytest.raises(DeniedError, match="set its content"):
        results.with_result(answer, codec.plain(answer), "x")


def test_the_tokens_of_all_answers_are_added_up() -> None:
    def answer(taken: int) -> ChatGeneration:
        usage = {"input_tokens": taken, "output_tokens": 1, "total_tokens": taken + 1}
        return ChatGeneration(message=AIMessage("x", usage_metadata=usage))

    counted = results.usage(LLMResult(generations=[[answer(2)], [answer(3)]]))

    assert counted is not None
    assert (counted.input_tokens, counted.output_tokens) == (5, 2)
    assert (counted.cost_microusd, counted.model) == (None, None)
    assert results.usage("text") is None


def _answer(model: str, **details: int) -> LLMResult:
    usage: Any = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "input_token_details": details}
    message = AIMessage("x", usage_metadata=usage, response_metadata={"model_name": model})
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def test_a_models_answer_is_priced_by_the_name_it_was_asked_for_and_then_by_the_one_it_gives() -> None:
    own = prices.OwnPrices({"ours": Price.model_validate({"input": 2, "output": 8, "cache_read": 1})})

    asked = results.usage(_answer("gpt-x-2026", cache_read=40), "ours", own)
    given = results.usage(_answer("ours"), "alias", own)
    unknown = results.usage(_answer("gpt-x-2026"), "alias", own)

    assert asked is not None and (asked.cost_microusd, asked.model) == (60 * 2 + 40 * 1 + 10 * 8, "gpt-x-2026")
    assert given is not None and given.cost_microusd == 100 * 2 + 10 * 8
    assert unknown is not None and unknown.cost_microusd is None
