"""What callers of the service may rely on: acceptance, order, waiting, events, refusals."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError, NotFoundError, UnavailableError, UsageError
from gatewright.runtime.service import Service
from gatewright.runtime.store.writer import Transaction

ODD = "../crash_graphs/odd"


def gate(house: Any, name: str) -> None:
    Path(f"{house.log}.{name}").touch()


async def test_runs_of_a_thread_are_executed_one_after_the_other_in_the_order_of_acceptance(house: Any) -> None:
    async with house.open(f"{ODD}:pays_twice") as service:
        runs = [await service.start_run("x", {"amount": n}, thread_id="t") for n in range(10)]
        await service.wait(runs[-1].id, timeout=30)
    assert [amount for _pay, amount in house.done] == [n for n in range(10) for _ in range(2)]


async def test_a_busy_thread_refuses_a_second_input_where_that_is_asked_for(house: Any) -> None:
    async with house.open(f"{ODD}:slow") as service:
        first = await service.start_run("x", {"amount": 1}, thread_id="t")
        with pytest.raises(ConflictError, match=first.id):
            await service.start_run("x", {"amount": 2}, thread_id="t", multitask="reject")
        gate(house, "open")
        await service.wait(first.id, timeout=30)
        again = await service.start_run("x", {"amount": 3}, thread_id="t", multitask="reject")
        assert (await service.wait(again.id, timeout=30)).status == "succeeded"


async def test_an_interrupting_input_cancels_what_the_thread_does(house: Any) -> None:
    async with house.open(f"{ODD}:hangs") as service:
        first = await service.start_run("x", {"amount": 1}, thread_id="t")
        second = await service.start_run("x", {"amount": 2}, thread_id="t")
        third = await service.start_run("x", {"amount": 3}, thread_id="t", multitask="interrupt")
        assert [(await service.run(run.id)).status for run in (first, second)] == ["cancelled", "cancelled"]
        await service.cancel(third.id, by="me")


async def test_a_rolled_back_run_leaves_the_thread_as_it_was_for_all_later_runs(house: Any) -> None:
    async with house.open(f"{ODD}:asks") as service:

        async def answered(amount: int, **settings: Any) -> list[str]:
            run = await service.start_run("x", {"amount": amount}, thread_id="t", **settings)
            await service.wait(run.id, timeout=30)
            (request,) = await service.approvals(run_id=run.id)
            await service.decide(request.id, "answer", by="me", value=str(amount))
            done: list[str] = (await service.wait(run.id, timeout=30)).output["done"]
            return done

        assert await answered(1) == ["paid 1", "1"]
        waiting = await service.start_run("x", {"amount": 2}, thread_id="t")
        await service.wait(waiting.id, timeout=30)
        assert await answered(3, multitask="rollback") == ["paid 1", "1", "paid 3", "3"]
        assert await answered(4) == ["paid 1", "1", "paid 3", "3", "paid 4", "4"]


async def test_a_repeated_request_with_the_same_run_id_is_one_run(house: Any) -> None:
    async with house.open(f"{ODD}:pays") as service:
        await service.start_run("x", {"amount": 1}, run_id="r")
        await service.wait("r", timeout=30)
        again = await service.start_run("x", {"amount": 1}, run_id="r")
        assert (again.id, again.status) == ("r", "succeeded")
        assert len(await service.threads()) == 1
        with pytest.raises(ConflictError, match="that of another run"):
            await service.start_run("x", {"amount": 2}, run_id="r")
    assert house.done == [["pay", 1]]


async def test_a_run_whose_caller_goes_away_while_it_is_accepted_is_executed_all_the_same(house: Any) -> None:
    async with house.open(f"{ODD}:pays") as service:
        for number in range(20):
            task = asyncio.create_task(service.start_run("x", {"amount": number}))
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        last = await service.start_run("x", {"amount": 100})
        await service.wait(last.id, timeout=30)
        async with asyncio.timeout(60):
            while set((await service.overview()).runs) != {"succeeded"}:
                await asyncio.sleep(0.01)


async def test_waiting_ends_at_once_for_a_run_that_ended_before_a_restart(house: Any) -> None:
    async with house.open(f"{ODD}:pays") as service:
        run = await service.start_run("x", {"amount": 1})
        await service.wait(run.id, timeout=30)
    async with house.open(f"{ODD}:pays") as service:
        assert (await service.wait(run.id, timeout=60)).output["done"] == ["paid 1"]
        assert [event.data["run"].status async for event in service.events(run.id)] == ["succeeded"]


async def test_a_late_watcher_gets_what_happened_and_one_that_comes_back_what_it_missed(house: Any) -> None:
    async with house.open(f"{ODD}:pays") as service:
        run = await service.start_run("x", {"amount": 1})
        await service.wait(run.id, timeout=30)
        seen = [event async for event in service.events(run.id)]
        assert [event.seq for event in seen] == list(range(len(seen)))
        assert {event.type for event in seen} == {"run", "update", "effect"}
        rest = [event.seq async for event in service.events(run.id, after=seen[1].seq)]
        assert rest == [event.seq for event in seen[2:]]


async def test_a_watcher_that_comes_back_after_a_restart_misses_nothing_of_what_follows(house: Any) -> None:
    async with house.open(f"{ODD}:asks") as service:
        run = await service.start_run("x", {"amount": 1})
        await service.wait(run.id, timeout=30)
    async with house.open(f"{ODD}:asks") as service:
        (request,) = await service.approvals(run_id=run.id)
        await service.decide(request.id, "answer", by="me", value="x")
        async with asyncio.timeout(60):
            seen = [event async for event in service.events(run.id, after=500)]
        assert (seen[-1].type, seen[-1].data["run"].status) == ("run", "succeeded")


async def test_waiting_for_too_long_is_told(house: Any) -> None:
    async with house.open(f"{ODD}:hangs") as service:
        run = await service.start_run("x", {"amount": 1})
        with pytest.raises(TimeoutError):
            await service.wait(run.id, timeout=0.05)


async def test_what_does_not_exist_is_named(house: Any) -> None:
    async with house.open(f"{ODD}:pays") as service:
        with pytest.raises(NotFoundError, match="no deployment 'y'; configured are \\['x'\\]"):
            await service.start_run("y", {"amount": 1})
        for call in (service.run, service.thread, service.approval):
            with pytest.raises(NotFoundError, match="'nobody'"):
                await call("nobody")
        with pytest.raises(NotFoundError, match="no record 7"):
            await service.record(7)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"amuont": 1}, "did you mean 'amount'"),
        ({"amount": "one"}, r"\['amount'\]"),
        (["amount"], "the input itself"),
        ({"amount": 1, "done": [{1, 2}]}, "input"),
    ],
)
async def test_an_input_that_does_not_fit_is_refused_before_anything_is_kept(
    house: Any, given: Any, message: str
) -> None:
    async with house.open(f"{ODD}:pays") as service:
        with pytest.raises(UsageError, match=message):
            await service.start_run("x", given)
        assert (await service.threads(), await service.runs()) == ([], [])


async def test_a_huge_input_is_kept_and_given_back(house: Any) -> None:
    async with house.open(f"{ODD}:pays") as service:
        text = "x" * 10_000_000
        run = await service.start_run("x", {"amount": 1, "done": [text]})
        run = await service.wait(run.id, timeout=60)
        assert run.output["done"] == [text, "paid 1"]


async def test_a_second_service_on_the_folder_is_refused(house: Any) -> None:
    settings = house.config(f"{ODD}:pays")
    async with await Service.open(settings):
        with pytest.raises(UnavailableError, match="in use by process"):
            await Service.open(settings)
    async with await Service.open(settings):
        pass


async def test_a_folder_that_cannot_be_made_is_refused_with_the_remedy(house: Any) -> None:
    (house.folder / "file").touch()
    settings = house.config(f"{ODD}:pays").model_copy(update={"data_dir": house.folder / "file" / "data"})
    with pytest.raises(UnavailableError, match="choose another data_dir"):
        await Service.open(settings)


async def test_claiming_looks_at_what_can_start_however_much_waits_behind_it(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def statements(waiting: int) -> int:
        thread = f"t{waiting}"
        settings = house.config(f"{ODD}:pays")
        async with await Service.open(settings, execute=False) as service:
            await asyncio.gather(*(service.start_run("x", {"amount": n}, thread_id=thread) for n in range(waiting)))
        counted = 0
        run = Transaction.run

        def count(self: Transaction, *args: Any, **values: Any) -> int:
            nonlocal counted
            counted += 1
            return run(self, *args, **values)

        with monkeypatch.context() as patched:
            patched.setattr(Transaction, "run", count)
            async with await Service.open(settings) as service:
                async with asyncio.timeout(60):
                    while (await service.overview()).runs.get("queued", 0) + (await service.overview()).runs.get(
                        "running", 0
                    ):
                        await asyncio.sleep(0.02)
        return counted

    few, many = await statements(20), await statements(200)
    assert many < few * 10 * 1.5
