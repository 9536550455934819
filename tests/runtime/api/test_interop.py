"""Approvals through LangGraph's own SDK, as Agent Inbox and user interfaces for langchain's middleware use it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from langchain.agents.middleware.human_in_the_loop import HITLRequest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError
from pydantic import TypeAdapter

from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service

RULE = {
    "id": "mail-waits",
    "on": {"hook": "tool.before", "name": "send_email"},
    "then": "ask",
    "reason": "mail to customers waits",
}
SAY = {"messages": [{"role": "user", "content": "Mail Ann."}]}


@asynccontextmanager
async def inbox(service: Service, shape: str = "agent-inbox") -> AsyncGenerator[LangGraphClient]:
    """The SDK's client of one address."""
    transport = httpx.ASGITransport(create_app(service))
    url = f"http://localhost/v1/interop/{shape}"
    async with httpx.AsyncClient(transport=transport, base_url=url) as client:
        yield LangGraphClient(client)


async def interrupted(client: LangGraphClient) -> Any:
    """The one thread that waits."""
    (thread,) = await client.threads.search(status="interrupted", metadata={"graph_id": "x"}, limit=10)
    return thread


async def test_an_open_approval_is_an_interrupted_thread_of_agent_inbox(house: Any) -> None:
    house.rules(RULE)
    async with house.open("reviews:ungated") as service, inbox(service) as client:
        run = await house.finish(service, SAY)
        (approval,) = await house.waiting(service, run)
        thread = await interrupted(client)
        state = await client.threads.get_state(thread["thread_id"])
        same = await client.threads.get(thread["thread_id"])

    assert thread["thread_id"] == approval.id
    assert thread["metadata"]["graph_id"] == "x"
    assert thread["interrupts"] == {
        approval.id: [
            {
                "id": approval.id,
                "value": [
                    {
                        "action_request": {"action": "send_email", "args": {"to": "ann@example.org"}},
                        "config": {
                            "allow_accept": True,
                            "allow_edit": True,
                            "allow_ignore": True,
                            "allow_respond": True,
                        },
                        "description": "mail to customers waits",
                    }
                ],
            }
        ]
    }
    assert same == thread
    assert state["tasks"][0]["interrupts"] == thread["interrupts"][approval.id]


@pytest.mark.parametrize(
    ("response", "done", "said"),
    [
        ({"type": "accept", "args": None}, ["ann@example.org"], "sent to ann@example.org"),
        (
            {"type": "edit", "args": {"action": "send_email", "args": {"to": "bob@example.org"}}},
            ["bob@example.org"],
            "sent to bob@example.org",
        ),
        ({"type": "response", "args": "done by hand"}, [], "done by hand"),
        ({"type": "ignore", "args": None}, [], "without a reason"),
    ],
)
async def test_a_response_of_agent_inbox_decides_exactly_that_approval(
    house: Any, response: Any, done: list[str], said: str
) -> None:
    house.rules(RULE)
    async with house.open("reviews:ungated") as service, inbox(service) as client:
        run = await house.finish(service, SAY)
        thread = await interrupted(client)
        told = await client.runs.create(thread["thread_id"], "x", command={"resume": [response]})
        run = await service.wait(run.id, timeout=30)
        after = await client.threads.get(thread["thread_id"])
        (view,) = await service.approvals(run_id=run.id, state=None)

    assert told["run_id"] == run.id
    assert (after["status"], after["interrupts"]) == ("idle", {})
    assert view.decided_by == "agent-inbox"
    assert [to for _name, to in house.done] == done
    assert said in run.output["messages"][-1]["content"]


async def test_an_answer_may_be_streamed_and_the_stream_ends(house: Any) -> None:
    house.rules(RULE)
    async with house.open("reviews:ungated") as service, inbox(service) as client:
        run = await house.finish(service, SAY)
        thread = await interrupted(client)
        stream = client.runs.stream(
            thread["thread_id"], "x", command={"resume": [{"type": "accept", "args": None}]}, stream_mode="events"
        )
        events = [(part.event, part.data["run_id"]) async for part in stream]
        run = await service.wait(run.id, timeout=30)

    assert events == [("metadata", run.id)]
    assert run.status == "succeeded"


async def test_langchains_shape_is_its_own_and_takes_its_decisions(house: Any) -> None:
    house.rules(RULE)
    async with house.open("reviews:ungated") as service, inbox(service, "hitl") as client:
        run = await house.finish(service, SAY)
        thread = await interrupted(client)
        ((interrupt,),) = thread["interrupts"].values()
        TypeAdapter(HITLRequest).validate_python(interrupt["value"], strict=True)
        await client.runs.create(
            thread["thread_id"], "x", command={"resume": {"decisions": [{"type": "reject", "message": "not Ann"}]}}
        )
        run = await service.wait(run.id, timeout=30)

    assert house.done == []
    assert "not Ann" in run.output["messages"][-1]["content"]


async def test_an_agent_that_asks_in_one_shape_is_answered_from_the_other(house: Any) -> None:
    async with house.open("reviews:single") as service, inbox(service) as client:
        run = await house.finish(service, SAY)
        thread = await interrupted(client)
        response = {"type": "edit", "args": {"action": "send_email", "args": {"to": "bob@example.org"}}}
        await client.runs.create(thread["thread_id"], "x", command={"resume": [response]})
        run = await service.wait(run.id, timeout=30)

    assert house.done == [["send_email", "bob@example.org"]]
    assert run.status == "succeeded"


async def test_a_plain_question_takes_a_response_and_nothing_else(house: Any) -> None:
    async with house.open("../crash_graphs/odd:asks") as service, inbox(service) as client:
        run = await house.finish(service, {"amount": 1})
        thread = await interrupted(client)
        with pytest.raises(APIStatusError, match="does not take"):
            await client.runs.create(thread["thread_id"], "x", command={"resume": [{"type": "accept", "args": None}]})
        response = {"type": "response", "args": "fine"}
        await client.runs.create(thread["thread_id"], "x", command={"resume": [response]})
        run = await service.wait(run.id, timeout=30)

    assert run.output["done"] == ["paid 1", "fine"]


@pytest.mark.parametrize(
    "resume",
    [
        None,
        "accept",
        [],
        [{"type": "accept"}, {"type": "accept"}],
        [{"type": "shrug", "args": None}],
        [{"type": "edit", "args": {"action": "delete_file", "args": {}}}],
        {"decisions": [{"type": "edit", "edited_action": {"name": "delete_file", "args": {}}}]},
        {"decisions": []},
    ],
)
async def test_a_malformed_answer_decides_nothing(house: Any, resume: Any) -> None:
    house.rules(RULE)
    async with house.open("reviews:ungated") as service, inbox(service) as client:
        run = await house.finish(service, SAY)
        thread = await interrupted(client)
        with pytest.raises(APIStatusError) as refused:
            await client.runs.create(thread["thread_id"], "x", command={"resume": resume})
        (still,) = await house.waiting(service, run)

    assert refused.value.response.status_code == 422
    assert still.state == "open"


async def test_an_answer_counts_once(house: Any) -> None:
    house.rules(RULE)
    async with house.open("reviews:ungated") as service, inbox(service) as client:
        await house.finish(service, SAY)
        thread = await interrupted(client)
        await client.runs.create(thread["thread_id"], "x", command={"resume": [{"type": "ignore", "args": None}]})
        with pytest.raises(APIStatusError) as refused:
            await client.runs.create(thread["thread_id"], "x", command={"resume": [{"type": "accept", "args": None}]})

    assert refused.value.response.status_code == 409


async def test_other_threads_than_interrupted_ones_are_not_looked_for_here(house: Any) -> None:
    async with house.open("reviews:single") as service, inbox(service) as client:
        await house.finish(service, SAY)

        assert await client.threads.search(status="busy") == []
        assert await client.threads.search(metadata={"assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca"}) == []
        assert await client.threads.search(status="interrupted", metadata={"graph_id": "other"}) == []
        assert len(await client.threads.search()) == 1
