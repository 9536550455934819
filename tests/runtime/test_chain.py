"""The chain's stages: what people decide, what rules change, what nobody knows, what an agent must not do."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents.errors import ConflictError

if TYPE_CHECKING:
    from tests.runtime.conftest import House

JOB = {"amount": 5}
ASK = {"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"}
ASK_SIGN = {"id": "ask-sign", "on": {"hook": "tool.before", "name": "sign"}, "then": "ask"}
LARGE = {
    "id": "large",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "args.amount > 100",
    "then": "deny",
    "examples": {"match": [{"args": {"amount": 101}}], "pass": [{"args": {"amount": 1}}]},
}
CAP = {
    "id": "cap",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "args.amount > 3",
    "then": "modify",
    "set": {"args.amount": "{{ 3 }}"},
    "examples": {"match": [{"args": {"amount": 4}}], "pass": [{"args": {"amount": 3}}]},
}

_spawn = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.runtime.chain.GRACE", 0.05)


# People


async def test_approved_it_is_performed_once_and_the_record_says_by_whom(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        assert house.done == []
        run = await house.decide(service, run, "approve")
        (record,) = await house.effects(service, run)

    assert run.output["out"] == ["paid 5"]
    assert house.done == [["pay", 5]]
    assert record["guard"]["before"]["verdict"] == "ask"
    assert (record["approval"]["verdict"], record["approval"]["by"]) == ("approve", "kim")


async def test_a_refusal_reaches_the_agent_with_its_reason(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:calls") as service:
        run = await house.finish(service, {"messages": []})
        run = await house.decide_all(service, run, "reject")

    assert run.status == "succeeded", run.error
    assert house.done == []
    told = [message["content"] for message in run.output["messages"] if message["type"] == "tool"]
    assert told == ["Denied: refused by kim: kim says so"] * 2


async def test_an_edit_is_what_is_performed_and_recorded(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        run = await house.decide(service, run, "edit", {"amount": 4})
        (record,) = await house.effects(service, run)

    assert run.output["out"] == ["paid 4"]
    assert house.done == [["pay", 4]]
    assert record["args"] == {"amount": 4}


async def test_an_edit_may_not_do_what_a_rule_denies(house: House) -> None:
    house.rules(ASK, LARGE)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        run = await house.decide(service, run, "edit", {"amount": 500})

    assert run.error is not None and run.error.type == "DeniedError"
    assert "kim" in run.error.message and "because of large" in run.error.message
    assert house.done == []


async def test_an_edit_is_changed_as_rules_say(house: House) -> None:
    house.rules(ASK, CAP)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        await house.decide(service, run, "edit", {"amount": 7})
        (record,) = await house.effects(service, run)

    assert house.done == [["pay", 3]]
    assert record["args"] == {"amount": 3}


async def test_an_answer_stands_for_the_result(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:calls") as service:
        run = await house.finish(service, {"messages": []})
        run = await house.decide_all(service, run, "answer", "it was paid by cheque")

    assert run.status == "succeeded", run.error
    assert house.done == []
    told = [message["content"] for message in run.output["messages"] if message["type"] == "tool"]
    assert told == ["it was paid by cheque"] * 2


async def test_a_decision_is_void_when_the_rules_have_changed_and_is_asked_for_anew(house: House) -> None:
    house.rules(ASK)
    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        (first,) = await house.waiting(service, run)
    house.rules(ASK, LARGE)
    async with house.open("gates:paying") as service:
        await service.decide(first.id, "approve", by="kim")
        run = await service.wait(run.id, timeout=30)
        (second,) = await house.waiting(service, run)
        assert house.done == []
        assert (await service.approval(first.id)).state == "void"
        run = await house.decide(service, run, "approve")

    assert second.id != first.id
    assert run.status == "succeeded", run.error
    assert house.done == [["pay", 5]]


async def test_a_decision_is_used_once(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:twice") as service:
        run = await house.finish(service, JOB)
        (first,) = await house.waiting(service, run)
        run = await house.decide(service, run, "approve")
        (second,) = await house.waiting(service, run)
        with pytest.raises(ConflictError):
            await service.decide(first.id, "approve", by="kim")
        run = await house.decide(service, run, "approve")
        states = {(await service.approval(request.id)).state for request in (first, second)}

    assert house.done == [["pay", 1], ["pay", 2]]
    assert states == {"consumed"}


async def test_parallel_steps_ask_side_by_side(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:side_by_side") as service:
        run = await house.finish(service, JOB)
        asked = await house.waiting(service, run)
        run = await house.decide(service, run, "approve")

    assert len(asked) == 2
    assert run.status == "succeeded", run.error
    assert house.counts == {"pay:5": 1, "pay:7": 1}


async def test_parallel_calls_of_one_step_ask_side_by_side(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:calls") as service:
        run = await house.finish(service, {"messages": []})
        asked = await house.waiting(service, run)
        run = await house.decide_all(service, run, "approve")

    assert asked
    assert run.status == "succeeded", run.error
    assert house.counts == {"pay:1": 1, "pay:2": 1}


async def test_the_agents_own_questions_and_approvals_take_turns_in_one_step(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:asking") as service:
        run = await house.finish(service, JOB)
        run = await house.decide(service, run, "answer", "one")
        (approval,) = await house.waiting(service, run)
        assert approval.kind == "approval"
        run = await house.decide(service, run, "approve")
        (question,) = await house.waiting(service, run)
        assert (question.kind, question.action["payload"]) == ("question", "second?")
        run = await house.decide(service, run, "answer", "two")
        run = await house.decide(service, run, "approve")

    assert run.status == "succeeded", run.error
    assert run.output["out"] == ["one", "paid 5", "two", "paid 6"]
    assert house.counts == {"pay:5": 1, "pay:6": 1}


async def test_an_agent_that_swallows_the_wait_fails_and_is_told_why(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:swallowing") as service:
        run = await house.finish(service, JOB)

    assert run.error is not None and run.error.type == "UsageError"
    assert "waits to be approved" in run.error.message and "GraphInterrupt" in run.error.message
    assert house.done == []


async def test_edited_arguments_outlive_a_wait_inside_the_tool(house: House) -> None:
    house.rules({**ASK, "on": {"hook": "tool.before", "name": "deliver"}}, ASK_SIGN)

    async with house.open("gates:delivering") as service:
        run = await house.finish(service, JOB)
        run = await house.decide(service, run, "edit", {"amount": 2})
        run = await house.decide(service, run, "approve")
        records = {record["effect"]["name"]: record for record in await house.effects(service, run)}

    assert run.status == "succeeded", run.error
    assert house.done == [["pay", 2], ["sign", "delivery"]]
    assert records["deliver"]["args"] == {"amount": 2}
    assert records["deliver"]["approval"]["verdict"] == "edit"


# Rules


async def test_a_rule_ends_the_run(house: House) -> None:
    house.rules({**LARGE, "then": "terminate"})

    async with house.open("gates:side_by_side") as service:
        run = await house.finish(service, {"amount": 500})

    assert run.error is not None and (run.error.type, run.error.message) == ("TerminatedError", "because of large")
    assert "pay:500" not in house.counts


async def test_a_rule_changes_what_a_tool_is_called_with(house: House) -> None:
    house.rules(CAP)

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        (record,) = await house.effects(service, run)

    assert house.done == [["pay", 3]]
    assert record["args"] == {"amount": 3}
    assert record["guard"]["before"]["verdict"] == "modify"


async def test_a_rule_changes_what_an_agent_gets_from_a_tool(house: House) -> None:
    house.rules(
        {
            "id": "hide",
            "on": {"hook": "tool.after", "name": "pay"},
            "when": "result != 'done'",
            "then": "modify",
            "set": {"result": "done"},
            "examples": {"match": [{"result": "paid 5"}], "pass": [{"result": "done"}]},
        }
    )

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        (record,) = await house.effects(service, run)

    assert run.output["out"] == ["done"]
    assert record["result"] == "done"


async def test_a_rule_withholds_a_result_of_what_was_performed(house: House) -> None:
    house.rules({"id": "secret", "on": {"hook": "tool.after", "name": "pay"}, "then": "deny"})

    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        (record,) = await house.effects(service, run)

    assert run.error is not None and run.error.message == "result withheld: because of secret"
    assert (record["outcome"], record["guard"]["after"]["verdict"]) == ("denied", "deny")
    assert "paid" not in str(record["result"])


CARD = {
    "id": "card",
    "when": "text.contains('4111')",
    "then": "modify",
    "examples": {
        "match": [{"text": "4111", "result": {"content": "4111"}}],
        "pass": [{"text": "hello"}],
    },
}


async def test_a_rule_changes_what_a_model_says(house: House) -> None:
    house.rules({**CARD, "on": {"hook": "model.after"}, "set": {"result.content": "a card"}})

    async with house.open("gates:talking") as service:
        run = await house.finish(service, JOB)

    assert run.output["out"] == ["a card"]


async def test_a_rule_changes_what_a_model_is_asked(house: House) -> None:
    house.rules({**CARD, "on": {"hook": "model.before"}, "set": {"args.messages": [{"content": "a card"}]}})

    async with house.open("gates:echoing") as service:
        run = await house.finish(service, JOB)

    assert run.output["out"] == ["heard: a card"]


async def test_a_result_that_a_rule_spoils_is_recorded_as_an_error(house: House) -> None:
    house.rules({**CARD, "on": {"hook": "model.after"}, "set": {"result": "a card"}})

    async with house.open("gates:talking") as service:
        run = await house.finish(service, JOB)
        (record,) = await house.effects(service, run)

    assert run.error is not None and "set its content" in run.error.message
    assert (record["outcome"], record["guard"]["after"]["verdict"]) == ("error", "modify")


async def test_the_limit_counts_effects_and_not_how_often_their_step_was_executed(house: House) -> None:
    house.rules(ASK)

    async with house.open("gates:twice", max_effects=2) as service:
        run = await house.decide_all(service, await house.finish(service, JOB), "approve")
    house.forget()
    async with house.open("gates:twice", max_effects=1) as service:
        over = await house.finish(service, JOB)

    assert run.status == "succeeded", run.error
    assert over.error is not None and (over.error.type, house.done) == ("LimitError", [["pay", 1]])


async def test_what_an_agent_gave_up_waiting_for_comes_to_its_end_and_is_recorded(house: House) -> None:
    async with house.open("gates:giving_up") as service:
        run = await house.finish(service, JOB)
        records = await house.effects(service, run)

    assert run.output["out"] == ["too slow"]
    assert house.done == [["slow", 1]]
    assert [record["outcome"] for record in records] == ["ok"]


# What nobody knows


def _dying(house: House, graph: str, *names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the process ends inside the tool, in a process of its own."""
    monkeypatch.setenv("DIES", " ".join(names))

    async def work() -> None:
        async with house.open(graph) as service:
            await house.finish(service, JOB)

    process = _spawn.Process(target=lambda: asyncio.run(work()))
    process.start()
    process.join()
    assert process.exitcode == 1


@pytest.mark.parametrize(
    ("verb", "value", "done", "out"),
    [
        ("answer", "paid, says the bank", 1, ["paid, says the bank"]),
        ("approve", None, 2, ["paid 5"]),
        ("reject", None, 1, None),
    ],
)
def test_what_was_begun_when_the_process_died_is_asked_of_people(
    house: House, monkeypatch: pytest.MonkeyPatch, verb: Any, value: Any, done: int, out: Any
) -> None:
    _dying(house, "gates:paying", "pay", monkeypatch=monkeypatch)

    async def work() -> None:
        async with house.open("gates:paying") as service:
            (run,) = await service.runs()
            run = await service.wait(run.id, timeout=30)
            (request,) = await house.waiting(service, run)
            assert request.kind == "unknown"
            assert len(house.done) == 1
            run = await house.decide(service, run, verb, value)
            (record,) = await house.effects(service, run)
            if out is None:
                assert run.error is not None and run.error.message == "given up by kim: kim says so"
            else:
                assert run.output["out"] == out
            assert len(house.done) == done
            assert record["approval"]["by"] == "kim"

    asyncio.run(work())


def test_a_second_death_is_asked_about_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _dying(house, "gates:paying", "pay", monkeypatch=monkeypatch)

    async def approve() -> None:
        async with house.open("gates:paying") as service:
            (run,) = await service.runs()
            run = await service.wait(run.id, timeout=30)
            house.folder.joinpath("died-pay").unlink()
            await house.decide(service, run, "approve")

    process = _spawn.Process(target=lambda: asyncio.run(approve()))
    process.start()
    process.join()
    assert process.exitcode == 1

    async def answer() -> None:
        async with house.open("gates:paying") as service:
            (run,) = await service.runs()
            run = await service.wait(run.id, timeout=30)
            assert [request.kind for request in await house.waiting(service, run)] == ["unknown"]
            run = await house.decide(service, run, "answer", "paid")
            assert run.output["out"] == ["paid"]

    asyncio.run(answer())
    assert house.counts == {"pay:5": 2}


def test_what_a_rule_changed_is_what_is_repeated(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.rules(CAP, tools={"pay": {"labels": ["idempotent"]}})
    _dying(house, "gates:paying", "pay", monkeypatch=monkeypatch)

    async def work() -> None:
        async with house.open("gates:paying") as service:
            (run,) = await service.runs()
            run = await service.wait(run.id, timeout=30)
            assert run.output["out"] == ["paid 3"]

    asyncio.run(work())
    assert house.counts == {"pay:3": 2}


def test_reading_again_is_not_asked_about(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # What comes before it waits for the disk: reading alone could happen before the run is accepted.
    house.rules(tools={"pay": {"labels": ["reads"]}, "sign": {"labels": ["idempotent"]}})
    _dying(house, "gates:signing_then_paying", "pay", monkeypatch=monkeypatch)

    async def work() -> None:
        async with house.open("gates:signing_then_paying") as service:
            (run,) = await service.runs()
            assert (await service.wait(run.id, timeout=30)).output["out"] == ["signed a", "paid 5"]

    asyncio.run(work())


def test_dying_in_a_tool_that_a_tool_called_asks_about_both(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _dying(house, "gates:delivering", "pay", monkeypatch=monkeypatch)

    async def work() -> None:
        async with house.open("gates:delivering") as service:
            (run,) = await service.runs()
            run = await service.wait(run.id, timeout=30)
            (outer,) = await house.waiting(service, run)
            run = await house.decide(service, run, "approve")
            (inner,) = await house.waiting(service, run)
            run = await house.decide(service, run, "answer", "paid 5")
            assert (outer.action["name"], inner.action["name"]) == ("deliver", "pay")
            assert run.output["out"] == ["['paid 5', 'signed delivery']"]

    asyncio.run(work())
    assert house.done == [["pay", 5], ["sign", "delivery"]]


# Second thoughts


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        ("another_effect", ["asked for tool 'refund'", "holds tool 'pay'"]),
        ("other_arguments", ["asked for tool 'pay' with other arguments"]),
        ("forgetting", ["ended without it", "holds tool 'pay'"]),
    ],
)
async def test_a_step_that_does_something_else_when_executed_again_is_stopped(
    house: House, monkeypatch: pytest.MonkeyPatch, graph: str, told: list[str]
) -> None:
    house.rules(ASK_SIGN)

    async with house.open(f"gates:{graph}") as service:
        run = await house.finish(service, JOB)
        monkeypatch.setenv("TURN", "2")
        run = await house.decide(service, run, "approve")

    assert run.error is not None and run.error.type == "DivergenceError"
    assert all(part in run.error.message for part in told), run.error.message
    assert house.done == [["pay", 1]]
