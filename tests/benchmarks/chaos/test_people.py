"""People say truthfully what happened, and only when it can be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from benchmarks.chaos import outside
from benchmarks.chaos.people import SETTLED, People

ARGS = {"user_id": "hugo_brandt_1008", "amount": 50}
SERVICE = "http://service"


class Service:
    """What people see of a service: requests that wait, until they are decided. It may forget to say that it heard."""

    def __init__(self, *requests: dict[str, Any], deaf: int = 0) -> None:
        self.waiting = {request["id"]: request for request in requests}
        self.heard: list[tuple[str, str, Any]] = []
        self._deaf = deaf

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=list(self.waiting.values()))
        *_, name, verb = request.url.path.split("/")
        self.heard.append((name, verb, json.loads(request.content)["value"]))
        if self._deaf:
            self._deaf -= 1
            return httpx.Response(503)
        del self.waiting[name]
        return httpx.Response(200, json={})


def unknown(name: str, run: str) -> dict[str, Any]:
    action = {"kind": "tool", "name": "send_certificate", "args": ARGS}
    return {"id": name, "kind": "unknown", "run_id": run, "case_id": "a", "action": action}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where the airline has noted one call, of the run `done`."""
    airline = outside.Airline(tmp_path / "record")
    airline.call("send_certificate", ARGS, case="a", key="one", run="done", by="worker")
    airline.close()
    return tmp_path / "record"


async def looked(people: People, service: Service) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as client:
        await people.look(client, SERVICE)


async def test_what_happened_is_told_and_what_did_not_is_to_be_performed(record: Path) -> None:
    service = Service(unknown("first", "done"), unknown("second", "another"))
    people = People([SERVICE], record, certain=lambda: SETTLED)
    await looked(people, service)
    certificate = outside.recorded(record)[0][0].result
    assert service.heard == [("first", "answer", certificate), ("second", "approve", None)]
    assert [(answer.request, answer.said) for answer in people.answers] == [
        ("first", "happened"),
        ("second", "perform again"),
    ]


async def test_nobody_says_what_happened_while_a_process_may_still_act(record: Path) -> None:
    service = Service(unknown("first", "done"))
    people = People([SERVICE], record, certain=lambda: SETTLED / 2)
    await looked(people, service)
    assert (service.heard, people.answers) == ([], [])


async def test_an_answer_that_may_have_been_heard_is_never_changed(record: Path) -> None:
    service = Service(unknown("first", "late"), deaf=1)
    people = People([SERVICE], record, certain=lambda: SETTLED)
    await looked(people, service)
    airline = outside.Airline(record)
    airline.call("send_certificate", ARGS, case="a", key="two", run="late", by="worker")  # because the answer was heard
    airline.close()
    await looked(people, service)
    assert [verb for _, verb, _ in service.heard] == ["approve", "approve"]
    assert [answer.said for answer in people.answers] == ["perform again"]


async def test_what_rules_ask_about_is_approved_at_once(record: Path) -> None:
    service = Service({"id": "first", "kind": "approval"})
    people = People([SERVICE], record, certain=lambda: 0.0)
    await looked(people, service)
    assert service.heard == [("first", "approve", None)]
    assert people.approved == 1
