"""The history of a case: what all its runs did, also those of the agents that were asked, also after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runtime.conftest import House

ONCE = {
    "id": "once",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "history.exists(h, h.name == 'pay' && h.ok && h.args.amount == args.amount)",
    "then": "deny",
    "reason": "paid before",
    "examples": {
        "match": [{"args": {"amount": 1}, "history": [{"name": "pay", "args": {"amount": 1}}]}],
        "pass": [{"args": {"amount": 1}}],
    },
}


async def test_rules_see_what_earlier_runs_of_the_thread_did(house: House) -> None:
    house.rules(ONCE)

    async with house.open("gates:paying") as service:
        first = await house.finish(service, {"amount": 5}, thread_id="case")
        second = await house.finish(service, {"amount": 5}, thread_id="case")
        elsewhere = await house.finish(service, {"amount": 5}, thread_id="another")

    assert (first.status, second.status, elsewhere.status) == ("succeeded", "failed", "succeeded")
    assert second.error is not None and second.error.message == "paid before"


async def test_rules_see_it_after_a_restart(house: House) -> None:
    house.rules(ONCE)
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="case")

    async with house.open("gates:paying") as service:
        again = await house.finish(service, {"amount": 5}, thread_id="case")

    assert again.error is not None and again.error.message == "paid before"


async def test_rules_see_what_an_agent_that_was_asked_did(house: House) -> None:
    house.rules(ONCE)

    async with house.open("teams:asking_twice") as service:
        run = await house.finish(service, {"amount": 5})

    assert run.error is not None and "paid before" in run.error.message
    assert house.counts == {"pay:5": 1, "pay:1": 1}
