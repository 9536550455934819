"""What the console makes of questions in the shapes of others."""

import html
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service

SAY = {"messages": [{"role": "user", "content": "Mail Ann, then delete the report."}]}


@asynccontextmanager
async def browser(service: Service) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", follow_redirects=True) as client:
        yield client


async def test_all_that_an_agent_asks_about_is_approved_with_one_button(house: Any) -> None:
    async with house.open("reviews:batched") as service, browser(service) as client:
        run = await house.finish(service, SAY)
        (asked,) = await house.waiting(service, run)
        page = (await client.get(f"/approvals/{asked.id}")).text
        done = await client.post(f"/approvals/{asked.id}", data={"verb": "approve", "by": "kim"})
        run = await service.wait(run.id, timeout=30)

    assert "asks before it performs send_email, delete_file" in page
    assert 'value="approve"' in page and 'value="edit"' not in page
    assert done.status_code == 200
    assert run.status == "succeeded"
    assert sum(house.counts.values()) == 2


async def test_the_form_proposes_to_reject_and_each_decision_can_be_changed(house: Any) -> None:
    async with house.open("reviews:batched") as service, browser(service) as client:
        run = await house.finish(service, SAY)
        (asked,) = await house.waiting(service, run)
        page = (await client.get(f"/approvals/{asked.id}")).text
        found = re.search(r'<textarea[^>]*name="value\.decisions"[^>]*>\s*(.*?)</textarea>', page, re.DOTALL)
        assert found is not None
        decisions = json.loads(html.unescape(found[1]))
        decisions[0] = {"type": "approve"}
        sent = {"verb": "answer", "by": "kim", "value.decisions": json.dumps(decisions)}
        await client.post(f"/approvals/{asked.id}", data=sent)
        run = await service.wait(run.id, timeout=30)

    assert decisions == [{"type": "approve"}, {"type": "reject"}]
    assert house.done == [["send_email", "ann@example.org"]]
    assert run.status == "succeeded"
