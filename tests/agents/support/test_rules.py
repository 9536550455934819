from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gatewright.agents.support import team
from gatewright.agents.support.changes import CHANGING
from gatewright.agents.support.desk import LOOKING, TRANSFER
from gatewright.safety.events import Event, Past
from gatewright.safety.guard import Guard
from gatewright.safety.packs import Pack

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pack() -> Pack:
    assert team.rules is not None
    return Pack.load(team.rules)


def read(reservation_id: str, *amounts: Any) -> Past:
    paid = [{"payment_id": "p", "amount": amount} for amount in amounts]
    result = {"reservation_id": reservation_id, "payment_history": paid}
    return Past(kind="tool", name="get_reservation_details", result=result, time=NOW)


def verdict(tool: str, args: dict[str, Any], *history: Past) -> str:
    event = Event(hook="tool.before", name=tool, agent="changes", args=args, history=history, time=NOW)
    return Guard([pack()]).evaluate(event).verdict


def test_the_pack_loads_with_its_examples_and_labels_every_tool_of_the_team() -> None:
    assert set(pack().labels) == {*CHANGING, *LOOKING, TRANSFER}


def test_only_looking_tools_are_labelled_reads() -> None:
    assert {name for name, labels in pack().labels.items() if "reads" in labels} == set(LOOKING)


@pytest.mark.parametrize("tool", [*LOOKING, TRANSFER])
def test_the_desk_needs_nobodys_consent(tool: str) -> None:
    assert verdict(tool, {"anything": 1}) == "allow"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(100, "allow"), (100.0, "allow"), (100.01, "ask"), ("5", "ask"), (None, "ask"), ([1], "ask"), (True, "ask")],
)
def test_certificates_above_a_hundred_dollars_are_asked_about(amount: Any, expected: str) -> None:
    assert verdict("send_certificate", {"user_id": "u", "amount": amount}) == expected


@pytest.mark.parametrize("tool", ["cancel_reservation", "update_reservation_flights"])
@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], "ask"),
        ([read("OTHER", 10)], "ask"),
        ([read("R", 500)], "allow"),
        ([read("R", 500.5)], "ask"),
        ([read("R", 10, 10)], "ask"),
        ([read("R", 10), read("OTHER", 900)], "allow"),
        ([Past(kind="tool", name="get_reservation_details", result="Error: user not found", time=NOW)], "ask"),
    ],
)
def test_refunds_are_asked_about_unless_known_to_be_small(tool: str, history: list[Past], expected: str) -> None:
    assert verdict(tool, {"reservation_id": "R"}, *history) == expected


@pytest.mark.parametrize("args", [{}, {"reservation_id": None}, {"reservation_id": ["R"]}, {"reservation": 5}])
def test_arguments_of_the_wrong_shape_are_asked_about_and_not_refused(args: dict[str, Any]) -> None:
    assert verdict("cancel_reservation", args, read("R", 10)) == "ask"


@pytest.mark.parametrize("earlier", ["[1, 2]", "", None, 5, {"payment_history": 1}])
def test_other_earlier_results_do_not_disturb(earlier: Any) -> None:
    past = Past(kind="tool", name="calculate", result=earlier, time=NOW)
    assert verdict("cancel_reservation", {"reservation_id": "R"}, read("R", 10), past) == "allow"


@pytest.mark.parametrize("paid", [None, {}, [{"amount": "10"}], [{"amount": 10}, {"amount": 10}]])
def test_a_reservation_whose_payments_are_unclear_is_asked_about(paid: Any) -> None:
    result = {"reservation_id": "R"} | ({} if paid is None else {"payment_history": paid})
    past = Past(kind="tool", name="update_reservation_baggages", result=result, time=NOW)
    assert verdict("cancel_reservation", {"reservation_id": "R"}, read("R", 10), past) == "ask"
