"""Budgets, breakers, pauses and waivers in real runs: what is refused, what goes on, and what the ledger says of it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage

from gatewright.runtime import models
from gatewright.runtime.config import Price
from gatewright.runtime.controls.views import ScopeView
from gatewright.runtime.service import Service
from gatewright.runtime.store.sqlite import FILE

if TYPE_CHECKING:
    from tests.runtime.conftest import House

HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: test\nversion: 1\n"
_fork = multiprocessing.get_context("fork")


def limit(house: House, *budgets: str, more: str = "") -> None:
    """Put these budgets in force when the service is opened next."""
    text = f"{HEAD}tools: {{send: {{labels: [idempotent]}}}}\n{more}"
    if budgets:
        text += "budgets:\n" + "".join(f"  - {{{budget}}}\n" for budget in budgets)
    (house.folder / "rules.yaml").write_text(text, "utf-8")


def stored(house: House) -> dict[str, int]:
    """What is used, by budget."""
    with closing(sqlite3.connect(house.folder / "data" / FILE)) as connection:
        return dict(connection.execute("SELECT budget, sum(used) FROM meter GROUP BY budget").fetchall())


def recorded(effects: list[dict[str, Any]]) -> dict[str, int]:
    """What the ledger says was taken: calls and milliseconds of what was performed."""
    performed = [effect for effect in effects if effect["duration_ms"] is not None]
    return {"calls": len(performed), "seconds": sum(effect["duration_ms"] for effect in performed)}


CALLS = "id: c, of: calls, limit: 2, per: run"


class TestBudgets:
    async def test_the_call_beyond_the_limit_is_denied_and_the_agent_is_told_why(self, house: House) -> None:
        limit(house, f"{CALLS}, then: deny")
        async with house.open("spending:sends") as service:
            run = await house.finish(service, {"numbers": [1, 2, 3]})
            effects = await house.effects(service, run)
        assert house.done == [["send", 1], ["send", 2]]
        assert run.output["out"][2].startswith("refused: budget 'c': 2 of 2 calls are used by this run")
        assert [effect["outcome"] for effect in effects] == ["ok", "ok", "denied"]
        (hit,) = effects[2]["guard"]["before"]["rules"]
        assert (hit["id"], hit["verdict"]) == ("budget:c", "deny")
        assert stored(house) == {"c:calls:run:": 2}

    async def test_side_by_side_no_more_calls_are_made_than_the_limit(self, house: House) -> None:
        limit(house, "id: c, of: calls, limit: 3, per: run, then: deny")
        async with house.open("spending:sends_at_once") as service:
            run = await house.finish(service, {"numbers": list(range(1, 9))})
        assert len(house.done) == 3
        assert sum(said.startswith("refused") for said in run.output["out"]) == 5

    async def test_a_budget_can_end_the_run(self, house: House) -> None:
        limit(house, f"{CALLS}, then: terminate")
        async with house.open("spending:sends") as service:
            run = await house.finish(service, {"numbers": [1, 2, 3, 4]})
        assert (run.status, run.error is not None and run.error.type) == ("failed", "TerminatedError")
        assert house.done == [["send", 1], ["send", 2]]

    async def test_people_let_one_call_pass_and_are_asked_for_the_next(self, house: House) -> None:
        limit(house, "id: c, of: calls, limit: 1, per: run, then: ask")
        async with house.open("spending:sends") as service:
            run = await house.finish(service, {"numbers": [1, 2, 3]})
            (request,) = await house.waiting(service, run)
            assert request.rules == ["budget:c"]
            assert "1 of 1 calls are used by this run" in request.reason
            run = await house.decide(service, run, "approve")
            run = await house.decide(service, run, "reject")
        assert house.done == [["send", 1], ["send", 2]]
        assert run.status == "succeeded"
        assert stored(house) == {"c:calls:run:": 2}

    async def test_a_call_that_a_rule_refuses_takes_nothing(self, house: House) -> None:
        rule = (
            "rules: [{id: r, on: {hook: tool.before, name: send}, then: deny, reason: no, examples: {match: [{}]}}]\n"
        )
        limit(house, f"{CALLS}, then: deny", more=rule)
        async with house.open("spending:sends") as service:
            await house.finish(service, {"numbers": [1, 2, 3]})
        assert house.done == []
        assert stored(house) == {}

    async def test_tokens_are_counted_as_the_model_says(self, house: House) -> None:
        limit(house, "id: t, of: tokens, limit: 1150, per: run, then: deny")
        async with house.open("spending:thinks") as service:
            run = await house.finish(service, {"words": ["much", "little", "little"]})
        assert [said.partition(":")[0] for said in run.output["out"]] == ["well", "refused", "refused"]
        assert stored(house) == {"t:tokens:run:": 1000}

    async def test_money_is_counted_by_the_price_and_is_on_record(self, house: House) -> None:
        limit(house, "id: m, of: money, limit: 0.0003, per: run, then: deny")
        config = house.config("spending:thinks").model_copy(
            update={"prices": {"counting": Price.model_validate({"input": 1, "output": 2})}}
        )
        async with await Service.open(config) as service:
            run = await house.finish(service, {"words": ["little", "little", "little"]})
            effects = await house.effects(service, run)
        assert [said.partition(":")[0] for said in run.output["out"]] == ["well", "well", "refused"]
        assert [(effect["usage"] or {}).get("cost_microusd") for effect in effects] == [110, 110, None]
        assert stored(house) == {"m:money:run:": 220}

    async def test_a_model_without_a_price_is_not_asked(self, house: House) -> None:
        limit(house, "id: m, of: money, limit: 50, per: run, then: ask")
        async with house.open("spending:thinks") as service:
            run = await house.finish(service, {"words": ["little"]})
        assert house.done == []
        assert "nobody knows what model 'counting' costs" in run.output["out"][0]

    async def test_a_model_call_goes_on_with_the_other_model(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = FakeMessagesListChatModel(responses=[AIMessage("said in short")])
        monkeypatch.setattr(models, "substitute", {"any:small": small}.__getitem__)
        limit(house, "id: c, of: calls, limit: 1, per: run, on: {kinds: model}, then: {degrade: 'any:small'}")
        async with house.open("spending:thinks") as service:
            run = await house.finish(service, {"words": ["little", "little"]})
            effects = await house.effects(service, run)
        assert run.output["out"] == ["well", "said in short"]
        assert house.done == [["model", "counting"]]
        (hit,) = effects[1]["guard"]["before"]["rules"]
        assert (hit["id"], hit["verdict"]) == ("budget:c", "modify")
        assert hit["reason"].endswith("it goes on with 'any:small'")
        assert stored(house) == {"c:calls:run:": 2}

    async def test_budgets_go_on_where_they_were_after_a_restart(self, house: House) -> None:
        limit(house, "id: c, of: calls, limit: 3, per: agent, within: 1h, then: deny")
        for expected in (2, 3):
            async with house.open("spending:sends") as service:
                await house.finish(service, {"numbers": [1, 2]})
            assert len(house.done) == expected

    def test_after_sigkill_the_counters_say_what_the_ledger_says(self, house: House) -> None:
        limit(
            house,
            "id: c, of: calls, limit: 100000, per: deployment, within: 1d, then: deny",
            "id: s, of: seconds, limit: 100000, per: thread, then: deny",
        )

        async def work() -> None:
            async with house.open("spending:sends_at_once") as service:
                runs = [await service.start_run("x", {"numbers": list(range(1, 21))}) for _ in range(10)]
                await asyncio.gather(*(service.wait(run.id) for run in runs))

        for killed_after in (30, 90, 150):
            process = _fork.Process(target=lambda: asyncio.run(work()))
            process.start()
            assert process.pid is not None
            deadline = time.monotonic() + 60
            while len(house.done) < killed_after and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
            process.join()

        async def finish() -> list[dict[str, Any]]:
            async with house.open("spending:sends_at_once") as service:
                for run in await service.runs(limit=1000):
                    assert (await service.wait(run.id, timeout=60)).status == "succeeded"
                return [view.record for view in await service.records(kind="effect", limit=1000)]

        said = recorded(asyncio.run(finish()))
        assert 0 < said["calls"] <= len(house.done), "what was under way when a process died was done again"
        assert stored(house) == {"c:calls:deployment:86400": said["calls"], "s:seconds:thread:": said["seconds"]}

    async def test_whoever_is_to_be_told_is_told_once_that_a_budget_is_used_up(self, house: House) -> None:
        limit(house, f"{CALLS}, then: deny")
        webhook = {"name": "desk", "kind": "webhook", "to": "http://127.0.0.1:9/x", "secret": f"whsec_{'c2VjcmV0' * 4}"}
        house.settings(notices=[{**webhook, "events": ["budget.hit"]}])
        async with house.open("spending:sends") as service:
            await house.finish(service, {"numbers": [1, 2, 3, 4]})
            await service.check()  # behind all that was written
            notices = await service.notices(state=None)

        assert [notice.event for notice in notices] == ["budget.hit"]


class TestBreakers:
    async def test_what_keeps_failing_is_left_alone_and_tried_again(self, house: House) -> None:
        breaker = "breakers:\n  - {id: b, on: {names: charge}, failures: 2, within: 60s, rest: 2s, then: deny}\n"
        limit(house, more=breaker)
        (house.folder / "down").touch()
        async with house.open("spending:charges") as service:
            run = await house.finish(service, {"numbers": [1, 2, 3]})
            assert house.done == [["charge", 1], ["charge", 2]]
            assert run.output["out"][2].startswith("refused: breaker 'b': open after 2 failures within 1m")
            (house.folder / "down").unlink()
            await asyncio.sleep(2.0)  # the rest is real time
            run = await house.finish(service, {"numbers": [4, 5]})
        assert run.output["out"] == ["charged 4", "charged 5"]


class TestPauses:
    async def test_the_call_being_made_ends_and_no_further_one_is_made_until_it_is_resumed(self, house: House) -> None:
        async with house.open("spending:sends") as service:
            run = await service.start_run("x", {"numbers": [0, 1, 2]})
            while not (house.folder / "sending").exists():
                await asyncio.sleep(0.005)
            await service.pause_deployment("x", by="kim", reason="it sends too much")
            (house.folder / "go").touch()
            waiting = await service.wait(run.id, timeout=30)
            assert (waiting.status, waiting.waiting_for) == ("waiting", ["pause:x"])
            assert house.done == [["send", 0]]
            await service.resume_deployment("x", by="kim")
            ended = await service.wait(run.id, timeout=30)
        assert ended.output["out"] == ["sent 0", "sent 1", "sent 2"]
        assert house.done == [["send", 0], ["send", 1], ["send", 2]]

    async def test_what_people_approve_meanwhile_is_done_when_it_is_resumed(self, house: House) -> None:
        limit(house, "id: c, of: calls, limit: 1, per: run, then: ask")
        async with house.open("spending:sends") as service:
            run = await house.finish(service, {"numbers": [1, 2]})
            await service.pause_deployment("x", by="kim", reason="it sends too much")
            (request,) = await service.approvals(run_id=run.id)
            await service.decide(request.id, "approve", by="kim")
            for _ in range(3):
                await service.check()
            assert house.done == [["send", 1]]
            await service.resume_deployment("x", by="kim")
            await service.wait(run.id, timeout=30)
        assert house.done == [["send", 1], ["send", 2]]

    async def test_a_run_that_waits_for_its_deployment_does_so_after_a_restart(self, house: House) -> None:
        async with house.open("spending:sends") as service:
            run = await service.start_run("x", {"numbers": [0, 1]})
            while not (house.folder / "sending").exists():
                await asyncio.sleep(0.005)
            await service.pause_deployment("x", by="kim", reason="it sends too much")
            (house.folder / "go").touch()
            await service.wait(run.id, timeout=30)
        async with house.open("spending:sends") as service:
            assert (await service.run(run.id)).waiting_for == ["pause:x"]
            await service.resume_deployment("x", by="kim")
            ended = await service.wait(run.id, timeout=30)
        assert ended.output["out"] == ["sent 0", "sent 1"]
        assert house.counts == {"send:0": 1, "send:1": 1}


RULE = {
    "id": "no-mail",
    "on": {"hook": "tool.before", "name": "send"},
    "when": "args.number > 1",
    "then": "deny",
    "reason": "no mail",
    "examples": {"match": [{"args": {"number": 2}}], "pass": [{"args": {"number": 1}}]},
}


class TestWaivers:
    async def test_a_waived_rule_does_not_count_until_the_waiver_is_revoked(self, house: House) -> None:
        house.rules(RULE)
        until = datetime.now(UTC) + timedelta(hours=1)
        async with house.open("spending:sends") as service:
            await house.finish(service, {"numbers": [2]})
            assert house.done == []
            scope = ScopeView(deployment="x", tool="send")
            made = await service.waive("no-mail", scope=scope, until=until, by="kim", reason="r")
            run = await house.finish(service, {"numbers": [2]})
            assert house.done == [["send", 2]]
            assert made.id in json.dumps((await house.effects(service, run))[0])
            await service.revoke_waiver(made.id, by="kim")
            await house.finish(service, {"numbers": [2]})
        assert house.done == [["send", 2]]


@pytest.mark.parametrize("graph", ["spending:sends", "spending:thinks"])
async def test_without_limits_nothing_is_metered(house: House, graph: str) -> None:
    async with house.open(graph) as service:
        await house.finish(service, {"numbers": [1], "words": ["little"]})
    assert stored(house) == {}
