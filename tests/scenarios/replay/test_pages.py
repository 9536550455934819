"""Replays for the console: of a service that goes on meanwhile."""

from __future__ import annotations

import pytest
from tests.scenarios.offices import Office

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime.service import Service
from gatewright.scenarios.replay.pages import replay


async def test_a_case_is_done_again_beside_the_service_and_nothing_is_carried_out(office: Office) -> None:
    (episode,) = await office.hold([7])
    done = office.done

    async with await Service.open(office.config) as service:
        found = await replay(service, episode.id)

    assert found["effects"] == {"equal": 9, "total": 9}
    assert found["decisions"] == {"equal": 1, "total": 1}
    assert (found["same_rules"], found["diverged"], found["beside"]) == (True, None, "")
    assert office.done == done


async def test_other_rules_are_told_with_both_sides(office: Office) -> None:
    (episode,) = await office.hold([30])
    office.rules(limit=40)

    async with await Service.open(office.config) as service:
        found = await replay(service, episode.id)

    assert not found["same_rules"]
    assert found["diverged"]["kind"] == "verdict"
    assert "large" in found["beside"]


async def test_a_case_that_has_not_ended_is_refused(office: Office) -> None:
    async with await Service.open(office.config) as service:
        run = await service.wait((await service.start_run("office", {"amount": 50})).id)
        assert run.status == "waiting"
        with pytest.raises(ConflictError, match="has not ended"):
            await replay(service, run.case_id)
        with pytest.raises(NotFoundError):
            await replay(service, "thread-of-nobody")
