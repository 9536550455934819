from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool

from gatewright.agents import Conversation
from gatewright.agents.errors import OutsideRunError, UnavailableError, UsageError
from gatewright.agents.labels import labels_of
from gatewright.agents.worlds import World
from gatewright.environments.airline import AirlineWorld, airline

if TYPE_CHECKING:
    from tests.environments.conftest import Call, Working

BOOKING = {
    "user_id": "ada_stone_1001",
    "origin": "SFO",
    "destination": "DEN",
    "flight_type": "one_way",
    "cabin": "economy",
    "flights": [{"flight_number": "\ud83d", "date": "2024-05-17"}],
    "passengers": [],
    "payment_methods": [],
    "total_baggages": 0,
    "nonfree_baggages": 0,
    "insurance": "no",
}
CERTIFICATE = {"user_id": "ada_stone_1001", "amount": 50}


def hold(world: AirlineWorld, call: Call, conversation: Conversation) -> tuple[list[str], float]:
    """Perform the recorded calls; gives their results and the score."""
    results = [
        call(each.name, each.args, case_id=conversation.id, settings=conversation.settings, key=str(position))
        for position, each in enumerate(conversation.tool_calls)
    ]
    turns = conversation.settings["recording"]["turns"]
    replies = [turn["content"] for turn in turns if not turn["tool_calls"]]
    return results, world.score(conversation, conversation.id, replies)


def test_every_recorded_result_and_reward_is_reproduced(recorded: Path, world: AirlineWorld, call: Call) -> None:
    results = equal = 0
    wrong: list[str] = []
    for conversation in world.conversations(recorded):
        given, score = hold(world, call, conversation)
        results += len(given)
        equal += sum(text == each.result for text, each in zip(given, conversation.tool_calls, strict=True))
        if score != conversation.score:
            wrong.append(conversation.id)
    assert (results, equal, wrong) == (577, 577, [])


def test_every_conversation_that_comes_along_is_reproduced(world: AirlineWorld, call: Call) -> None:
    conversations = world.conversations(None)
    assert len(conversations) == 9
    for conversation in conversations:
        results, score = hold(world, call, conversation)
        assert results == [each.result for each in conversation.tool_calls]
        assert score == conversation.score == 1.0


def test_a_case_does_not_see_what_another_changed(call: Call) -> None:
    before = call("get_user_details", {"user_id": "ada_stone_1001"}, case_id="other")
    call("send_certificate", CERTIFICATE, case_id="one")
    assert call("get_user_details", {"user_id": "ada_stone_1001"}, case_id="other") == before
    assert "certificate_3221322" in call("get_user_details", {"user_id": "ada_stone_1001"}, case_id="one")


def test_the_same_idempotency_key_gives_the_recorded_result_and_changes_nothing(call: Call) -> None:
    first = call("send_certificate", CERTIFICATE, key="a")
    after = call("get_user_details", {"user_id": "ada_stone_1001"})
    assert call("send_certificate", CERTIFICATE, key="a") == first
    assert call("get_user_details", {"user_id": "ada_stone_1001"}) == after


@pytest.mark.parametrize("key", ["b", None])
def test_another_key_or_none_performs_again(call: Call, key: str | None) -> None:
    first = call("send_certificate", CERTIFICATE, key="a" if key else None)
    assert call("send_certificate", CERTIFICATE, key=key) != first


def test_half_a_surrogate_pair_from_a_model_is_answered(call: Call) -> None:
    assert call("cancel_reservation", {"reservation_id": "\ud83d"}, key="a") == "Error: reservation not found"
    assert call("book_reservation", BOOKING, key="b") == "Error: flight \\ud83d not found"
    assert call("book_reservation", BOOKING, key="b") == "Error: flight \\ud83d not found"


def test_changes_survive_closing_and_opening_again(tmp_path: Path, caller: Callable[[World], Call]) -> None:
    first = airline(tmp_path, {})
    cancelled = caller(first)("cancel_reservation", {"reservation_id": "GWR001"}, key="a")
    first.close()
    second = airline(tmp_path, {})
    assert caller(second)("get_reservation_details", {"reservation_id": "GWR001"}) == cancelled
    assert caller(second)("cancel_reservation", {"reservation_id": "GWR001"}, key="a") == cancelled
    second.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from gatewright.agents.effects import ACTIVE, IDEMPOTENCY_KEY, RunContext
from gatewright.environments.airline import airline

tools = {tool.name: tool for tool in airline(Path(sys.argv[1]), {}).tools()}
ACTIVE.set(RunContext(run_id="r", thread_id="case", case_id="case", deployment="d", agent="a", chain=None))
IDEMPOTENCY_KEY.set("a")
print(tools["cancel_reservation"].invoke({"reservation_id": "GWR001"}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_changes_survive_a_killed_process(tmp_path: Path, caller: Callable[[World], Call]) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    world = airline(tmp_path, {})
    assert caller(world)("cancel_reservation", {"reservation_id": "GWR001"}, key="a") == killed.stdout.strip()
    world.close()


def test_parallel_changes_of_one_case_are_all_kept(call: Call) -> None:
    bags = {"reservation_id": "GWR020", "total_baggages": 1, "payment_id": "credit_card_2010"}

    def work(nonfree: int) -> None:
        call("update_reservation_baggages", {**bags, "nonfree_baggages": nonfree}, key=str(nonfree))
        call("send_certificate", {"user_id": "jun_sato_1010", "amount": nonfree}, key=f"c{nonfree}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    user = json.loads(call("get_user_details", {"user_id": "jun_sato_1010"}))
    sent = [method["amount"] for name, method in user["payment_methods"].items() if name.startswith("certificate_322")]
    assert sorted(sent) == [1, 2, 3]


async def test_tools_answer_in_asynchronous_graphs(world: AirlineWorld, working: Working) -> None:
    tools = {tool.name: tool for tool in world.tools()}
    with working("case", {}, None):
        sent = await tools["send_certificate"].ainvoke(CERTIFICATE)
        assert sent == "Certificate certificate_3221322 added to user ada_stone_1001 with amount 50."
        assert "certificate_3221322" in await tools["get_user_details"].ainvoke({"user_id": "ada_stone_1001"})


def test_schemas_reach_the_model_unchanged(world: AirlineWorld) -> None:
    tools = {tool.name: tool for tool in world.tools()}
    assert convert_to_openai_tool(tools["send_certificate"]) == {
        "type": "function",
        "function": {
            "name": "send_certificate",
            "description": "Send a certificate to a user. Be careful!",
            "parameters": {
                "type": "object",
                "properties": {
                    "user_id": {
                        "type": "string",
                        "description": "The ID of the user to book the reservation, such as 'sara_doe_496'.",
                    },
                    "amount": {"type": "number", "description": "Certificate amount to send."},
                },
                "required": ["user_id", "amount"],
            },
        },
    }


def test_only_tools_that_change_something_are_not_labelled_reads(world: AirlineWorld) -> None:
    labels = {tool.name: labels_of(tool) for tool in world.tools()}
    assert {name for name, of in labels.items() if "reads" not in of} == {
        "book_reservation",
        "cancel_reservation",
        "send_certificate",
        "transfer_to_human_agents",
        "update_reservation_baggages",
        "update_reservation_flights",
        "update_reservation_passengers",
    }
    assert all("idempotent" in of for of in labels.values() if "reads" not in of)


@pytest.mark.parametrize("named", ["relative/folder", 5, ["/x"]])
def test_a_data_set_that_is_not_an_absolute_path_is_refused(call: Call, named: Any) -> None:
    with pytest.raises(UsageError, match="must be an absolute path"):
        call("list_all_airports", {}, settings={"world": {"data": named}})


def test_a_data_set_that_is_absent_stops_the_run_instead_of_answering(call: Call, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"cannot read the airline's flights"):
        call("get_user_details", {"user_id": "x"}, settings={"world": {"data": str(tmp_path / "absent")}})


def test_a_state_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "world.sqlite").write_text("this is no database, whatever its name says")
    with pytest.raises(UnavailableError, match=r"world\.sqlite"):
        airline(tmp_path, {})


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'dataa'"):
        airline(tmp_path, {"dataa": "/x"})


def test_tools_cannot_be_used_outside_of_a_run(world: AirlineWorld) -> None:
    with pytest.raises(OutsideRunError):
        world.tools()[0].invoke({})
