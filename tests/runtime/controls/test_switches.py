"""Pausing deployments and waiving rules, on a service."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents.errors import ConflictError, NotFoundError, UnavailableError, UsageError
from gatewright.runtime.controls.views import ScopeView, WaiverView
from gatewright.runtime.service import Service
from gatewright.runtime.store.writer import Transaction

if TYPE_CHECKING:
    from tests.runtime.conftest import House

JOB = {"numbers": [1, 2]}
SOON = timedelta(hours=1)
TOOL = ScopeView(deployment="x", tool="charge")


async def said(service: Service) -> list[dict[str, Any]]:
    """What the ledger says of pauses and waivers, in order."""
    return [view.record["detail"] for view in await service.records(kind="control")]


async def test_a_run_of_a_paused_deployment_does_not_begin_until_it_is_resumed(house: House) -> None:
    async with house.open("spending:sends") as service:
        await service.pause_deployment("x", by="kim", reason="it books twice")
        run = await service.start_run("x", JOB)
        for _ in range(3):
            await service.check()  # the engine has looked at the queue by now
        assert (await service.run(run.id)).status == "queued"
        assert house.done == []
        await service.resume_deployment("x", by="lee")
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"


async def test_a_pause_survives_a_restart(house: House) -> None:
    async with house.open("spending:sends") as service:
        await service.pause_deployment("x", by="kim", reason="it books twice")
        run = await service.start_run("x", JOB)
    async with house.open("spending:sends") as service:
        (state,) = await service.deployments_state()
        assert state.paused is not None
        assert (state.paused.by, state.paused.reason) == ("kim", "it books twice")
        assert (await service.run(run.id)).status == "queued"
        await service.resume_deployment("x", by="lee")
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"


async def test_every_pause_and_resumption_is_on_record(house: House) -> None:
    async with house.open("spending:sends") as service:
        await service.pause_deployment("x", by="kim", reason="it books twice")
        await service.resume_deployment("x", by="lee")
        assert await said(service) == [
            {"action": "pause", "by": "kim", "reason": "it books twice"},
            {"action": "resume", "by": "lee"},
        ]


async def test_a_deployment_is_paused_once_and_resumed_once(house: House) -> None:
    async with house.open("spending:sends") as service:
        with pytest.raises(ConflictError, match="'x' is not paused"):
            await service.resume_deployment("x", by="kim")
        await service.pause_deployment("x", by="kim", reason="r")
        with pytest.raises(ConflictError, match="'x' has been paused by 'kim' already"):
            await service.pause_deployment("x", by="lee", reason="r")
        assert len(await said(service)) == 1


async def test_what_is_not_there_cannot_be_paused_and_a_pause_needs_a_reason(house: House) -> None:
    async with house.open("spending:sends") as service:
        with pytest.raises(NotFoundError, match="there is no deployment 'y'"):
            await service.pause_deployment("y", by="kim", reason="r")
        with pytest.raises(NotFoundError, match="there is no deployment 'y'"):
            await service.resume_deployment("y", by="kim")
        with pytest.raises(UsageError, match="say why"):
            await service.pause_deployment("x", by="kim", reason=" ")


async def test_a_paused_deployment_that_is_not_configured_any_more_is_shown_and_can_be_resumed(house: House) -> None:
    async with house.open("spending:sends") as service:
        await service.pause_deployment("x", by="kim", reason="r")
    config = house.config("spending:sends")
    other = config.model_copy(update={"deployments": {"y": config.deployments["x"]}})
    async with await Service.open(other) as service:
        assert [
            (view.name, view.configured, view.paused is not None) for view in await service.deployments_state()
        ] == [
            ("x", False, True),
            ("y", True, False),
        ]
        await service.resume_deployment("x", by="kim")
        assert [view.name for view in await service.deployments_state()] == ["y"]


async def test_a_pause_that_cannot_be_stored_is_undone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.open("spending:sends") as service:

        def full(transaction: Transaction, *_: Any, **__: Any) -> None:
            raise UnavailableError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr("gatewright.runtime.controls.storage.pause", full)
            with pytest.raises(UnavailableError):
                await service.pause_deployment("x", by="kim", reason="r")
        (state,) = await service.deployments_state()
        assert state.paused is None
        assert (await house.finish(service, JOB)).status == "succeeded"


async def test_a_pause_holds_although_nobody_waits_for_it_any_more(house: House) -> None:
    async with house.open("spending:sends") as service:
        asked = asyncio.create_task(service.pause_deployment("x", by="kim", reason="r"))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await service.check()
        (state,) = await service.deployments_state()
        assert state.paused is not None
        assert len(await said(service)) == 1


async def waive(service: Service, **more: Any) -> WaiverView:
    given: dict[str, Any] = {
        "scope": TOOL,
        "until": datetime.now(UTC) + SOON,
        "by": "kim",
        "reason": "the customer is at the counter",
    }
    return await service.waive("large", **(given | more))


async def test_a_waiver_is_kept_and_shown_and_on_record(house: House) -> None:
    async with house.open("spending:sends") as service:
        made = await waive(service)
        assert (made.state, made.rule_id, made.scope, made.by) == ("active", "large", TOOL, "kim")
        assert await service.waivers() == [made]
        (record,) = await said(service)
        assert record == {
            "action": "waive",
            "waiver": made.id,
            "rule": "large",
            "scope": {"deployment": "x", "tool": "charge"},
            "by": "kim",
            "reason": "the customer is at the counter",
            "until": made.until.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }


async def test_a_revoked_waiver_is_over_and_on_record(house: House) -> None:
    async with house.open("spending:sends") as service:
        made = await waive(service)
        gone = await service.revoke_waiver(made.id, by="lee")
        assert (gone.state, gone.revoked_by) == ("revoked", "lee")
        assert await service.waivers() == []
        assert await service.waivers(every=True) == [gone]
        assert (await said(service))[-1] == {"action": "revoke", "waiver": made.id, "rule": "large", "by": "lee"}
        with pytest.raises(ConflictError, match="is over already"):
            await service.revoke_waiver(made.id, by="lee")
        with pytest.raises(NotFoundError, match="no waiver 'waiver-none'"):
            await service.revoke_waiver("waiver-none", by="lee")


async def test_the_chain_is_shown_what_holds_for_its_deployment_also_after_a_restart(house: House) -> None:
    async with house.open("spending:sends") as service:
        everywhere = await waive(service, scope=ScopeView(tool="charge"))
        here = await waive(service)
        elsewhere = await waive(service, scope=ScopeView(deployment="y"))
        gone = await waive(service)
        await service.revoke_waiver(gone.id, by="kim")
        assert held(service, "x") == [everywhere.id, here.id]
        assert held(service, "y") == [everywhere.id, elsewhere.id]
    async with house.open("spending:sends") as service:
        assert held(service, "x") == [everywhere.id, here.id]


def held(service: Service, deployment: str) -> list[str]:
    controls = service._controls  # pyright: ignore[reportPrivateUsage]  # what the chain asks
    return [waiver.id for waiver in controls.waivers(deployment)]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"reason": " "}, "no 'reason'"),
        ({"scope": ScopeView()}, "is for everything"),
        ({"until": datetime(2100, 1, 1)}, "add a time zone"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "which is over; name a time ahead"),
    ],
)
async def test_a_waiver_says_what_who_why_and_until_when(house: House, given: dict[str, Any], why: str) -> None:
    async with house.open("spending:sends") as service:
        with pytest.raises(UsageError, match=why):
            await waive(service, **given)
        assert await said(service) == []
