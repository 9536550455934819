"""Attempts to decide, end or hide what one may not, over HTTP and in the console; the ledger holds after each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gatewright.runtime import ledger
from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service

if TYPE_CHECKING:
    from tests.runtime.conftest import Staffed

PEOPLE = {
    "ada": ["treasury"],
    "bob": ["treasury"],
    "cyd": ["treasury"],
    "dan": ["treasury"],
    "oscar": ["operator"],
    "kim": ["ops"],
}
LARGE = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
UNSEEN = "\u202e"


class Door:
    """The service as several people use it; each sends their name as token."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, name: str, path: str) -> httpx.Response:
        return await self.http.get(path, headers={"authorization": f"Bearer {name}"})

    async def post(self, name: str, path: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {name}"})

    async def waiting(self, name: str = "kim", **body: Any) -> str:
        """The id of a new request, of a run that this person starts."""
        run = await self.post(name, "/runs/wait", **{**LARGE, **body})
        return str(run.json()["waiting_for"][0])

    async def votes(self, id: str) -> list[dict[str, Any]]:
        """What the ledger holds of the votes on a request."""
        records = (await self.get("oscar", "/v1/records?kind=approval&limit=1000")).json()
        parts = [view["record"] for view in records if view["record"]["detail"].get("event") == "vote"]
        return [record for record in parts if record["approval"]["id"] == id]


@asynccontextmanager
async def door(staffed: Staffed, terms: dict[str, Any] | None = None) -> AsyncGenerator[Door]:
    config = staffed(terms, **PEOPLE)
    async with await Service.open(config) as service:
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield Door(http)
    assert ledger.verify(config.data_dir).bad == ()


async def test_of_a_hundred_votes_at_once_each_person_counts_once(staffed: Staffed) -> None:
    async with door(staffed, {"quorum": 3, "roles": ["treasury"]}) as open_:
        id = await open_.waiting()
        names = ["ada", "bob", "kim", "robot", "stranger"] * 20
        answers = await asyncio.gather(*(open_.post(name, f"/approvals/{id}/approve") for name in names))
        view = (await open_.get("oscar", f"/v1/approvals/{id}")).json()

        accepted = sorted(name for name, answer in zip(names, answers, strict=True) if answer.status_code == 200)
        assert accepted == ["ada", "bob"]
        assert (view["state"], view["given"]) == ("open", 2)
        assert sorted(vote["approval"]["by"] for vote in await open_.votes(id)) == ["ada", "bob"]


async def test_a_chain_of_delegations_makes_nobody_two_people(staffed: Staffed) -> None:
    async with door(staffed, {"quorum": 2, "roles": ["treasury"]}) as open_:
        for giver, receiver in (("ada", "bob"), ("bob", "kim"), ("kim", "ada"), ("cyd", "ada")):
            await open_.post(giver, "/delegations", to=receiver, until=TOMORROW)
        id = await open_.waiting("oscar")

        async def vote(name: str, absent: str = "") -> int:
            return (await open_.post(name, f"/approvals/{id}/approve", on_behalf_of=absent)).status_code

        assert await vote("kim", "ada") == 403  # what ada handed to bob is not bob's to hand on
        assert await vote("bob", "ada") == 200
        again = [await vote("bob"), await vote("ada"), await vote("ada", "cyd"), await vote("kim", "bob")]
        assert again == [409, 409, 409, 409]
        assert [record["approval"]["by"] for record in await open_.votes(id)] == ["bob"]


async def test_nobody_hands_over_or_gains_a_role_by_being_stood_in_for(staffed: Staffed) -> None:
    async with door(staffed, {"roles": ["treasury"]}) as open_:
        id = await open_.waiting("ada")
        refused = await open_.post("kim", "/delegations", to="oscar", until=TOMORROW, roles=["treasury"])
        assert refused.status_code == 403
        await open_.post("kim", "/delegations", to="bob", until=TOMORROW)
        await open_.post("ada", "/delegations", to="bob", until=TOMORROW)

        roleless = await open_.post("bob", f"/approvals/{id}/approve", on_behalf_of="kim")
        requester = await open_.post("bob", f"/approvals/{id}/approve", on_behalf_of="ada")

        assert (roleless.status_code, requester.status_code) == (403, 403)
        assert await open_.votes(id) == []


async def test_a_vote_id_of_somebody_else_is_no_vote(staffed: Staffed) -> None:
    async with door(staffed, {"quorum": 2}) as open_:
        id = await open_.waiting()
        first = await open_.post("ada", f"/approvals/{id}/approve", vote_id="one")
        second = await open_.post("bob", f"/approvals/{id}/approve", vote_id="one")

        assert (first.status_code, second.status_code) == (200, 409)
        assert [record["approval"]["by"] for record in await open_.votes(id)] == ["ada"]


@pytest.mark.parametrize("multitask", ["interrupt", "rollback"])
async def test_another_input_ends_no_run_that_its_author_may_not_cancel(staffed: Staffed, multitask: str) -> None:
    async with door(staffed) as open_:
        id = await open_.waiting("kim", thread_id="case-1")
        refused = await open_.post("dan", "/runs", **LARGE, thread_id="case-1", multitask=multitask)

        assert refused.status_code == 403
        assert "'operator'" in refused.text
        assert (await open_.get("oscar", f"/v1/approvals/{id}")).json()["state"] == "open"
        assert (await open_.post("oscar", "/runs", **LARGE, thread_id="case-1", multitask=multitask)).status_code == 202


async def test_two_stages_are_not_passed_by_one_answer_of_an_inbox(staffed: Staffed) -> None:
    async with door(staffed, {"stages": [{"roles": ["ops"]}, {"roles": ["treasury"]}]}) as open_:
        id = await open_.waiting("oscar")
        place = f"/interop/agent-inbox/threads/{id}/runs"
        accept = {"resume": [{"type": "accept", "args": None}]}

        codes = [(await open_.post(name, place, command=accept)).status_code for name in ("ada", "robot", "kim", "kim")]
        foreign = await open_.http.post(f"/v1{place}", json={"command": accept}, headers={"x-api-key": "stranger"})

        assert codes == [403, 403, 200, 409]
        assert foreign.status_code == 401
        assert (await open_.get("oscar", f"/v1/approvals/{id}")).json()["state"] == "open"


@pytest.mark.parametrize(
    "until", ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2020-01-01T00:00:00Z"]
)
async def test_a_time_that_is_none_gives_nothing(staffed: Staffed, until: str) -> None:
    async with door(staffed) as open_:
        id = await open_.waiting()
        granted = await open_.post("ada", f"/approvals/{id}/approve", grant={"reach": "until", "until": until})
        handed = await open_.post("ada", "/delegations", to="bob", until=until)

        assert (granted.status_code, handed.status_code) == (422, 422)
        assert await open_.votes(id) == []


async def test_what_reorders_or_hides_text_is_seen_by_who_decides(staffed: Staffed) -> None:
    async with door(staffed) as open_:
        id = await open_.waiting(input={"order": f"B-02{UNSEEN}99-B<script>", "amount": 400})
        page = await open_.get("ada", f"/approvals/{id}")

        assert page.status_code == 200
        assert UNSEEN not in page.text
        assert "B-02�99-B&lt;script&gt;" in page.text


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example"])
async def test_signing_in_leads_nowhere_else(staffed: Staffed, target: str) -> None:
    async with door(staffed) as open_:
        answer = await open_.http.post("/sign-in", data={"token": "ada", "next": target})

        assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_token_counts_in_its_header_alone_and_only_once(staffed: Staffed) -> None:
    async with door(staffed) as open_:
        tries = [
            await open_.http.get("/v1/approvals?token=ada"),
            await open_.http.get("/v1/approvals", headers={"x-api-key": "ada"}),
            await open_.http.get("/v1/approvals", headers={"authorization": "Basic ada"}),
            await open_.http.get(
                "/v1/approvals", headers=[("authorization", "Bearer stranger"), ("authorization", "Bearer ada")]
            ),
        ]
        assert [answer.status_code for answer in tries] == [401] * 4
