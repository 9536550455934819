"""Requests have deadlines, messages say where they come from, and publishing is an effect."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents.errors import ExpiredError
from gatewright.runtime import results
from gatewright.runtime.bus import Delivery, Topic

if TYPE_CHECKING:
    from tests.runtime.conftest import House

JOB = {"amount": 5}
ASK_PAY = {"id": "ask-pay", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"}
ASK_SIGN = {"id": "ask-sign", "on": {"hook": "tool.before", "name": "sign"}, "then": "ask"}

both = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)


@both
async def test_who_asks_gets_an_error_when_the_time_is_over(house: House) -> None:
    house.rules(ASK_PAY)  # nobody will answer

    async with house.open("teams:asking_briefly") as service:
        run = await service.wait((await service.start_run("x", JOB)).id, timeout=30)
        while run.status == "waiting":  # for the person of the agent that it asks
            await asyncio.sleep(0.05)
            run = await service.run(run.id)
        run = await service.wait(run.id, timeout=30)
        (child,) = [other for other in await service.runs() if other.parent_run_id == run.id]
        (ended,) = await service.records(kind="run", run_id=child.id)
        asked = await service.approvals(state="open")

    told, instead = run.output["out"]
    assert "agent 'clerk' did not answer in time: its deadline was" in told
    assert instead == "signed instead"
    assert child.status == "cancelled" and child.error is not None and child.error.type == "ExpiredError"
    assert ended.record["detail"]["reason"] == "its deadline was over"
    assert ended.record["detail"]["message"]["correlation_id"] == run.case_id
    assert ended.record["detail"]["deadline"]
    assert asked == []
    assert house.counts == {"sign:instead": 1}


async def test_what_is_asked_in_turn_ends_with_the_first_question(house: House) -> None:
    house.rules(ASK_PAY)

    async with house.open("teams:asking_through") as service:
        run = await service.start_run("x", JOB)
        async with asyncio.timeout(60):
            while (await service.run(run.id)).status != "succeeded":
                await asyncio.sleep(0.05)
        found = {other.agent: other for other in await service.runs()}

    assert "agent 'middle' did not answer in time" in found["front"].output["out"][0]
    assert [found[agent].status for agent in ("front", "middle", "clerk")] == ["succeeded", "cancelled", "cancelled"]
    assert house.counts == {}


def test_a_missed_deadline_is_remembered_as_what_it_was() -> None:
    error = results.revive(results.failure(ExpiredError("late")))

    assert isinstance(error, ExpiredError) and isinstance(error, TimeoutError)


async def test_a_time_out_of_nothing_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.open("teams:asking_briefly") as service:
        teams = next(module for name, module in sys.modules.items() if name.startswith("gatewright_agents_teams"))
        ask = teams.ask

        def backwards(agent: str, payload: Any, *, timeout: float) -> Any:
            return ask(agent, payload, timeout=-timeout)

        monkeypatch.setattr(teams, "ask", backwards)
        run = await house.finish(service, JOB)

    assert run.error is not None and "-1.5" in run.error.message


class Reader:
    """A consumer of a topic."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._came = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._came.set()

    async def first(self) -> Any:
        async with asyncio.timeout(60):
            await self._came.wait()
        return self.deliveries[0].message


@both
async def test_what_is_published_says_where_it_comes_from(house: House) -> None:
    house.rules(ASK_SIGN)
    reader = Reader()

    async with house.open("teams:publishing") as service:
        await service.bus.subscribe("news", "readers", reader)
        run = await house.finish(service, JOB)
        message = await reader.first()
        run = await house.decide(service, run, "approve")  # the step is executed again
        (record,) = [one for one in await house.effects(service, run) if one["effect"]["kind"] == "message"]

    assert run.output["out"] == [message.id, "signed a"]
    assert len(reader.deliveries) == 1
    assert (message.type, message.data, message.key) == ("told@1.0", {"amount": 5}, "k")
    assert message.source == "gatewright/x/front"
    assert (message.run_id, message.decision_id) == (run.id, record["effect"]["key"])
    assert (message.correlation_id, message.causation_id) == (run.case_id, run.id)
    assert message.deadline is not None and message.policy_version.startswith("test@1")
    assert record["detail"]["message"] == {
        "id": message.id,
        "correlation_id": run.case_id,
        "causation_id": run.id,
        "traceparent": message.traceparent,
    }


async def test_publishing_can_be_refused(house: House) -> None:
    house.rules({"id": "silence", "on": {"hook": "message.send", "name": "news"}, "then": "deny"})
    reader = Reader()

    async with house.open("teams:publishing") as service:
        await service.bus.subscribe("news", "readers", reader)
        run = await house.finish(service, JOB)

    assert run.error is not None and run.error.message == "because of silence"
    assert reader.deliveries == []


async def test_a_run_makes_way_while_its_topic_is_full(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.runtime.exchange.PATIENCE", 0.0)
    house.settings(topics={"news": Topic(limit=1)})
    sleeper = Reader()

    async with house.open("teams:publishing", max_attempts=1) as service:
        await (await service.bus.subscribe("news", "sleepers", sleeper)).close()
        await service.bus.publish("news", {"amount": 1})
        run = await service.start_run("x", JOB)
        async with asyncio.timeout(60):
            while (view := await service.run(run.id)).error is None:
                await asyncio.sleep(0.01)
        await service.bus.subscribe("news", "sleepers", sleeper)
        run = await service.wait(run.id, timeout=30)
        recorded = await house.effects(service, run)

    assert view.error.type == "BusyError" and "topic 'news' is full" in view.error.message
    assert run.status == "succeeded"
    assert [delivery.data["amount"] for delivery in sleeper.deliveries] == [1, 5]
    assert [record["outcome"] for record in recorded] == ["ok", "ok"]


async def test_a_payload_that_the_topic_does_not_take_fails_the_step(house: House) -> None:
    house.settings(topics={"news": Topic(schemas={"news@1.0": "gatewright.runtime.views:ThreadView"})})

    async with house.open("teams:publishing") as service:
        run = await house.finish(service, JOB)

    assert run.error is not None and run.error.type == "UsageError"
    assert "'told@1.0' is unknown" in run.error.message
