"""Approvals over HTTP: who may decide what, in whose place, for how long, and how an emergency is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service

if TYPE_CHECKING:
    from tests.runtime.conftest import Staffed

LARGE = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}
TREASURY = {"ada": ["treasury"], "bob": ["treasury", "break_glass"], "oscar": ["operator"], "carol": ["ops"]}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


class Door:
    """The API as several people use it; each sends their name as token."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, name: str, path: str, **query: Any) -> httpx.Response:
        return await self._http.get(f"/v1{path}", params=query, headers={"authorization": f"Bearer {name}"})

    async def post(self, name: str, path: str, **body: Any) -> httpx.Response:
        return await self._http.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {name}"})

    async def waiting(self, name: str = "oscar", **body: Any) -> str:
        """The id of a new request, of a run that this person starts."""
        run = await self.post(name, "/runs/wait", **{**LARGE, **body})
        assert run.status_code == 200, run.text
        return str(run.json()["waiting_for"][0])

    async def ids(self, name: str, **query: Any) -> list[str]:
        return [view["id"] for view in (await self.get(name, "/approvals", **query)).json()]


Opened = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
def opened(staffed: Staffed) -> Opened:
    @asynccontextmanager
    async def open_(terms: dict[str, Any] | None = None) -> AsyncGenerator[Door]:
        async with await Service.open(staffed(terms, **TREASURY)) as service:
            transport = httpx.ASGITransport(create_app(service))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                yield Door(http)

    return open_


def message(response: httpx.Response) -> str:
    return str(response.json()["error"]["message"])


async def test_two_different_people_with_the_role_are_needed(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["treasury"]}) as door:
        place = f"/approvals/{await door.waiting()}"
        first = await door.post("ada", f"{place}/approve")
        again = await door.post("ada", f"{place}/approve")
        second = await door.post("bob", f"{place}/approve")

    assert (first.json()["state"], first.json()["given"], first.json()["needed"]) == ("open", 1, 2)
    assert again.status_code == 409
    assert second.json()["state"] in ("approved", "consumed")
    assert [(vote["by"], vote["authenticated"], vote["via"]) for vote in second.json()["votes"]] == [
        ("ada", True, "api"),
        ("bob", True, "api"),
    ]


@pytest.mark.parametrize("name", ["carol", "oscar"])
async def test_without_the_role_there_is_no_vote(opened: Opened, name: str) -> None:
    async with opened({"roles": ["treasury"]}) as door:
        place = f"/approvals/{await door.waiting('ada')}"
        refused = await door.post(name, f"{place}/approve")

        assert refused.status_code == 403
        assert refused.json()["error"]["type"] == "NotEntitledError"
        assert "'treasury'" in message(refused)
        assert (await door.get("ada", place)).json()["votes"] == []


@pytest.mark.parametrize("verb", ["approve", "reject", "edit", "answer"])
@pytest.mark.parametrize("terms", [None, {"quorum": 2}, {"allow": ["requester", "editor"]}, {"roles": ["treasury"]}])
async def test_a_service_account_decides_nothing_that_people_are_asked(
    opened: Opened, terms: dict[str, Any] | None, verb: str
) -> None:
    async with opened(terms) as door:
        place = f"/approvals/{await door.waiting('robot')}"
        refused = await door.post("robot", f"{place}/{verb}", reason="a program says so", value={"amount": 1})

        assert refused.status_code == 403
        assert "is a program's account" in message(refused)
        assert (await door.get("ada", place)).json()["votes"] == []


async def test_nobody_breaks_the_glass_for_arguments_of_their_own(opened: Opened) -> None:
    async with opened() as door:
        edited = await door.post(
            "bob", f"/approvals/{await door.waiting()}/edit", value={"order": "B-02", "amount": 900}
        )
        run = await door.get("oscar", f"/runs/{edited.json()['run_id']}/wait")
        place = f"/approvals/{run.json()['waiting_for'][0]}"
        refused = await door.post("bob", f"{place}/approve", break_glass=True, reason="it burns")

        assert edited.json()["state"] == "superseded"
        assert refused.status_code == 403
        assert "wrote the arguments" in message(refused)
        assert (await door.get("ada", place)).json()["votes"] == []


async def test_roles_in_a_body_are_no_roles(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as door:
        refused = await door.post("carol", f"/approvals/{await door.waiting()}/approve", roles=["treasury"])

    assert refused.status_code == 422


async def test_people_find_what_they_may_decide_among_all(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["treasury"]}) as door:
        first, second = await door.waiting("oscar"), await door.waiting("ada")
        await door.post("bob", f"/approvals/{first}/approve")

        assert await door.ids("carol") == [first, second]
        assert await door.ids("ada", mine=True) == [first]
        assert await door.ids("bob", mine=True) == [second]
        assert await door.ids("carol", mine=True) == []
        assert await door.ids("carol", role="treasury") == [first, second]
        assert await door.ids("carol", role="ops") == []
        assert await door.ids("carol", deployment="other") == []


async def test_pages_follow_one_another_without_gap_or_repetition(opened: Opened) -> None:
    async with opened() as door:
        made = [await door.waiting() for _ in range(5)]
        seen: list[str] = []
        while page := await door.ids("ada", limit=2, **({"after": seen[-1]} if seen else {})):
            seen += page

        assert seen == made
        assert (await door.get("ada", "/approvals", after="ask-nowhere")).status_code == 404


async def test_several_are_decided_each_for_itself(opened: Opened) -> None:
    async with opened() as door:
        mine, others = await door.waiting("ada"), await door.waiting("oscar")
        outcomes = await door.post("ada", "/approvals/decide", ids=[mine, others, "x"], verb="reject", reason="no")

        assert outcomes.status_code == 200
        assert [(each["id"], each["state"]) for each in outcomes.json()] == [
            (mine, None),
            (others, "rejected"),
            ("x", None),
        ]
        assert "started the run" in outcomes.json()[0]["error"]["message"]
        assert (await door.get("ada", f"/approvals/{others}")).json()["decision_reason"] == "no"


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "approve", "ids": []},
        {"verb": "edit", "ids": ["x"]},
        {"verb": "approve", "ids": ["x"] * 1001},
    ],
)
async def test_a_batch_that_is_none_is_refused(opened: Opened, body: dict[str, Any]) -> None:
    async with opened() as door:
        assert (await door.post("ada", "/approvals/decide", **body)).status_code == 422


async def test_a_delegate_votes_in_the_place_of_who_delegated(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as door:
        given = await door.post("ada", "/delegations", to="carol", until=TOMORROW, reason="holiday")
        listed = (await door.get("oscar", "/delegations", person="carol")).json()
        decided = await door.post("carol", f"/approvals/{await door.waiting()}/approve", on_behalf_of="ada")

    assert given.status_code == 201
    assert [(one["by"], one["to"], one["roles"], one["active"]) for one in listed] == [
        ("ada", "carol", ["treasury"], True)
    ]
    assert (decided.json()["votes"][0]["by"], decided.json()["votes"][0]["on_behalf_of"]) == ("carol", "ada")


async def test_nobody_is_stood_for_without_having_said_so(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as door:
        refused = await door.post("carol", f"/approvals/{await door.waiting()}/approve", on_behalf_of="ada")

    assert refused.status_code == 403


@pytest.mark.parametrize(("name", "status"), [("carol", 403), ("ada", 200), ("oscar", 200)])
async def test_a_delegation_is_ended_by_its_giver_or_an_operator(opened: Opened, name: str, status: int) -> None:
    async with opened({"roles": ["treasury"]}) as door:
        given = (await door.post("ada", "/delegations", to="carol", until=TOMORROW)).json()
        revoked = await door.post(name, f"/delegations/{given['id']}/revoke")
        after = await door.post("carol", f"/approvals/{await door.waiting()}/approve", on_behalf_of="ada")

    assert revoked.status_code == status
    assert after.status_code == (403 if status == 200 else 200)


async def test_a_service_account_delegates_nothing(opened: Opened) -> None:
    async with opened() as door:
        assert (await door.post("robot", "/delegations", to="carol", until=TOMORROW)).status_code == 403


async def test_a_delegation_needs_a_time_with_its_zone(opened: Opened) -> None:
    async with opened() as door:
        refused = await door.post("ada", "/delegations", to="carol", until="2999-01-01T00:00:00")

    assert refused.status_code == 422


async def test_a_grant_lets_the_same_pass_until_it_is_revoked(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as door:
        thread = (await door.post("oscar", "/threads", deployment="clerk")).json()["id"]
        approval = await door.waiting(thread_id=thread)
        grant = {"reach": "thread", "arguments": ["order", "amount"]}
        run_id = (await door.post("ada", f"/approvals/{approval}/approve", grant=grant)).json()["run_id"]
        await door.get("ada", f"/runs/{run_id}/wait")
        passed = await door.post("oscar", "/runs/wait", **LARGE, thread_id=thread)
        (listed,) = (await door.get("carol", "/grants")).json()
        stranger = await door.post("carol", f"/grants/{listed['id']}/revoke")
        revoked = await door.post("ada", f"/grants/{listed['id']}/revoke")
        asked = await door.post("oscar", "/runs/wait", **LARGE, thread_id=thread)

    assert passed.json()["status"] == "succeeded"
    assert (listed["by"], listed["name"], listed["args"]) == ("ada", "refund", {"order": "B-02", "amount": 400})
    assert (stranger.status_code, revoked.json()["active"]) == (403, False)
    assert asked.json()["status"] == "waiting"


async def test_the_glass_is_broken_with_the_role_and_a_reason_and_reviewed(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["board"]}) as door:
        place = f"/approvals/{await door.waiting()}"
        no_role = await door.post("ada", f"{place}/approve", break_glass=True, reason="fire")
        no_reason = await door.post("bob", f"{place}/approve", break_glass=True)
        broken = await door.post("bob", f"{place}/approve", break_glass=True, reason="fire")
        reviews = [view for view in (await door.get("ada", "/approvals")).json() if view["kind"] == "review"]

    assert (no_role.status_code, no_reason.status_code) == (403, 422)
    assert broken.json()["votes"][-1]["break_glass"] is True
    assert [f"/approvals/{review['about']}" for review in reviews] == [place]
    assert "bob" in reviews[0]["excluded"] or reviews[0]["votes"] == []


async def test_a_vote_on_what_was_not_shown_is_refused(opened: Opened) -> None:
    async with opened() as door:
        place = f"/approvals/{await door.waiting()}"
        digest = (await door.get("ada", place)).json()["digest"]
        stale = await door.post("ada", f"{place}/approve", shown="0" * 64)
        fresh = await door.post("ada", f"{place}/approve", shown=digest)

    assert stale.status_code == 409
    assert "look at it again" in message(stale)
    assert fresh.status_code == 200


async def test_a_vote_that_is_sent_twice_is_one(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["treasury"]}) as door:
        place = f"/approvals/{await door.waiting()}"
        answers = [await door.post("ada", f"{place}/approve", vote_id="v-1") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].json()["given"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/approvals/decide", {"ids": ["{approval}"], "verb": "approve"}),
        ("/approvals/{approval}/approve", {}),
        ("/delegations", {"to": "carol", "until": TOMORROW}),
        ("/grants/grant-1/revoke", {}),
        ("/delegations/delegation-1/revoke", {}),
    ],
)
async def test_nobody_acts_under_anothers_name(opened: Opened, path: str, body: dict[str, Any]) -> None:
    async with opened() as door:
        approval = await door.waiting()
        ids = {"ids": [approval]} if "ids" in body else {}
        refused = await door.post("carol", path.format(approval=approval), **{**body, **ids, "by": "ada"})

        assert refused.status_code == 403
        assert "the token is that of 'carol'" in message(refused)
        assert (await door.get("ada", f"/approvals/{approval}")).json()["state"] == "open"


async def test_looking_changes_nothing(opened: Opened) -> None:
    async with opened() as door:
        approval = await door.waiting()
        before = (await door.get("ada", "/ledger")).json()["size"]
        query = {"verb": "approve", "by": "ada", "reason": "x", "break_glass": "true"}
        for path in (f"/approvals/{approval}", "/approvals", "/delegations", "/grants"):
            assert (await door.get("ada", path, **query)).status_code == 200
        for verb in ("approve", "reject", "edit", "answer"):
            assert (await door.get("ada", f"/approvals/{approval}/{verb}", **query)).status_code in (404, 405)

        assert (await door.get("ada", f"/approvals/{approval}")).json()["votes"] == []
        assert (await door.get("ada", "/ledger")).json()["size"] == before
