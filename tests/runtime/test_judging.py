"""Rules that are asked while a team works: those in force, and those on trial beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runtime.conftest import House

NEVER = {"id": "never", "on": {"hook": "tool.before", "name": "pay"}, "then": "deny"}


async def test_rules_on_trial_are_recorded_and_change_nothing(house: House) -> None:
    house.rules(NEVER, shadow=True)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, {"amount": 5})
        (effect,) = await house.effects(service, run)

    assert run.status == "succeeded" and house.counts == {"pay:5": 1}
    judged = effect["guard"]["before"]
    assert (judged["verdict"], judged["shadow"]["verdict"]) == ("allow", "deny")
    assert judged["shadow"]["rules"] == [{"id": "never", "verdict": "deny", "reason": "because of never"}]


async def test_rules_on_trial_see_inputs_and_outputs(house: House) -> None:
    house.rules(*({"id": hook, "on": {"hook": hook}, "then": "deny"} for hook in ("input", "output")), shadow=True)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, {"amount": 5})
        (record,) = await service.records(kind="run", run_id=run.id)

    guard = record.record["guard"]
    assert run.status == "succeeded"
    assert [guard[when]["shadow"]["verdict"] for when in ("before", "after")] == ["deny", "deny"]


async def test_an_approval_keeps_what_the_rules_on_trial_said(house: House) -> None:
    house.rules({**NEVER, "id": "ask", "then": "ask"})
    house.rules(NEVER, shadow=True)

    async with house.open("gates:paying") as service:
        run = await house.decide(service, await house.finish(service, {"amount": 5}), "approve")
        (effect,) = await house.effects(service, run)

    assert effect["outcome"] == "ok"
    assert (effect["guard"]["before"]["verdict"], effect["guard"]["before"]["shadow"]["verdict"]) == ("ask", "deny")


async def test_a_record_keeps_what_was_wished_beside_what_rules_made_of_it(house: House) -> None:
    house.rules(
        {"id": "less", "on": {"hook": "tool.before", "name": "pay"}, "then": "modify", "set": {"args.amount": 1}}
    )

    async with house.open("gates:paying") as service:
        (effect,) = await house.effects(service, await house.finish(service, {"amount": 5}))

    assert (effect["wished"], effect["args"]) == ({"amount": 5}, {"amount": 1})
