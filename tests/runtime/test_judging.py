"""Rules that are asked while a team works: those in force, and those on trial beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


HANDED = {
    "id": "handed",
    "on": {"hook": "handoff", "name": "billing"},
    "when": "args.tool == 'transfer_to_billing' && args.update.out == 'refund'",
    "then": "deny",
    "examples": {
        "match": [{"args": {"tool": "transfer_to_billing", "update": {"out": "refund"}}}],
        "pass": [{"args": {"tool": "transfer_to_billing", "update": {"out": "question"}}}],
    },
    "reason": "refunds stay at the desk",
}


@pytest.mark.parametrize("refused", [False, True], ids=["allowed", "refused"])
async def test_rules_see_when_an_agent_hands_the_conversation_over(house: House, refused: bool) -> None:
    if refused:
        house.rules(HANDED)

    async with house.open("handoffs:transferring") as service:
        run = await house.finish(service, {"messages": [["user", "money back"]]})
        (effect,) = await house.effects(service, run)

    assert run.status == "succeeded", run.error
    if refused:
        assert "refunds stay at the desk" in run.output["out"] and run.output["out"].startswith("at the desk")
        assert effect["guard"]["after"]["rules"][0]["id"] == "handed" and effect["outcome"] == "denied"
    else:
        assert run.output["out"] == "billing has refund"


async def test_rules_see_what_arrives_at_an_agent_and_from_whom(house: House) -> None:
    house.rules(
        {
            "id": "arrives",
            "on": {"hook": "message.receive"},
            "when": "message.from == 'front' && args.amount == 5",
            "then": "deny",
            "reason": "not from the front",
            "examples": {
                "match": [{"name": "back", "args": {"amount": 5}, "sender": "front"}],
                "pass": [{"name": "back", "args": {"amount": 1}, "sender": "front"}],
            },
        }
    )

    async with house.open("teams:asking_twice") as service:
        run = await house.finish(service, {"amount": 5})

    assert run.error is not None and "not from the front" in run.error.message
    assert house.counts == {}


async def test_what_an_agent_writes_to_another_is_not_the_users_word(house: House) -> None:
    house.rules(
        {
            "id": "unasked",
            "on": {"hook": "tool.before", "name": "pay"},
            "when": "history.filter(h, h.kind == 'human').size() == 1",
            "unless": "history.exists(h, h.kind == 'human' && h.text != 'amount: 5')",
            "then": "deny",
            "reason": "one person has said one thing",
            "examples": {
                "match": [{"name": "pay", "history": [{"kind": "human", "name": "user", "result": "amount: 5"}]}],
                "pass": [{"name": "pay"}],
            },
        }
    )

    async with house.open("teams:asking_twice") as service:
        run = await house.finish(service, {"amount": 5})

    assert run.error is not None and "one person has said one thing" in run.error.message


async def test_what_is_refused_as_input_or_output_is_on_record(house: House) -> None:
    for hook, place in (("input", "before"), ("output", "after")):
        house.forget()
        house.rules({"id": "no", "on": {"hook": hook}, "then": "deny"})
        async with house.open("gates:paying") as service:
            run = await house.finish(service, {"amount": 5})
            (record,) = await service.records(kind="run", run_id=run.id)

        assert run.status == "failed" and run.error is not None and f"{hook} refused" in run.error.message
        assert record.record["guard"][place]["rules"][0]["id"] == "no"


async def test_an_input_is_judged_once_however_often_the_run_goes_on(house: House) -> None:
    house.rules(
        {
            "id": "first-only",
            "on": {"hook": "input"},
            "when": "history.exists(h, h.kind == 'tool')",
            "then": "deny",
            "reason": "something was done before",
            "examples": {"match": [{"history": [{"name": "pay"}]}], "pass": [{}]},
        },
        {"id": "less", "on": {"hook": "input"}, "then": "modify", "set": {"args.amount": 3}},
        {"id": "ask", "on": {"hook": "tool.before", "name": "sign"}, "then": "ask"},
    )

    async with house.open("gates:paying_then_signing") as service:
        run = await house.finish(service, {"amount": 5})
        assert run.status == "waiting", run.error
        run = await house.decide(service, run, "approve")
        (record,) = await service.records(kind="run", run_id=run.id)

    assert run.status == "succeeded", run.error
    assert house.counts == {"pay:3": 1, "sign:a": 1}
    assert record.record["guard"]["before"]["verdict"] == "modify"


async def test_the_error_of_a_failed_call_is_withheld_where_a_rule_would_change_its_result(house: House) -> None:
    house.rules(
        {
            "id": "mask",
            "on": {"hook": "tool.after", "name": "look_up"},
            "when": "personal(result).size() > 0 || personal(error).size() > 0",
            "then": "modify",
            "set": {"result": "{{ type(result) == string ? redact(result) : 'nothing' }}"},
            "reason": "personal data",
            "examples": {"match": [{"error": "kim@example.com"}], "pass": [{"result": "fine"}]},
        }
    )

    async with house.open("failing:looking_up") as service:
        run = await house.finish(service, {"out": ""})
        (effect,) = await house.effects(service, run)

    assert run.output["out"] == "DeniedError: result withheld: personal data"
    assert (effect["outcome"], effect["guard"]["after"]["verdict"]) == ("denied", "modify")
