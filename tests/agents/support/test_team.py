from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from gatewright.agents import RecordedChatModel, Resources
from gatewright.agents.errors import DeniedError, UsageError
from gatewright.agents.support import team
from gatewright.agents.support.changes import CHANGING
from gatewright.agents.support.desk import MAX_TURNS
from gatewright.agents.support.escalation import PATIENCE
from gatewright.agents.support.prompts import HANDED_OVER, NO_REPLY_LEFT, WITH_A_PERSON

if TYPE_CHECKING:
    from tests.agents.support.conftest import Service

Calling = Callable[..., dict[str, Any]]
CANCEL = ("cancel_reservation", {"reservation_id": "X"})
LOOK_UP = ("get_user_details", {"user_id": "x"})
TRANSFER = ("transfer_to_human_agents", {"summary": "s"})


def texts(messages: list[BaseMessage], kind: str) -> list[str]:
    return [message.text for message in messages if message.type == kind]


def test_a_turn_ends_when_the_model_speaks(service: type[Service], calling: Calling) -> None:
    desk = service(calling(LOOK_UP), {"content": "hello"}, {"content": "bye"})
    assert texts(desk.say("hi"), "ai") == ["", "hello"]
    assert texts(desk.say("thanks"), "ai") == ["", "hello", "bye"]
    assert desk.performed == [LOOK_UP]
    assert desk.asked == []


@pytest.mark.parametrize("tool", CHANGING)
def test_what_changes_anything_is_asked_of_the_specialist(service: type[Service], calling: Calling, tool: str) -> None:
    desk = service(calling((tool, {"n": 1})), {"content": "done"})
    desk.answers[tool] = "changed"
    assert texts(desk.say("please"), "tool") == ["changed"]
    assert desk.asked == [{"tool": tool, "args": {"n": 1}, "id": "call-0"}]
    assert desk.performed == [(tool, {"n": 1})]


def test_parallel_calls_are_answered_in_order(service: type[Service], calling: Calling) -> None:
    desk = service(calling(LOOK_UP, CANCEL, LOOK_UP), {"content": "done"})
    desk.answers["cancel_reservation"] = "cancelled"
    assert texts(desk.say("please"), "tool") == ["ok", "cancelled", "ok"]


def test_a_tool_nobody_has_is_an_unknown_action(service: type[Service], calling: Calling) -> None:
    desk = service(calling(("fly", {})), {"content": "sorry"})
    assert texts(desk.say("please"), "tool") == ["Unknown action fly"]


@pytest.mark.parametrize("tool", [LOOK_UP, CANCEL])
def test_a_refused_call_comes_back_as_text(service: type[Service], calling: Calling, tool: tuple[str, Any]) -> None:
    desk = service(calling(tool), {"content": "sorry"})
    desk.answers[tool[0]] = DeniedError("not today")
    messages = desk.say("please")
    assert texts(messages, "tool") == ["Error: not today"]
    assert messages[-1].text == "sorry"


def test_a_specialist_that_may_not_be_asked_is_a_refusal(service: type[Service], calling: Calling) -> None:
    desk = service(calling(CANCEL), {"content": "sorry"})
    desk.refused = DeniedError("no messages at night")
    assert texts(desk.say("please"), "tool") == ["Error: no messages at night"]


def test_the_specialist_performs_no_tool_of_the_desk(service: type[Service]) -> None:
    desk = service()
    reply = desk.changes.invoke({"tool": "get_user_details", "args": {}, "id": "c"})
    assert reply["result"].startswith("Error: 'get_user_details' is not a tool of the changes desk")
    assert desk.performed == []


def test_handing_over_ends_the_conversation(service: type[Service], calling: Calling) -> None:
    desk = service(calling(TRANSFER, content="One moment"), {"content": "never said"})
    assert texts(desk.say("a person, please"), "ai") == ["One moment", HANDED_OVER]
    assert texts(desk.say("hello?"), "ai")[-1] == WITH_A_PERSON
    assert desk.performed == [TRANSFER]


def test_a_refused_hand_over_leaves_the_conversation_open(service: type[Service], calling: Calling) -> None:
    desk = service(calling(TRANSFER), {"content": "I stay with you"})
    desk.answers[TRANSFER[0]] = DeniedError("nobody is there")
    messages = desk.say("a person, please")
    assert texts(messages, "tool") == ["Error: nobody is there"]
    assert messages[-1].text == "I stay with you"


def test_a_policy_may_keep_a_customer_that_the_model_would_hand_over(service: type[Service], calling: Calling) -> None:
    desk = service(calling(TRANSFER), {"content": "I stay with you"})
    desk.choose = "serve"
    assert desk.say("a person, please")[-1].text == "I stay with you"
    assert desk.performed == []


def test_a_policy_may_hand_over_on_its_own(service: type[Service], calling: Calling) -> None:
    desk = service(calling(CANCEL), {"content": "never said"})
    desk.choose = "hand_over"
    messages = desk.say("cancel it")
    assert messages[-1].text == HANDED_OVER
    assert [name for name, _ in desk.performed] == ["transfer_to_human_agents"]


def test_the_desk_hands_over_when_nothing_has_worked_for_long(service: type[Service], calling: Calling) -> None:
    desk = service(*[calling(LOOK_UP)] * (PATIENCE + 1))
    desk.answers["get_user_details"] = "Error: user not found"
    assert desk.say("hi")[-1].text == HANDED_OVER
    assert [name for name, _ in desk.performed] == ["get_user_details"] * PATIENCE + ["transfer_to_human_agents"]


def test_features_tell_what_has_failed_and_what_is_wanted(service: type[Service], calling: Calling) -> None:
    desk = service(calling(LOOK_UP), calling(LOOK_UP), {"content": "?"}, calling(CANCEL), {"content": "."})
    desk.answers["get_user_details"] = "Error: user not found"
    desk.say("hi")
    desk.say("again")
    expected = {"transfer_requested": False, "changes_requested": False}
    assert desk.features == [
        expected | {"turns": 1, "errors": 0, "consecutive_errors": 0},
        expected | {"turns": 2, "errors": 1, "consecutive_errors": 1},
        expected | {"turns": 4, "errors": 2, "consecutive_errors": 0, "changes_requested": True},
    ]


def test_a_conversation_has_a_limit_of_model_turns(service: type[Service], calling: Calling) -> None:
    desk = service(*[calling(LOOK_UP)] * (MAX_TURNS + 5))
    messages = desk.say("hi")
    assert messages[-1].text == NO_REPLY_LEFT
    assert len(desk.performed) == MAX_TURNS
    assert desk.say("hello?")[-1].text == NO_REPLY_LEFT


def test_arguments_that_are_no_json_are_told_to_the_model(service: type[Service]) -> None:
    broken = {"name": "think", "args": "{", "id": "c1", "error": None, "type": "invalid_tool_call"}
    said = iter([AIMessage("", invalid_tool_calls=[broken]), AIMessage("sorry")])

    class Live(RecordedChatModel):
        def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:
            return next(said)

    desk = service(model=Live())
    messages = desk.say("hi")
    assert texts(messages, "tool") == ["Error: the arguments of 'think' are not a JSON object"]
    assert messages[-1].text == "sorry"
    assert desk.performed == []


def test_messages_get_the_same_ids_when_a_conversation_is_held_again(service: type[Service], calling: Calling) -> None:
    turns = [calling(LOOK_UP), calling(CANCEL), calling(TRANSFER)]
    once, again = ([message.id for message in service(*turns).say("hi")[1:]] for _ in range(2))
    assert once == again


def test_a_world_without_the_teams_tools_is_refused() -> None:
    with pytest.raises(UsageError, match="no tool"):
        team.agent("desk").build(Resources(model=RecordedChatModel()))
