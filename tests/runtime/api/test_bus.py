"""The bus over HTTP."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from gatewright.agents import Reject
from gatewright.runtime.bus import Delivery
from gatewright.runtime.config import AUDITOR, OPERATOR, Config, Person
from gatewright.runtime.people import digest
from gatewright.runtime.service import Service


async def _refuse(_: Delivery) -> None:
    raise Reject("not ours")


async def _letters(http: httpx.AsyncClient, count: int, state: str = "dead") -> list[dict[str, object]]:
    async with asyncio.timeout(60):
        while len(found := (await http.get("/v1/bus/dead-letters", params={"state": state})).json()) < count:
            await asyncio.sleep(0.02)
    return list(found)


async def test_a_dead_letter_is_shown_and_redriven(http: httpx.AsyncClient, service: Service) -> None:
    await service.bus.subscribe("orders", "desk", _refuse)
    await service.bus.publish("orders", {"n": 1}, key="k")
    (letter,) = await _letters(http, 1)
    assert (letter["topic"], letter["group"], letter["reason"], letter["detail"]) == (
        "orders",
        "desk",
        "rejected",
        "not ours",
    )
    assert (await http.get(f"/v1/bus/dead-letters/{letter['id']}")).json() == letter
    assert (await http.get("/v1/bus/dead-letters", params={"group": "other"})).json() == []
    assert (await http.post(f"/v1/bus/dead-letters/{letter['id']}/redrive")).status_code == 204
    again = await _letters(http, 2, "any")
    assert {str(found["state"]) for found in again} == {"redriven", "dead"}
    assert (await http.post(f"/v1/bus/dead-letters/{letter['id']}/redrive")).status_code == 409


async def test_topics_and_lag_are_counted(http: httpx.AsyncClient, service: Service) -> None:
    held = await service.bus.subscribe("orders", "desk", _refuse)
    await held.close()
    for number in range(3):
        await service.bus.publish("orders", number)
    (topic,) = (await http.get("/v1/bus/topics")).json()
    assert (topic["name"], topic["partitions"], topic["published"], topic["stored"]) == ("orders", 64, 3, 3)
    (lag,) = (await http.get("/v1/bus/lag")).json()
    assert lag == {"topic": "orders", "group": "desk", "waiting": 3, "parked": 0, "dead": 0, "members": 0}


async def test_a_topic_is_created_once(http: httpx.AsyncClient) -> None:
    for _ in range(2):
        made = await http.post("/v1/bus/topics", json={"name": "orders"})
        assert (made.status_code, made.json()["partitions"]) == (201, 64)


async def test_a_group_is_forgotten_only_when_it_has_gone(http: httpx.AsyncClient, service: Service) -> None:
    subscription = await service.bus.subscribe("orders", "desk", _refuse)
    async with asyncio.timeout(60):
        while not subscription.held:
            await asyncio.sleep(0.01)
    assert (await http.delete("/v1/bus/topics/orders/groups/desk")).status_code == 409
    await subscription.close()
    assert (await http.delete("/v1/bus/topics/orders/groups/desk")).status_code == 204
    assert (await http.get("/v1/bus/lag")).json() == []
    assert (await http.delete("/v1/bus/topics/orders/groups/desk")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/bus/dead-letters/dead-none", None, 404),
        ("POST", "/v1/bus/dead-letters/dead-none/redrive", None, 404),
        ("GET", "/v1/bus/dead-letters?state=undead", None, 422),
        ("POST", "/v1/bus/topics", {"name": "a b"}, 422),
        ("POST", "/v1/bus/topics", {}, 422),
    ],
)
async def test_what_cannot_be_is_refused(
    http: httpx.AsyncClient, method: str, path: str, body: object, status: int
) -> None:
    assert (await http.request(method, path, json=body)).status_code == status


async def test_only_operators_set_things_right(config: Config) -> None:
    from gatewright.runtime.api import create_app

    people = {
        "ann": Person(roles=(AUDITOR,), token_sha256=digest("ann")),
        "olga": Person(roles=(OPERATOR,), token_sha256=digest("olga")),
    }
    async with await Service.open(config.model_copy(update={"people": people}), execute=False) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

            async def ask(who: str) -> int:
                answer = await http.post(
                    "/v1/bus/topics", json={"name": "orders"}, headers={"authorization": f"Bearer {who}"}
                )
                return answer.status_code

            assert await ask("ann") == 403
            assert await ask("olga") == 201
