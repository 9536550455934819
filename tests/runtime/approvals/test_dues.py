"""What came due: after down-time, each thing once and in order; and what the agent is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gatewright.runtime import clock
from gatewright.runtime.approvals import dues
from gatewright.runtime.service import Service
from gatewright.runtime.views import ApprovalView, RunView
from gatewright.safety.approvals.ballots import Voter

House = Any  # of the conftest above, which cannot be imported
HOUR = 3600 * clock.MICROSECONDS


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets hours pass, as the service's clock tells them."""
    passed = 0
    real = clock.Clock.now

    def now(self: clock.Clock) -> int:
        return real(self) + passed

    def let_pass(hours: float) -> None:
        nonlocal passed
        passed += int(hours * HOUR)

    monkeypatch.setattr(clock.Clock, "now", now)
    return let_pass


def rules(house: House, **approval: Any) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask", "approval": approval})


async def begin(house: House, service: Service) -> tuple[RunView, ApprovalView]:
    run = await house.finish(service, {"messages": []})
    return run, (await house.waiting(service, run))[0]


async def look(service: Service) -> list[dues.Moved]:
    """What the engine does now and then."""
    future = service._writer.submit(lambda tx: dues.happen(tx, now=service._clock.now()))  # pyright: ignore[reportPrivateUsage]
    moved = await asyncio.wrap_future(future)
    service._wake()  # pyright: ignore[reportPrivateUsage]
    return moved


async def told(service: Service, request_id: str) -> list[tuple[str, list[str]]]:
    """What the ledger says of a request since it opened, in order: what happened, and who was called."""
    found = await service.records(kind="approval", limit=1000)
    return [
        (view.record["detail"]["event"], view.record["detail"].get("to", []))
        for view in found
        if view.record["approval"]["id"] == request_id and view.record["detail"]["event"] != "opened"
    ]


async def test_what_came_due_while_no_process_ran_happens_once_and_in_order(house: House, later: Any) -> None:
    rules(
        house,
        roles=["ops"],
        expires="8h",
        reminders=["1h", "3h"],
        escalation=[{"to": "role:lead", "after": "2h"}],
        repeat=1,
    )
    async with house.open("gates:calls") as service:
        run, approval = await begin(house, service)
    later(30)
    async with house.open("gates:calls") as service:
        await look(service)  # whichever look is first: the engine's own, or this one
        run = await service.wait(run.id, timeout=30)

        assert await told(service, approval.id) == [
            ("reminder", ["role:ops"]),
            ("escalation", ["role:lead"]),
            ("reminder", ["role:lead", "role:ops"]),
            ("escalation", ["role:lead"]),
            ("expiry", []),
        ]
        assert await look(service) == []
        assert (await service.approval(approval.id)).state == "expired"
        texts = [message["content"] for message in run.output["messages"] if message["type"] == "tool"]
        assert all("nobody decided in time (this is not a refusal)" in text for text in texts)
        assert house.done == []


async def test_a_vote_counts_after_what_came_due_before_it(house: House, later: Any) -> None:
    rules(house, roles=["ops"], escalation=[{"to": "role:lead", "after": "2h"}])
    async with house.open("gates:calls", lease=600) as service:
        _run, approval = await begin(house, service)
        later(2)
        lead = Voter(name="lea", roles=frozenset({"lead"}), authenticated=True)

        assert (await service.decide(approval.id, "approve", voter=lead)).called == ["role:lead"]
        assert await told(service, approval.id) == [("escalation", ["role:lead"]), ("vote", [])]


async def test_whom_an_escalation_calls_finds_the_request(house: House, later: Any) -> None:
    rules(house, roles=["ops"], escalation=[{"to": "role:lead", "after": "2h"}, {"to": "name:ada", "after": "3h"}])
    async with house.open("gates:calls") as service:
        _run, approval = await begin(house, service)
        lead, ada = (Voter(name="lea", roles=frozenset({"lead"})), Voter(name="ada"))
        assert await service.approvals(voter=lead) == await service.approvals(voter=ada) == []
        later(3)
        await look(service)

        assert approval.id in [view.id for view in await service.approvals(voter=lead)]
        assert approval.id in [view.id for view in await service.approvals(voter=ada)]


@pytest.mark.parametrize(
    ("end", "state", "done"), [("approve", "consumed", 2), ("hold", "open", 0), ("reject", "expired", 0)]
)
async def test_silence_ends_as_the_terms_say(house: House, later: Any, end: str, state: str, done: int) -> None:
    rules(house, expires="1h", on_expiry=end)
    async with house.open("gates:calls") as service:
        run, approval = await begin(house, service)
        later(1)
        await look(service)
        await service.wait(run.id, timeout=30)
        view = await service.approval(approval.id)

        assert (view.state, view.overdue, len(house.done)) == (state, end == "hold", done)


async def test_what_silence_approved_says_so_on_the_record(house: House, later: Any) -> None:
    rules(house, expires="1h", on_expiry="approve")
    async with house.open("gates:calls") as service:
        run, approval = await begin(house, service)
        later(1)
        await look(service)
        await service.wait(run.id, timeout=30)

        approved = [effect["approval"] for effect in await house.effects(service) if effect["effect"]["name"] == "pay"]
        assert {(part["verdict"], part["by"], part["reason"]) for part in approved} == {
            ("approve", "", "nobody decided in time, and the terms approve then")
        }
        assert approval.id in [part["id"] for part in approved]
