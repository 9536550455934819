"""The airline as a simulated world: its cases begin anew, have a state to compare, a clock and a customer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gatewright.environments.airline import AirlineWorld
from gatewright.environments.worlds import SimulatedWorld

if TYPE_CHECKING:
    from tests.environments.conftest import Call

CANCEL = {"reservation_id": "GWR001"}
ADA = {"user_id": "ada_stone_1001"}


def test_the_airline_is_a_simulated_world(world: AirlineWorld) -> None:
    simulated: SimulatedWorld = world
    assert isinstance(simulated, SimulatedWorld)


def test_two_cases_with_the_same_changes_have_one_digest(world: AirlineWorld, call: Call) -> None:
    for case_id in ("one", "two"):
        call("cancel_reservation", CANCEL, case_id=case_id)
    call("get_user_details", ADA, case_id="two")
    assert world.digest("one") == world.digest("two") != world.digest("untouched")


def test_a_case_that_is_reset_begins_anew_and_alone(world: AirlineWorld, call: Call) -> None:
    for case_id in ("one", "two"):
        call("cancel_reservation", CANCEL, case_id=case_id, key="k")
    after = world.digest("two")
    world.reset("one", seed=7)
    assert (world.digest("one"), world.digest("two")) == (world.digest("untouched"), after)
    call("cancel_reservation", CANCEL, case_id="one", key="k")
    assert world.digest("one") == after


def test_the_clock_of_a_case_stands_where_the_recordings_began(world: AirlineWorld) -> None:
    now = world.now("one")
    assert (now.isoformat(), now.utcoffset()) == ("2024-05-15T15:00:00-05:00", timedelta(hours=-5))


def test_the_recorded_customer_says_each_word_once(world: AirlineWorld) -> None:
    conversation = world.conversations(None)[0]
    customer = world.user(conversation, seed=1)
    words = [customer.answer(None)]
    while words[-1] is not None:
        words.append(customer.answer("and then?"))
    assert words == [*conversation.customer, None]
