"""Threads begin, go on and are closed: what rules say to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatewright.agents.errors import ConflictError, DeniedError, NotFoundError, UsageError

if TYPE_CHECKING:
    from tests.runtime.conftest import House

NO_ENTRY = {
    "id": "no-entry",
    "on": {"hook": "thread.start"},
    "when": "has(args.metadata.channel) && args.metadata.channel == 'fax'",
    "then": "deny",
    "reason": "no fax",
    "examples": {
        "match": [{"args": {"metadata": {"channel": "fax"}}}],
        "pass": [{"args": {"metadata": {}}}],
    },
}
UNSIGNED = {
    "id": "unsigned",
    "on": {"hook": "thread.end"},
    "when": "!seen('sign')",
    "then": "deny",
    "reason": "nothing was signed",
    "examples": {"match": [{}], "pass": [{"history": [{"name": "sign"}]}]},
}


async def test_rules_refuse_a_thread_before_it_exists(house: House) -> None:
    house.rules(NO_ENTRY)

    async with house.open("gates:paying") as service:
        with pytest.raises(DeniedError, match="no fax"):
            await service.create_thread("x", thread_id="one", metadata={"channel": "fax"})
        with pytest.raises(DeniedError, match="no fax"):
            await service.start_run("x", {"amount": 5}, thread_id="two", metadata={"channel": "fax"})
        for thread_id in ("one", "two"):
            with pytest.raises(NotFoundError):
                await service.thread(thread_id)
        refused = await service.records(kind="thread")
        allowed = await house.finish(service, {"amount": 5}, thread_id="two", metadata={"channel": "mail"})

    assert allowed.status == "succeeded"
    assert [view.record["outcome"] for view in refused] == ["denied", "denied"]
    assert refused[0].record["guard"]["before"]["rules"][0]["id"] == "no-entry"


async def test_no_run_is_started_on_a_closed_thread(house: House) -> None:
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="case")
        closed = await service.close_thread("case", by="kim")
        with pytest.raises(ConflictError, match="was closed at"):
            await service.start_run("x", {"amount": 5}, thread_id="case")
        with pytest.raises(ConflictError, match="was closed at"):
            await service.close_thread("case", by="kim")
        (record,) = await service.records(kind="thread")

    assert closed.status == "closed"
    assert record.record["detail"] == {"event": "thread.end", "by": "kim"}


async def test_a_thread_at_work_is_not_closed(house: House) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"})

    async with house.open("gates:paying") as service:
        run = await house.finish(service, {"amount": 5}, thread_id="case")
        with pytest.raises(ConflictError, match=run.id):
            await service.close_thread("case", by="kim")


async def test_a_thread_below_another_is_not_closed_alone(house: House) -> None:
    async with house.open("teams:asking_twice") as service:
        await house.finish(service, {"amount": 5}, thread_id="case")
        with pytest.raises(UsageError, match="part of case 'case'"):
            await service.close_thread("case/clerk", by="kim")


async def test_rules_refuse_to_end_a_case_that_is_not_done(house: House) -> None:
    house.rules(UNSIGNED)

    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="case")
        with pytest.raises(DeniedError, match="nothing was signed"):
            await service.close_thread("case", by="kim")
        view = await service.thread("case")

    assert view.status == "idle"
