"""Who acts over HTTP: the token says it, a body may only agree, and some things are for operators."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.cli.starting import STARTER
from gatewright.runtime.config import Config, load
from gatewright.runtime.people import digest
from gatewright.runtime.service import Service

LARGE = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}
ROLES = {"ada": ["treasury"], "oscar": ["operator"], "audrey": ["auditor"]}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    people = {name: {"roles": roles, "token_sha256": digest(name)} for name, roles in ROLES.items()}
    overrides = {"data_dir": str(tmp_path / "data"), "people": people, "server": {"token": "robot"}}
    return load(STARTER / "gatewright.toml", environ={}, overrides=overrides)


@pytest.fixture
async def http(config: Config) -> AsyncGenerator[httpx.AsyncClient]:
    async with await Service.open(config) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


def of(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


async def open_approval(http: httpx.AsyncClient) -> str:
    run = (await http.post("/v1/runs/wait", json=LARGE, headers=of("ada"))).json()
    return str(run["waiting_for"][0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ada", {"kind": "person", "name": "ada", "roles": ["treasury"], "operates": False}),
        ("oscar", {"kind": "person", "name": "oscar", "roles": ["operator"], "operates": True}),
        ("robot", {"kind": "service", "name": "service", "roles": [], "operates": True}),
    ],
)
async def test_everybody_can_ask_who_they_are(http: httpx.AsyncClient, name: str, said: dict[str, Any]) -> None:
    assert (await http.get("/v1/whoami", headers=of(name))).json() == said


@pytest.mark.parametrize("verb", ["approve", "reject", "edit", "answer"])
async def test_a_decision_in_anothers_name_is_refused(http: httpx.AsyncClient, verb: str) -> None:
    place = f"/v1/approvals/{await open_approval(http)}"

    refused = await http.post(f"{place}/{verb}", json={"by": "oscar", "reason": "r", "value": {}}, headers=of("ada"))

    assert refused.status_code == 403
    assert refused.json()["error"]["message"].startswith("`by` is 'oscar', and the token is that of 'ada'")
    assert (await http.get(place, headers=of("ada"))).json()["state"] == "open"


async def test_a_decision_carries_the_name_of_the_token(http: httpx.AsyncClient) -> None:
    place = f"/v1/approvals/{await open_approval(http)}"

    decided = await http.post(f"{place}/approve", json={}, headers=of("oscar"))

    assert (decided.status_code, decided.json()["decided_by"]) == (200, "oscar")


async def test_an_auditor_sees_what_waits_and_does_not_decide_it(http: httpx.AsyncClient) -> None:
    place = f"/v1/approvals/{await open_approval(http)}"

    seen = await http.get(place, headers=of("audrey"))
    refused = await http.post(f"{place}/approve", json={}, headers=of("audrey"))

    assert (seen.status_code, refused.status_code) == (200, 403)


@pytest.mark.parametrize(
    ("name", "status"), [("ada", 403), ("audrey", 403), ("oscar", 200), ("robot", 200), ("stranger", 401)]
)
async def test_runs_are_cancelled_by_operators(http: httpx.AsyncClient, name: str, status: int) -> None:
    run = (await http.post("/v1/runs/wait", json=LARGE, headers=of("ada"))).json()

    answer = await http.post(f"/v1/runs/{run['id']}/cancel", json={}, headers=of(name))

    assert answer.status_code == status


@pytest.mark.parametrize(("name", "status"), [("ada", 403), ("oscar", 409)])
async def test_runs_are_resumed_by_operators(http: httpx.AsyncClient, name: str, status: int) -> None:
    run = (await http.post("/v1/runs/wait", json=LARGE, headers=of("ada"))).json()

    answer = await http.post(f"/v1/runs/{run['id']}/resume", json={}, headers=of(name))

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/v1/threads", "/v1/runs", "/v1/runs/wait", "/v1/runs/stream"])
async def test_only_operators_choose_what_the_service_reads(http: httpx.AsyncClient, path: str) -> None:
    body: dict[str, Any] = {"deployment": "clerk", "settings": {"world": {"data": "/etc"}}}
    if path != "/v1/threads":
        body["input"] = {"order": "A-17", "amount": 40}

    refused = await http.post(path, json=body, headers=of("ada"))
    allowed = await http.post(path, json=body, headers=of("oscar"))

    assert refused.status_code == 403
    assert "the setting `world`" in refused.json()["error"]["message"]
    assert allowed.status_code in (200, 201, 202)


async def test_only_operators_choose_what_a_score_is_compared_with(http: httpx.AsyncClient) -> None:
    conversation = {"id": "c", "customer": [], "settings": {"world": {"data": "/etc"}}}
    body = {"deployment": "clerk", "conversation": conversation, "case_id": "c", "replies": []}

    refused = await http.post("/v1/conversations/score", json=body, headers=of("ada"))

    assert refused.status_code == 403


@pytest.mark.parametrize(("name", "status"), [("ada", 403), ("oscar", 404)])
async def test_messages_are_sent_anew_by_operators(http: httpx.AsyncClient, name: str, status: int) -> None:
    assert (await http.post("/v1/notices/notice-1/retry", headers=of(name))).status_code == status
