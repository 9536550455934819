from __future__ import annotations

import pytest

from gatewright.environments.recordings import Answer, Message, Names, RecordedCall, Recording, joined


def call(identity: str, *, by: str = "assistant", result: str | None = None) -> RecordedCall:
    return RecordedCall(id=identity, name="look", args={"at": identity}, result=result, by=by)


def recording(*messages: Message) -> Recording:
    return Recording(id="x-1-0", source="test", domain="x", task_id="1", trial=0, messages=messages, reward=1.0)


@pytest.mark.parametrize(
    ("ids", "results", "expected"),
    [
        (["a", "b"], [("a", "1"), ("b", "2")], ["1", "2"]),
        (["a", "b"], [("b", "2"), ("a", "1")], ["1", "2"]),
        (["", ""], [("", "1"), ("", "2")], ["1", "2"]),
        (["a", "a"], [("a", "1"), ("a", "2")], ["1", "2"]),
        (["a", "b"], [("z", "1")], ["1", None]),
        (["a"], [("a", "1"), ("a", "2")], ["1"]),
        (["a", "b"], [("b", "2")], [None, "2"]),
    ],
)
def test_calls_are_answered_by_id_or_else_in_order(
    ids: list[str], results: list[tuple[str, str]], expected: list[str | None]
) -> None:
    asked = Message(role="assistant", text="", calls=tuple(call(identity) for identity in ids))
    (message,) = joined([asked, *(Answer(*result) for result in results)])
    assert [each.result for each in message.calls] == expected


def test_answers_belong_to_the_message_that_they_follow() -> None:
    asked = Message(role="assistant", text="", calls=(call("a"),))
    first, _, second = joined(
        [Answer("a", "0"), asked, Answer("a", "1"), Message(role="user", text="again"), asked, Answer("a", "2")]
    )
    assert [message.calls[0].result for message in (first, second)] == ["1", "2"]


def test_a_conversation_begins_with_the_customer_and_ends_with_the_team() -> None:
    conversation = recording(
        Message(role="system", text="rules"),
        Message(role="assistant", text="Hi! How can I help?"),
        Message(role="user", text="hello"),
        Message(role="assistant", text="", calls=(call("a", result="1"),)),
        Message(role="assistant", text="done"),
        Message(role="user", text="bye ###STOP###"),
    ).conversation(None)
    assert conversation.customer == ["hello"]
    assert [turn["content"] for turn in conversation.settings["recording"]["turns"]] == ["", "done"]
    assert [each.result for each in conversation.tool_calls] == ["1"]


def test_what_the_customers_own_tools_did_is_no_word_of_the_customer() -> None:
    played = recording(
        Message(role="user", text="hello"),
        Message(role="user", text="", calls=(call("u", by="user", result="on"),)),
        Message(role="assistant", text="fine"),
    )
    conversation = played.conversation(None)
    assert (conversation.customer, conversation.tool_calls) == (["hello"], [])
    assert [each.by for each in played.calls] == ["user"]


def test_a_call_that_nobody_answered_is_not_among_the_calls() -> None:
    assert recording(Message(role="assistant", text="", calls=(call("a"),))).calls == ()


def test_names_that_come_again_are_numbered() -> None:
    names = Names()
    assert [names.name("a", 1), names.name("a", 1), names.name("b", 1)] == ["a-1", "a-1-2", "b-1"]
