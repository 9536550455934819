from __future__ import annotations

from typing import Any

import pytest

from gatewright.agents.errors import UsageError

_BREAK_OFF = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
async def test_a_server_that_was_restarted_since_the_last_query_is_not_noticed(house: Any) -> None:
    async with house.open("../crash_graphs/odd:pays") as service:
        run = await house.finish(service, {"amount": 1})
        house.query(_BREAK_OFF)
        assert [view.id for view in await service.runs()] == [run.id]
        assert (await house.finish(service, {"amount": 2}, thread_id=run.thread_id)).status == "succeeded"


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
async def test_what_the_database_cannot_look_for_is_the_callers_mistake(house: Any) -> None:
    async with house.open("../crash_graphs/odd:pays") as service:
        with pytest.raises(UsageError, match="NUL"):
            await service.run("a\0b")
