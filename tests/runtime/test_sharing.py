"""What processes that share a PostgreSQL database see of each other: here each is a service of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from gatewright.runtime import feed
from gatewright.runtime.service import Service
from gatewright.runtime.store.writer import Transaction
from gatewright.runtime.views import Event

House = Any  # of the conftest beside this file


class Pair(NamedTuple):
    """A process that serves and executes nothing, and one that executes."""

    serve: Service
    worker: Service


@asynccontextmanager
async def pair(house: House, url: str, graph: str, **worker: Any) -> AsyncGenerator[Pair]:
    house.settings(database=url)
    config = house.config(graph, **worker)
    async with (
        await Service.open(config, execute=False) as serve,
        await Service.open(config, kind="worker") as other,
    ):
        yield Pair(serve, other)


async def watched(service: Service, run_id: str, after: int = -1) -> list[Event]:
    async with asyncio.timeout(60):
        return [event async for event in service.events(run_id, after=after)]


async def test_a_run_that_another_process_executes_is_waited_for(house: House, database_url: str) -> None:
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await serve.start_run("x", {"amount": 1})
        ended = await serve.wait(run.id, timeout=60)
        assert (ended.status, house.done) == ("succeeded", [["pay", 1]])
        assert await worker.wait(run.id, timeout=60) == ended


async def test_it_is_executed_and_told_without_anybody_looking_again(
    house: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.runtime.engine.POLL", 3600.0)
    monkeypatch.setattr("gatewright.runtime.service.HEARTBEAT", 3600.0)
    async with pair(house, database_url, "gates:paying") as (serve, _worker):
        for amount in (1, 2, 3):
            run = await serve.start_run("x", {"amount": amount})
            assert (await serve.wait(run.id, timeout=60)).status == "succeeded"


async def test_every_process_tells_the_same_events_under_the_same_numbers(house: House, database_url: str) -> None:
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await serve.start_run("x", {"amount": 1})
        live = await watched(serve, run.id)
        later = await watched(worker, run.id)
        assert later == live
        assert [event.type for event in live] == ["run", "effect", "update", "run"]
        assert live[-1].data["run"].output is not None
        seen = [event.seq for event in live]
        assert seen == sorted(set(seen))
        assert await watched(worker, run.id, after=seen[1]) == live[2:]


async def test_a_watcher_who_comes_before_the_events_of_a_run_that_has_ended_gets_them(
    house: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, write = threading.Event(), feed.Feed._store  # pyright: ignore[reportPrivateUsage]

    def store(told: feed.Feed, transaction: Transaction) -> Any:
        return write(told, transaction) if held.is_set() else []

    monkeypatch.setattr(feed.Feed, "_store", store)
    async with pair(house, database_url, "gates:paying") as (serve, _worker):
        run = await serve.start_run("x", {"amount": 1})
        assert (await serve.wait(run.id, timeout=60)).status == "succeeded"
        watching = asyncio.create_task(watched(serve, run.id))
        asyncio.get_running_loop().call_later(0.2, held.set)
        assert [event.type for event in await watching] == ["run", "effect", "update", "run"]


async def test_a_watcher_goes_on_in_another_process_where_it_was(house: House, database_url: str) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"})
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await serve.start_run("x", {"amount": 1})
        first: list[Event] = []
        async for event in serve.events(run.id):
            first.append(event)
            if event.type == "run" and event.data["run"].status == "waiting":
                break
        (request,) = await serve.approvals(run_id=run.id)
        await serve.decide(request.id, "approve", by="kim")
        rest = await watched(worker, run.id, after=first[-1].seq)
        assert [event.data.get("state") for event in [*first, *rest] if event.type == "approval"] == [
            "open",
            "approved",
        ]
        assert rest[-1].data["run"].status == "succeeded"
        assert await watched(serve, run.id) == [*first, *rest]


async def test_who_waits_learns_of_a_decision_made_elsewhere(house: House, database_url: str) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"})
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await serve.start_run("x", {"amount": 1})
        assert (await serve.wait(run.id, timeout=60)).status == "waiting"
        (request,) = await worker.approvals(run_id=run.id)
        await worker.decide(request.id, "reject", by="kim", reason="no")
        assert (await serve.wait(run.id, timeout=60)).status == "failed"


async def test_a_run_that_is_resumed_elsewhere_is_not_taken_for_ended(house: House, database_url: str) -> None:
    house.rules({"id": "no", "on": {"hook": "tool.before", "name": "pay"}, "then": "deny"})
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await worker.start_run("x", {"amount": 1})
        assert (await worker.wait(run.id, timeout=60)).status == "failed"
        await worker.pause_deployment("x", by="kim", reason="r")
        await serve.resume(run.id, by="kim")
        with pytest.raises(TimeoutError):
            await worker.wait(run.id, timeout=0.1)


async def test_a_cancelled_run_is_stopped_where_it_is_executed(house: House, database_url: str) -> None:
    async with pair(house, database_url, "spending:sends") as (serve, worker):
        run = await serve.start_run("x", {"numbers": [0, 1]})
        sending = house.log.with_name("sending")
        async with asyncio.timeout(60):
            while not sending.exists():
                await asyncio.sleep(0.01)
            await serve.cancel(run.id, by="kim")
            while worker._engine.executes(run.id):  # pyright: ignore[reportPrivateUsage]
                await asyncio.sleep(0.01)
        house.log.with_name("go").touch()
        assert (await worker.wait(run.id, timeout=60)).status == "cancelled"
        assert house.done == []


async def test_what_one_process_is_full_of_another_takes(
    house: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.runtime.engine.POLL", 3600.0)
    house.settings(database=database_url)
    config = house.config("spending:sends", concurrency=1)
    async with await Service.open(config) as one, await Service.open(config) as other:
        blocked = await one.start_run("x", {"numbers": [0]})
        second = await one.start_run("x", {"numbers": [1]})
        assert (await one.wait(second.id, timeout=60)).status == "succeeded"
        house.log.with_name("go").touch()
        assert (await other.wait(blocked.id, timeout=60)).status == "succeeded"


async def test_large_events_are_left_out_and_the_others_told(
    house: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.runtime.feed.LARGEST", 5)
    async with pair(house, database_url, "gates:paying") as (serve, _worker):
        run = await serve.start_run("x", {"amount": 1})
        live = await watched(serve, run.id)
        assert [list(event.data) for event in live] == [["run"], ["omitted"], ["omitted"], ["run"]]


async def test_a_pause_holds_in_every_process(house: House, database_url: str) -> None:
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        await serve.pause_deployment("x", by="kim", reason="it pays twice")
        run = await worker.start_run("x", {"amount": 1})
        async with asyncio.timeout(60):
            while (await worker.deployments_state())[0].paused is None:
                await asyncio.sleep(0.01)
        assert (await worker.run(run.id)).status == "queued"
        await serve.resume_deployment("x", by="kim")
        assert (await serve.wait(run.id, timeout=60)).status == "succeeded"


async def test_what_a_process_tells_that_was_found_lost_reaches_nobody(house: House, database_url: str) -> None:
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await serve.start_run("x", {"amount": 1})
        before = await watched(serve, run.id)
        who = worker._membership.who.id  # pyright: ignore[reportPrivateUsage]
        lost = sa.text("UPDATE worker SET state = :state WHERE id = :of")
        for state, told in (("lost", 0), ("alive", 1)):
            await serve._write(lambda tx, state=state: tx.run(lost, state=state, of=who))  # type: ignore[misc]  # pyright: ignore[reportPrivateUsage]
            worker._hub.publish(run.id, "update", {"late": True})  # pyright: ignore[reportPrivateUsage]
            await worker._write(lambda tx: None)  # pyright: ignore[reportPrivateUsage]  # behind it
            after = await serve._hub.changed(run.id, before[-1].seq, timeout=0.0)  # pyright: ignore[reportPrivateUsage]
            assert len(after) == told


async def test_a_process_that_was_found_lost_forgets_what_it_knew_of_runs(house: House, database_url: str) -> None:
    async with pair(house, database_url, "gates:paying") as (serve, worker):
        run = await serve.start_run("x", {"amount": 1})
        await worker.wait(run.id, timeout=60)
        hub = worker._hub  # pyright: ignore[reportPrivateUsage]
        assert hub.newest_run(run.id) is not None
        worker._expelled(worker._membership.who)  # pyright: ignore[reportPrivateUsage]
        assert hub.newest_run(run.id) is None
        assert (await worker.wait(run.id, timeout=60)).status == "succeeded"


async def test_events_are_dropped_after_a_while_and_a_watcher_then_gets_the_state(
    house: House, database_url: str
) -> None:
    async with pair(house, database_url, "gates:paying") as (serve, _worker):
        run = await serve.start_run("x", {"amount": 1})
        before = await watched(serve, run.id)
        old = sa.text("UPDATE feed SET seq = seq - :age").bindparams(age=feed.KEPT * 1_000_000)
        await serve._write(lambda tx: tx.run(old))  # pyright: ignore[reportPrivateUsage]
        await serve._write(feed.prune)  # pyright: ignore[reportPrivateUsage]
        (state,) = await watched(serve, run.id, after=before[-1].seq)
        assert (state.seq, state.data["run"].status) == (0, "succeeded")
