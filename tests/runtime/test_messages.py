"""Decisions, messages and marked functions pass the chain like everything else."""

from __future__ import annotations

import asyncio
import multiprocessing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import UnavailableError
from gatewright.runtime import acceptance
from gatewright.runtime.runs import SupersededError
from gatewright.runtime.store.writer import Transaction, arrival

if TYPE_CHECKING:
    from tests.runtime.conftest import House

JOB = {"amount": 5}
ASK = {"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"}
ASK_SIGN = {"id": "ask-sign", "on": {"hook": "tool.before", "name": "sign"}, "then": "ask"}

_TAKE_OVER = sa.text(
    "UPDATE run SET status = 'queued', holder = NULL, epoch = epoch + 1, available_at = 0 "
    "WHERE id = :id AND status = 'running'"
)

_spawn = multiprocessing.get_context("fork")


async def test_two_questions_to_one_agent_are_two_runs_of_its(house: House) -> None:
    async with house.open("teams:asking_twice") as service:
        run = await house.finish(service, JOB)
        children = [child for child in await service.runs() if child.parent_run_id == run.id]

    assert run.output["out"] == ["paid 5", "paid 1", "paid 5"]
    assert len(children) == 2
    assert house.counts == {"pay:5": 2, "pay:1": 1}


async def test_approvals_inside_the_agent_that_was_asked_hold_up_both(house: House) -> None:
    house.rules(ASK)

    async with house.open("teams:asking_twice") as service:
        run, waited = await service.start_run("x", JOB), list[str]()
        for _ in range(3):
            waiting = await service.wait(run.id, timeout=60)
            assert waiting.status == "waiting"
            waited += [item[:4] for item in waiting.waiting_for]
            (request,) = await service.approvals()
            await service.decide(request.id, "approve", by="kim")
        ended = await service.wait(run.id, timeout=60)

    assert ended.output["out"] == ["paid 5", "paid 1", "paid 5"]
    assert house.counts == {"pay:5": 2, "pay:1": 1}


@pytest.mark.parametrize("error", [UnavailableError("away"), SupersededError("the run is another's")])
async def test_a_message_that_could_not_be_put_down_is_put_down_by_whoever_has_the_run_next(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    errors = [error] * 2  # the writer tries an operation that failed once more by itself
    deliver = acceptance.deliver

    def failing(transaction: Transaction, *args: Any, **more: Any) -> None:
        deliver(transaction, *args, **more)
        if errors:
            raise errors.pop(0)

    monkeypatch.setattr(acceptance, "deliver", failing)
    async with house.open("teams:asking_twice") as service:
        run = await service.start_run("x", JOB)
        async with asyncio.timeout(60):
            while errors:
                await asyncio.sleep(0.01)
        await arrival(service._writer.submit(partial(_take_over, run_id=run.id)))  # pyright: ignore[reportPrivateUsage]
        service._wake()  # pyright: ignore[reportPrivateUsage]
        ended = await service.wait(run.id, timeout=30)
        records = await house.effects(service)

    assert ended.status == "succeeded", ended.error
    assert house.counts == {"pay:5": 2, "pay:1": 1}
    assert {record["outcome"] for record in records} == {"ok"}


def _take_over(transaction: Transaction, *, run_id: str) -> None:
    """As if others had taken the run over and died."""
    transaction.run(_TAKE_OVER, id=run_id)


async def test_an_agent_that_fails_fails_the_question(house: House) -> None:
    async with house.open("teams:asking_in_vain") as service:
        run = await house.finish(service, JOB)

    assert run.status == "succeeded", run.error
    (told,) = run.output["out"]
    assert "'clerk'" in told and "13 cannot be paid" in told


async def test_parallel_steps_ask_one_agent_side_by_side(house: House) -> None:
    async with house.open("teams:asking_side_by_side") as service:
        run = await house.finish(service, JOB)

    assert sorted(run.output["out"]) == ["paid 2", "paid 3"]
    assert house.counts == {"pay:2": 1, "pay:3": 1}


async def test_an_agent_that_is_not_of_the_team_cannot_be_asked(house: House) -> None:
    async with house.open("teams:asking_a_stranger") as service:
        run = await house.finish(service, JOB)

    assert run.error is not None and run.error.type == "UsageError"
    assert "'nobody'" in run.error.message and "clerk" in run.error.message


async def test_a_notice_is_sent_once_and_not_waited_for(house: House) -> None:
    house.rules(ASK_SIGN)

    async with house.open("teams:sending") as service:
        run = await house.finish(service, JOB)
        run = await house.decide(service, run, "approve")
        others = [other for other in await service.runs() if other.id != run.id]
        (clerk,) = others
        assert clerk.id == run.output["out"][0]
        assert (await service.wait(clerk.id, timeout=30)).status == "succeeded"

    assert house.counts == {"pay:5": 1, "sign:a": 1}


async def test_a_message_can_be_refused(house: House) -> None:
    house.rules({"id": "silence", "on": {"hook": "message.send", "name": "clerk"}, "then": "deny"})

    async with house.open("teams:asking_in_vain") as service:
        run = await house.finish(service, JOB)

    assert run.output["out"] == ["because of silence"]
    assert house.done == []


async def test_a_choice_and_a_marked_function_are_made_once_and_recorded(house: House) -> None:
    house.rules(ASK_SIGN)

    async with house.open("teams:choosing") as service:
        run = await house.finish(service, JOB)
        run = await house.decide(service, run, "approve")
        records = {record["effect"]["kind"]: record for record in await house.effects(service, run)}

    assert run.output["out"] == ["small", "charged 5", "signed a"]
    assert house.counts == {"chosen:5": 1, "acharge:5": 1, "sign:a": 1}
    assert records["decision"]["result"]["option"] == "small"
    assert records["function"]["effect"]["name"] == "acharge"


async def test_a_choice_can_be_refused(house: House) -> None:
    house.rules({"id": "no", "on": {"hook": "decision", "name": "size"}, "then": "deny"})

    async with house.open("teams:choosing") as service:
        run = await house.finish(service, JOB)

    assert run.error is not None and run.error.type == "DeniedError"
    assert "acharge:5" not in house.counts


def test_what_is_repeated_carries_the_key_of_the_first_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIES", "yes")

    async def work() -> None:
        async with house.open("teams:charging") as service:
            known = await service.runs()
            run = known[0] if known else await service.start_run("x", JOB)
            assert (await service.wait(run.id, timeout=30)).output["out"] == ["charged 5"]

    process = _spawn.Process(target=lambda: asyncio.run(work()))
    process.start()
    process.join()
    assert process.exitcode == 1
    asyncio.run(work())

    first, second = house.done
    assert first == second
    assert first[1]
