"""The client over HTTP behaves as the service in process does."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from gatewright.agents.errors import ConflictError, NotFoundError, UnavailableError, UsageError
from gatewright.runtime.api import create_app, presence
from gatewright.runtime.cli.clients import HTTPClient, connect
from gatewright.runtime.config import Config
from gatewright.runtime.operations import Operations
from gatewright.runtime.service import Service
from gatewright.runtime.store import database

SMALL = {"order": "A-17", "amount": 40}
LARGE = {"order": "B-02", "amount": 400}


@pytest.fixture(params=["in process", "over HTTP"])
async def client(request: pytest.FixtureRequest, service: Service) -> AsyncGenerator[Operations]:
    if request.param == "in process":
        yield service
        return
    async with HTTPClient("http://localhost", transport=httpx.ASGITransport(create_app(service))) as client:
        yield client


async def test_a_run_is_started_and_waited_for(client: Operations) -> None:
    run = await client.start_run("clerk", SMALL, metadata={"channel": "mail"})

    ended = await client.wait(run.id)

    assert (ended.status, ended.output["answer"]) == ("succeeded", "40.00 refunded for order A-17")
    assert (await client.run(run.id)).output == ended.output
    assert [found.id for found in await client.runs(status="succeeded", case_id=run.case_id)] == [run.id]


async def test_an_approval_is_found_and_decided(client: Operations) -> None:
    run = await client.wait((await client.start_run("clerk", LARGE)).id)
    (approval,) = await client.approvals(run_id=run.id)

    decided = await client.decide(approval.id, "reject", by="ada", reason="not today")

    assert (decided.state, decided.decision_reason) == ("rejected", "not today")
    assert await client.approvals() == []
    assert [found.id for found in await client.approvals(state=None)] == [approval.id]
    assert (await client.approval(approval.id)).decided_by == "ada"


async def test_a_thread_keeps_its_state(client: Operations) -> None:
    thread = await client.create_thread("clerk", thread_id="case-7", metadata={"a": 1})
    await client.wait((await client.start_run("clerk", SMALL, thread_id=thread.id)).id)

    assert (await client.thread("case-7")).metadata == {"a": 1}
    assert [found.id for found in await client.threads(deployment="clerk")] == ["case-7"]
    assert (await client.thread_state("case-7"))["values"]["order"] == "A-17"


async def test_events_end_with_the_run(client: Operations) -> None:
    run = await client.start_run("clerk", SMALL)

    events = [event async for event in client.events(run.id)]

    assert events[-1].type == "run"
    assert [event.seq for event in events] == sorted(event.seq for event in events)


async def test_records_and_the_ledger_agree(client: Operations) -> None:
    run = await client.wait((await client.start_run("clerk", SMALL)).id)

    records = await client.records(run_id=run.id, kind="effect")

    assert [record.record["effect"]["name"] for record in records] == ["find_order", "refund"]
    assert await client.record(records[0].index) == records[0]
    assert (await client.ledger()).size > records[-1].index
    assert await client.inclusion_proof(records[0].index)
    assert (await client.overview()).runs == {"succeeded": 1}


async def test_a_cancelled_run_can_not_be_resumed(client: Operations) -> None:
    run = await client.wait((await client.start_run("clerk", LARGE)).id)

    await client.cancel(run.id, by="ada", reason="no longer wanted")

    assert (await client.wait(run.id)).status == "cancelled"
    with pytest.raises(ConflictError):
        await client.resume(run.id, by="ada")


async def test_errors_are_of_the_same_class(client: Operations) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        await client.run("nowhere")
    with pytest.raises(NotFoundError, match="nobody"):
        await client.start_run("nobody", {})
    with pytest.raises(UsageError, match="world"):
        await client.conversations("clerk", None)
    await client.create_thread("clerk", thread_id="twice")
    with pytest.raises(ConflictError, match="twice"):
        await client.create_thread("clerk", thread_id="twice")


async def test_waiting_has_a_limit(client: Operations) -> None:
    first = await client.wait((await client.start_run("clerk", LARGE)).id)
    behind = await client.start_run("clerk", SMALL, thread_id=first.thread_id)

    with pytest.raises(TimeoutError):
        await client.wait(behind.id, timeout=0.01)


async def test_a_service_that_does_not_answer_is_told() -> None:
    async with HTTPClient("http://127.0.0.1:1") as client:
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.run("r")


async def test_without_a_running_service_the_data_directory_is_opened(config: Config) -> None:
    async with connect(config, execute=True, create=True) as client:
        assert isinstance(client, Service)
        run = await client.wait((await client.start_run("clerk", SMALL)).id)

    assert run.status == "succeeded"


async def test_a_command_waits_for_another_that_ends_soon(config: Config) -> None:
    config.data_dir.mkdir()
    other = database.of(config.database, config.data_dir)
    other.hold()
    asyncio.get_running_loop().call_later(0.3, other.release)
    async with connect(config, create=True) as client:
        assert isinstance(client, Service)


async def test_a_command_waits_for_a_service_that_is_starting(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config.data_dir.mkdir()
    other = database.of(config.database, config.data_dir)
    other.hold()
    found = iter([None, None, presence.Presence(url="http://127.0.0.1:1", pid=1, instance="other")])

    def find(_folder: Path) -> presence.Presence | None:
        return next(found)

    monkeypatch.setattr(presence, "find", find)
    async with connect(config, create=True) as client:
        assert isinstance(client, HTTPClient)
    other.release()


async def test_a_command_does_not_wait_for_ever(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.runtime.cli.clients.PATIENCE", 0.2)
    config.data_dir.mkdir()
    other = database.of(config.database, config.data_dir)
    other.hold()
    with pytest.raises(database.InUseError, match="in use by process"):
        async with connect(config, create=True):
            pass
    other.release()
