"""Agents that ask in the shapes of others, run by the service: people decide, the agent gets what it expects."""

from typing import Any

import pytest

from gatewright.agents.errors import UsageError

SAY = {"messages": [{"role": "user", "content": "Mail Ann, then delete the report."}]}
ASK: dict[str, list[Any]] = {"messages": [], "said": []}


def says(run: Any) -> str:
    """The last message of a run that has ended well."""
    assert run.status == "succeeded", run.error
    text: str = run.output["messages"][-1]["content"]
    return text


async def test_each_action_of_the_middleware_is_decided_by_its_position(house: Any) -> None:
    async with house.open("reviews:batched") as service:
        run = await house.finish(service, SAY)
        (asked,) = await house.waiting(service, run)
        decisions = [
            {"type": "edit", "edited_action": {"name": "send_email", "args": {"to": "bob@example.org"}}},
            {"type": "reject", "message": "keep the report"},
        ]
        run = await house.decide(service, run, "answer", {"decisions": decisions})

    assert asked.reason == "asks before it performs send_email, delete_file"
    assert [entry for entry in house.done] == [["send_email", "bob@example.org"]]
    assert "sent to bob@example.org" in says(run)
    assert "keep the report" in says(run)


async def test_an_approval_of_the_middlewares_request_approves_every_action(house: Any) -> None:
    async with house.open("reviews:batched") as service:
        run = await house.finish(service, SAY)
        run = await house.decide(service, run, "approve")

    assert house.counts == {"send_email:ann@example.org": 1, "delete_file:report.txt": 1}
    assert says(run) == "sent to ann@example.org; deleted report.txt"


async def test_a_rejection_reaches_the_model_with_its_reason_and_the_run_goes_on(house: Any) -> None:
    async with house.open("reviews:batched") as service:
        run = await house.finish(service, SAY)
        run = await house.decide(service, run, "reject")

    assert house.done == []
    assert "with reason: kim says so" in says(run)


async def test_editing_the_only_action_performs_it_with_the_new_arguments(house: Any) -> None:
    async with house.open("reviews:single") as service:
        run = await house.finish(service, SAY)
        run = await house.decide(service, run, "edit", {"to": "bob@example.org"})

    assert house.done == [["send_email", "bob@example.org"]]
    assert "sent to bob@example.org" in says(run)


async def test_a_response_in_place_of_the_tool_is_its_result(house: Any) -> None:
    async with house.open("reviews:single") as service:
        run = await house.finish(service, SAY)
        run = await house.decide(
            service, run, "answer", {"decisions": [{"type": "respond", "message": "done by hand"}]}
        )

    assert house.done == []
    assert says(run) == "done by hand"


@pytest.mark.parametrize(
    "wrong",
    [
        {"decisions": [{"type": "approve"}]},
        {"decisions": [{"type": "approve"}, {"type": "edit", "edited_action": {"name": "delete_file", "args": {}}}]},
        {"decisions": [{"type": "approve"}, {"type": "respond", "message": "gone"}]},
        "approve",
    ],
)
async def test_an_answer_that_would_break_the_agent_is_refused_and_the_request_stays_open(
    house: Any, wrong: Any
) -> None:
    async with house.open("reviews:batched") as service:
        run = await house.finish(service, SAY)
        with pytest.raises(UsageError, match="does not allow this value"):
            await house.decide(service, run, "answer", wrong)
        (still,) = await house.waiting(service, run)

    assert still.state == "open"
    assert house.done == []


async def test_calls_that_each_ask_for_themselves_are_each_decided(house: Any) -> None:
    async with house.open("reviews:per_call") as service:
        run = await house.finish(service, SAY)
        asked = await house.waiting(service, run)
        for view in asked:
            verb = "approve" if view.action["payload"]["name"] == "send_email" else "reject"
            await service.decide(view.id, verb, by="kim", reason="kim says so")
        run = await service.wait(run.id, timeout=30)

    assert sorted(view.action["payload"]["name"] for view in asked) == ["delete_file", "send_email"]
    assert house.done == [["send_email", "ann@example.org"]]
    assert "kim says so" in says(run)


async def test_the_decision_of_a_request_survives_a_restart(house: Any) -> None:
    async with house.open("reviews:batched") as service:
        run = await house.finish(service, SAY)
    async with house.open("reviews:batched") as service:
        run = await house.decide(service, await service.run(run.id), "approve")

    assert sum(house.counts.values()) == 2
    assert says(run) == "sent to ann@example.org; deleted report.txt"


@pytest.mark.parametrize(
    ("verb", "value", "response", "done"),
    [
        ("approve", None, {"type": "accept", "args": None}, ["ann@example.org"]),
        (
            "edit",
            {"to": "bob@example.org"},
            {"type": "edit", "args": {"action": "send_email", "args": {"to": "bob@example.org"}}},
            ["bob@example.org"],
        ),
        ("reject", None, {"type": "ignore", "args": None}, []),
        ("answer", [{"type": "response", "args": "write more"}], {"type": "response", "args": "write more"}, []),
    ],
)
async def test_an_agent_that_asks_as_agent_inbox_has_it_gets_a_list_of_responses(
    house: Any, verb: Any, value: Any, response: Any, done: list[str]
) -> None:
    async with house.open("reviews:inbox") as service:
        run = await house.finish(service, ASK)
        run = await house.decide(service, run, verb, value)

    assert run.status == "succeeded", run.error
    assert run.output["said"] == [response]
    assert [to for _name, to in house.done] == done
