"""Deployments and waivers over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.config import AUDITOR, OPERATOR, Config, Person
from gatewright.runtime.people import digest
from gatewright.runtime.service import Service

UNTIL = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
WAIVER = {"rule_id": "large", "scope": {"tool": "refund"}, "until": UNTIL, "reason": "at the counter", "by": "kim"}


async def test_a_deployment_is_paused_shown_and_resumed(http: httpx.AsyncClient) -> None:
    paused = await http.post("/v1/deployments/clerk/pause", json={"by": "kim", "reason": "it books twice"})
    assert paused.status_code == 200
    assert paused.json()["paused"]["by"] == "kim"
    assert (await http.get("/v1/deployments")).json() == [paused.json()]
    resumed = await http.post("/v1/deployments/clerk/resume", json={"by": "lee"})
    assert resumed.json() == {"name": "clerk", "configured": True, "paused": None}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/deployments/clrk/pause", {"by": "kim", "reason": "r"}, 404),
        ("/v1/deployments/clerk/pause", {"by": "kim"}, 422),
        ("/v1/deployments/clerk/pause", {"reason": "r"}, 422),
        ("/v1/deployments/clerk/resume", {"by": "kim"}, 409),
        ("/v1/waivers", WAIVER | {"scope": {}}, 422),
        ("/v1/waivers", WAIVER | {"scope": {"tol": "refund"}}, 422),
        ("/v1/waivers", WAIVER | {"until": "2030-01-01T00:00:00"}, 422),
        ("/v1/waivers/waiver-none/revoke", {"by": "kim"}, 404),
    ],
)
async def test_what_cannot_be_done_is_refused(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    assert (await http.post(path, json=body)).status_code == status


async def test_a_waiver_is_made_listed_and_revoked(http: httpx.AsyncClient) -> None:
    made = await http.post("/v1/waivers", json=WAIVER)
    assert made.status_code == 201
    assert (await http.get("/v1/waivers")).json() == [made.json()]
    revoked = await http.post(f"/v1/waivers/{made.json()['id']}/revoke", json={"by": "lee"})
    assert (revoked.json()["state"], revoked.json()["revoked_by"]) == ("revoked", "lee")
    assert (await http.get("/v1/waivers")).json() == []
    assert (await http.get("/v1/waivers?every=true")).json() == [revoked.json()]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/deployments/clerk/pause", {"reason": "r"}),
        ("/v1/deployments/clerk/resume", {}),
        ("/v1/waivers", {key: value for key, value in WAIVER.items() if key != "by"}),
        ("/v1/waivers/waiver-none/revoke", {}),
    ],
)
async def test_operators_alone_pause_and_waive(config: Config, path: str, body: dict[str, Any]) -> None:
    people = {
        "olga": Person(roles=(OPERATOR,), token_sha256=digest("olga's")),
        "ada": Person(roles=("treasury",), token_sha256=digest("ada's")),
        "bob": Person(roles=(AUDITOR,), token_sha256=digest("bob's")),
    }
    async with await Service.open(config.model_copy(update={"people": people})) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for token in ("ada's", "bob's"):
                refused = await http.post(path, json=body, headers={"authorization": f"Bearer {token}"})
                assert refused.status_code == 403
            let = await http.post(path, json=body, headers={"authorization": "Bearer olga's"})
            assert let.status_code != 403
