"""A step that is executed again finds what it did: waiting, dying, failing and trying again repeat nothing."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.runtime.service import Service
from gatewright.runtime.views import RunView

if TYPE_CHECKING:
    from tests.runtime.conftest import House

JOBS = """
    in_line in_line_async in_line_retried gathered gathered_signing threads loop loop_retried loop_signing
    loop_of_steps threads_of_graphs nested_tool nested_before sub_graphs fan_out cycle functional
""".split()
TALKS = ["tool_node", "agent", "model"]
ASK = {"id": "signing", "on": {"hook": "tool.before", "name": "sign"}, "then": "ask"}
LABELS = {"sign": {"labels": ["idempotent"]}, "deliver": {"labels": ["idempotent"]}}
ONCE = ("pay", "apay", "double")

_spawn = multiprocessing.get_context("fork")


def given(style: str) -> dict[str, Any]:
    return {"amount": 2} if style in JOBS else {"messages": [{"role": "user", "content": "hello"}]}


async def _undisturbed(house: House, style: str) -> tuple[Counter[str], Any]:
    """What happens, and what comes out, where nothing gets in the way."""
    async with house.open(f"steps:{style}") as service:
        run = await house.finish(service, given(style))
    assert run.status == "succeeded", run.error
    found = house.counts
    house.forget()
    return found, run.output


async def _to_its_end(house: House, service: Service, run: RunView) -> RunView:
    """Approve what people are asked; say of what is unknown whether it happened."""
    for _ in range(20):
        if run.status != "waiting":
            return run
        known = Counter(f"{e['effect']['name']}:{e['args'].get('amount')}" for e in await house.effects(service, run))
        for approval in await house.waiting(service, run):
            what = f"{approval.action['name']}:{approval.action['args'].get('amount')}"
            if approval.kind == "unknown" and house.counts[what] > known[what]:
                known[what] += 1
                await service.decide(approval.id, "answer", by="kim", value="paid " + what.partition(":")[2])
            else:
                await service.decide(approval.id, "approve", by="kim")
        run = await service.wait(run.id, timeout=30)
    raise AssertionError(f"still waiting: {run}")


@pytest.mark.parametrize("style", JOBS + TALKS)
async def test_waiting_for_people_repeats_nothing(house: House, style: str) -> None:
    expected, output = await _undisturbed(house, style)
    house.rules(ASK)

    async with house.open(f"steps:{style}") as service:
        run = await house.finish(service, given(style))
        assert run.status == "waiting", run.error
        run = await _to_its_end(house, service, run)

    assert run.status == "succeeded", run.error
    assert house.counts == expected
    assert plain(run.output) == plain(output)


@pytest.mark.parametrize("style", JOBS + TALKS)
async def test_failing_and_trying_again_repeats_nothing(
    house: House, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, output = await _undisturbed(house, style)
    monkeypatch.setenv("SIGN", "raise")

    async with house.open(f"steps:{style}", max_attempts=20) as service:
        run = await house.finish(service, given(style))

    assert run.status == "succeeded", run.error
    assert house.counts == expected
    assert plain(run.output) == plain(output)


@pytest.mark.parametrize("style", JOBS + TALKS)
def test_dying_and_starting_again_repeats_nothing(house: House, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, output = asyncio.run(_undisturbed(house, style))
    house.rules(tools=LABELS)
    monkeypatch.setenv("SIGN", "exit")

    async def work() -> RunView:
        async with house.open(f"steps:{style}") as service:
            known = await service.runs()
            run = known[0] if known else await service.start_run("x", given(style))
            return await _to_its_end(house, service, await service.wait(run.id, timeout=30))

    for _ in range(20):
        process = _spawn.Process(target=lambda: asyncio.run(work()))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
    run = asyncio.run(work())

    assert run.status == "succeeded", run.error
    assert effects(house.counts, *ONCE) == effects(expected, *ONCE)
    assert set(house.counts) == set(expected)  # what may be repeated is not left out
    assert plain(run.output) == plain(output)


def effects(counts: Counter[str], *names: str) -> Counter[str]:
    return Counter({what: count for what, count in counts.items() if what.partition(":")[0] in names})


def plain(output: Any) -> Any:
    """An output without the random ids that LangGraph gives to messages."""
    if isinstance(output, dict):
        return {key: plain(value) for key, value in output.items() if key != "id"}
    return [plain(item) for item in output] if isinstance(output, list) else output
