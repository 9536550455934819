"""What becomes of runs, whatever their agents, people, disks and clocks do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests import needs

from gatewright.agents.errors import ConflictError, UnavailableError
from gatewright.runtime import claims
from gatewright.runtime.service import Service
from gatewright.runtime.views import RunView

ODD = "../crash_graphs/odd"


def gate(house: Any, name: str) -> None:
    """Open a gate that agents look at."""
    Path(f"{house.log}.{name}").touch()


async def finish(service: Service, given: Any, **settings: Any) -> RunView:
    run = await service.start_run("x", given, **settings)
    return await service.wait(run.id, timeout=30)


async def begun(house: Any, count: int = 1) -> None:
    """Wait until so many things have happened to the world."""
    async with asyncio.timeout(60):
        while len(house.done) < count:
            await asyncio.sleep(0.005)


def wake() -> None:
    """Let the threads go that hang."""
    odd: Any = next(module for name, module in sys.modules.items() if name.startswith("gatewright_agents_odd"))
    odd.LEAVE.set()
    odd.LEAVE = threading.Event()


def ask_for_every_payment(house: Any, **approval: Any) -> None:
    more = {"approval": approval} if approval else {}
    house.rules({"id": "look", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask", **more})


# agents that misbehave


async def test_an_agent_that_raises_fails_its_run_with_the_error_and_keeps_what_was_done(house: Any) -> None:
    async with house.open(f"{ODD}:raises") as service:
        run = await finish(service, {"amount": 1})
        assert (run.status, run.attempt) == ("failed", 1)
        assert run.error is not None
        assert (run.error.type, run.error.message) == ("ValueError", "the agent is wrong")
        assert house.done == [["pay", 1]]


async def test_a_resumed_run_goes_on_where_it_failed_and_repeats_nothing(house: Any) -> None:
    async with house.open(f"{ODD}:mendable") as service:
        run = await finish(service, {"amount": 1})
        assert run.status == "failed"
        gate(house, "mended")
        await service.resume(run.id, by="me")
        run = await service.wait(run.id, timeout=30)
        assert (run.status, run.output["done"]) == ("succeeded", ["paid 1", "mended"])
        assert house.done == [["pay", 1]]


async def test_a_run_that_fails_for_a_while_is_tried_again_and_repeats_nothing(house: Any) -> None:
    async with house.open(f"{ODD}:flaky", max_attempts=3) as service:
        run = await finish(service, {"amount": 1})
        assert (run.status, run.attempt, run.output["done"]) == ("succeeded", 3, ["paid 1", "in the end"])
        assert house.done == [["pay", 1]]


async def test_a_run_is_tried_as_often_as_is_configured(house: Any) -> None:
    async with house.open(f"{ODD}:flaky", max_attempts=2) as service:
        run = await finish(service, {"amount": 1})
        assert (run.status, run.attempt) == ("failed", 2)


@pytest.mark.parametrize("graph", ["hangs", "hangs_in_a_thread"])
async def test_a_run_that_hangs_fails_when_its_time_is_over(house: Any, graph: str) -> None:
    async with house.open(f"{ODD}:{graph}", run_timeout=0.3) as service:
        run = await finish(service, {"amount": 1})
        assert run.error is not None
        assert (run.status, run.error.type) == ("failed", "RunTimeoutError")
        assert "run_timeout" in run.error.message
        wake()


async def test_a_run_that_never_stops_acting_is_stopped_at_the_limit(house: Any) -> None:
    async with house.open(f"{ODD}:pays_for_ever", max_effects=5) as service:
        run = await finish(service, {"amount": 1})
        assert run.error is not None
        assert (run.status, run.error.type) == ("failed", "LimitError")
        assert "max_effects" in run.error.message
        assert len(house.done) == 5


async def test_a_run_that_never_stops_stepping_is_stopped_at_the_limit(house: Any) -> None:
    async with house.open(f"{ODD}:loops", recursion_limit=5) as service:
        run = await finish(service, {"amount": 1})
        assert run.error is not None
        assert (run.status, run.error.type, len(house.done)) == ("failed", "GraphRecursionError", 5)


@pytest.mark.parametrize("graph", ["unserialisable", "unrecordable"])
async def test_what_cannot_be_kept_fails_its_run_and_nothing_else(house: Any, graph: str) -> None:
    async with house.open(f"{ODD}:{graph}") as service:
        run = await finish(service, {"amount": 1})
        assert run.status == "failed"
        assert run.error is not None
        assert "lock" in run.error.message
        assert (await service.overview()).runs == {"failed": 1}


async def test_a_run_that_kills_its_process_is_named_and_given_up_in_the_end(
    house: Any, caplog: pytest.LogCaptureFixture
) -> None:
    script = (
        "import asyncio, os, pickle, sys; from gatewright.runtime.service import Service\n"
        "async def main():\n"
        "    async with await Service.open(pickle.loads(sys.stdin.buffer.read())) as service:\n"
        "        run = await service.start_run('x', {'amount': 1}, run_id='r', thread_id='t')\n"
        "        await service.wait(run.id)\n"
        "asyncio.run(main())"
    )
    import pickle

    settings = pickle.dumps(house.config(f"{ODD}:dies"))
    ended = subprocess.run([sys.executable, "-c", script], input=settings, timeout=60, check=False)
    assert ended.returncode == 7
    assert house.query("SELECT status, crashes FROM run") == [("running", 0)]
    deaths = claims.MAX_CRASHES - 1  # that came before
    house.query(f"UPDATE run SET crashes = {deaths}, epoch = 9")
    async with house.open(f"{ODD}:dies") as service:
        run = await service.wait("r", timeout=30)
        assert run.error is not None
        assert (run.status, run.error.type) == ("failed", "ProcessDied")
        assert f"{claims.MAX_CRASHES} processes died one after the other while executing run r" in caplog.text
        assert house.done == [["pay", 1]]


# cancelling


async def test_a_running_run_is_cancelled_and_acts_no_more(house: Any) -> None:
    async with house.open(f"{ODD}:hangs") as service:
        run = await service.start_run("x", {"amount": 1})
        await begun(house)
        cancelled = await service.cancel(run.id, by="me", reason="enough")
        assert cancelled.status == "cancelled"
        (record,) = [each.record for each in await service.records(run_id=run.id, kind="run")]
        assert (record["detail"]["by"], record["detail"]["reason"]) == ("me", "enough")
        with pytest.raises(ConflictError, match="already cancelled"):
            await service.cancel(run.id, by="me")


async def test_a_thread_that_hangs_under_a_cancelled_run_cannot_act_when_it_wakes(house: Any) -> None:
    async with house.open(f"{ODD}:hangs_in_a_thread") as service:
        run = await service.start_run("x", {"amount": 1})
        await begun(house)
        assert (await service.cancel(run.id, by="me")).status == "cancelled"
        wake()
    assert house.done == [["pay", 1]]


async def test_a_run_that_has_hardly_begun_can_be_cancelled(house: Any) -> None:
    async with house.open(f"{ODD}:hangs") as service:
        for _ in range(20):
            run = await service.start_run("x", {"amount": 1})
            assert (await service.cancel(run.id, by="me")).status == "cancelled"
        assert (await service.overview()).runs == {"cancelled": 20}


async def test_a_queued_run_is_cancelled_and_the_one_behind_it_goes_on(house: Any) -> None:
    async with house.open(f"{ODD}:slow") as service:
        first = await service.start_run("x", {"amount": 1}, thread_id="t")
        second = await service.start_run("x", {"amount": 2}, thread_id="t")
        third = await service.start_run("x", {"amount": 3}, thread_id="t")
        assert (await service.cancel(second.id, by="me")).status == "cancelled"
        gate(house, "open")
        assert (await service.wait(first.id, timeout=30)).status == "succeeded"
        assert (await service.wait(third.id, timeout=30)).status == "succeeded"
        assert house.done == [["pay", 1], ["pay", 1], ["pay", 3], ["pay", 3]]


async def test_cancelling_a_waiting_run_closes_its_request(house: Any) -> None:
    ask_for_every_payment(house)
    async with house.open(f"{ODD}:pays") as service:
        run = await finish(service, {"amount": 1})
        (request,) = await service.approvals()
        assert (await service.cancel(run.id, by="me")).status == "cancelled"
        assert await service.approvals() == []
        assert (await service.approval(request.id)).state == "cancelled"
        with pytest.raises(ConflictError):
            await service.decide(request.id, "approve", by="me")
        assert house.done == []


# people


async def test_a_request_survives_a_restart_and_its_decision_is_used_once(house: Any) -> None:
    ask_for_every_payment(house)
    async with house.open(f"{ODD}:pays") as service:
        run = await finish(service, {"amount": 1})
        assert run.status == "waiting"
    async with house.open(f"{ODD}:pays") as service:
        (request,) = await service.approvals(run_id=run.id)
        await service.decide(request.id, "approve", by="me")
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"
        with pytest.raises(ConflictError):
            await service.decide(request.id, "approve", by="me")
    assert house.done == [["pay", 1]]


async def test_a_question_of_an_agent_survives_a_restart_and_gets_its_answer(house: Any) -> None:
    async with house.open(f"{ODD}:asks") as service:
        run = await finish(service, {"amount": 1})
    async with house.open(f"{ODD}:asks") as service:
        (request,) = await service.approvals(run_id=run.id)
        await service.decide(request.id, "answer", by="me", value="a lot")
        run = await service.wait(run.id, timeout=30)
        assert (run.status, run.output["done"]) == ("succeeded", ["paid 1", "a lot"])
    assert house.done == [["pay", 1]]


async def test_a_request_whose_time_is_over_is_refused_as_expired(house: Any) -> None:
    ask_for_every_payment(house, expires="1s")
    async with house.open(f"{ODD}:pays", lease=1.0) as service:
        run = await finish(service, {"amount": 1})
        (request,) = await service.approvals(run_id=run.id)
        async with asyncio.timeout(60):
            while (await service.run(run.id)).status == "waiting":
                await asyncio.sleep(0.02)
        assert (await service.approval(request.id)).state == "expired"
        run = await service.wait(run.id, timeout=30)
        assert run.error is not None
        assert "nobody decided in time" in run.error.message
    assert house.done == []


async def test_a_resumed_run_asks_anew_what_nobody_had_answered_when_it_failed(house: Any) -> None:
    ask_for_every_payment(house)
    async with house.open(f"{ODD}:fails_beside_a_question") as service:
        run = await finish(service, {"amount": 1})
        assert run.status == "failed"
        gate(house, "mended")
        await service.resume(run.id, by="me")
        assert (await service.wait(run.id, timeout=30)).status == "waiting"
        (request,) = await service.approvals(run_id=run.id)
        await service.decide(request.id, "approve", by="me")
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"
    assert house.done == [["pay", 1]]


# stopping and starting


async def test_a_drained_run_goes_on_in_the_next_process_and_repeats_nothing(house: Any) -> None:
    service = await Service.open(house.config(f"{ODD}:slow"))
    run = await service.start_run("x", {"amount": 1})
    await begun(house)
    await service.close(drain=0.0)
    assert house.query("SELECT status, crashes FROM run") == [("queued", 0)]
    gate(house, "open")
    async with house.open(f"{ODD}:slow") as service:
        run = await service.wait(run.id, timeout=30)
        assert (run.status, run.attempt, run.output["done"]) == ("succeeded", 1, ["paid 1", "open", "paid 1"])
    assert house.done == [["pay", 1], ["pay", 1]]


async def test_everything_that_was_accepted_while_the_service_stopped_ends_in_the_next_process(house: Any) -> None:
    service = await Service.open(house.config(f"{ODD}:pays", concurrency=4))
    accepted = [asyncio.create_task(service.start_run("x", {"amount": n}, run_id=f"r{n}")) for n in range(40)]
    await asyncio.sleep(0)
    await service.close(drain=0.0)
    outcomes = await asyncio.gather(*accepted, return_exceptions=True)
    kept = [outcome.id for outcome in outcomes if isinstance(outcome, RunView)]
    assert all(isinstance(outcome, RunView | UnavailableError) for outcome in outcomes)
    assert house.query("SELECT count(*) FROM run WHERE status = 'running'") == [(0,)]
    async with house.open(f"{ODD}:pays") as service:
        for run_id in kept:
            assert (await service.wait(run_id, timeout=30)).status == "succeeded"
    assert all(times == 1 for times in house.counts.values())


async def test_runs_whose_deployment_was_removed_are_kept_for_when_it_is_back(house: Any) -> None:
    ask_for_every_payment(house)
    async with house.open(f"{ODD}:pays") as service:
        run = await finish(service, {"amount": 1})
        (request,) = await service.approvals(run_id=run.id)
    settings = house.config(f"{ODD}:pays")
    gone = settings.model_copy(update={"deployments": {"y": settings.deployments["x"]}})
    async with await Service.open(gone) as service:
        assert (await service.run(run.id)).status == "waiting"
        await service.decide(request.id, "approve", by="me")
        failed = await service.wait(run.id, timeout=30)
        assert failed.error is not None
        assert "not configured any more" in failed.error.message
    async with house.open(f"{ODD}:pays") as service:
        await service.resume(run.id, by="me")
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"
    assert house.done == [["pay", 1]]


# the machine


async def test_retries_come_and_threads_go_on_when_the_clock_is_set_back(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time = time.time_ns
    hour = 3600 * 1_000_000_000
    async with house.open(f"{ODD}:pays") as service:
        assert (await finish(service, {"amount": 1}, thread_id="t")).status == "succeeded"
    monkeypatch.setattr(time, "time_ns", lambda: true_time() - hour)
    async with house.open(f"{ODD}:pays") as service:
        run = await finish(service, {"amount": 2}, thread_id="t")
        assert run.output["done"] == ["paid 1", "paid 2"]
        monkeypatch.setattr(time, "time_ns", lambda: true_time() - 3 * hour)
        run = await finish(service, {"amount": 3}, thread_id="t")
        assert run.output["done"] == ["paid 1", "paid 2", "paid 3"]
        assert (await service.thread_state("t"))["values"]["done"] == ["paid 1", "paid 2", "paid 3"]


async def test_a_retry_is_not_put_off_by_a_clock_that_is_set_back_meanwhile(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time = time.time_ns
    async with house.open(f"{ODD}:flaky", retry_delay=0.05) as service:
        run = await service.start_run("x", {"amount": 1})
        await begun(house)
        monkeypatch.setattr(time, "time_ns", lambda: true_time() - 3600 * 1_000_000_000)
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
@pytest.mark.parametrize("house", ["sqlite"], indirect=True)
async def test_a_full_disk_refuses_clearly_loses_nothing_and_is_got_over(house: Any) -> None:
    folder = house.folder / "data"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], check=False)
    if mounted.returncode:
        needs.missing("a small file system cannot be mounted here")
    try:
        async with house.open(f"{ODD}:pays", retry_delay=0.05) as service:
            accepted: list[str] = []
            with pytest.raises(UnavailableError, match="free disk space"):
                for number in range(1000):
                    run = await service.start_run("x", {"amount": number, "done": ["x" * 20_000]})
                    accepted.append(run.id)
            assert accepted
            with pytest.raises(UnavailableError, match="free disk space"):
                for _ in range(1000):
                    await service.start_run("x", {"amount": -1, "done": ["x" * 100_000]})
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            for run_id in accepted:
                run = await service.wait(run_id, timeout=30)
                if run.status == "waiting":  # it paid, and could not say so before it was given back
                    (request,) = await service.approvals(run_id=run_id)
                    assert (request.kind, run.input["amount"]) == ("unknown", request.action["args"]["amount"])
                    paid = house.counts[f"pay:{run.input['amount']}"]
                    answer = f"paid {run.input['amount']}"
                    await service.decide(request.id, "answer" if paid else "approve", by="me", value=answer)
                    run = await service.wait(run_id, timeout=30)
                assert run.status == "succeeded"
            await service.check()
        assert all(house.counts[f"pay:{number}"] == 1 for number in range(len(accepted)))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
