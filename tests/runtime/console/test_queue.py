"""The queue as people with roles see it, without JavaScript: what each may decide, together, for others, alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gatewright.runtime import requests
from gatewright.runtime.api import create_app
from gatewright.runtime.clock import Clock
from gatewright.runtime.service import Service
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.approvals.ballots import Voter

if TYPE_CHECKING:
    from tests.runtime.conftest import Staffed

EVIL = "<script>alert(1)</script>"
PEOPLE = {
    "ada": ["treasury"],
    "bob": ["treasury", "break_glass"],
    "carol": ["ops"],
    "dan": ["board"],
    "oscar": ["operator"],
    "audrey": ["auditor"],
    EVIL: ["treasury"],
}


class Form(HTMLParser):
    """The fields of the form whose action ends like this, as a browser would send them untouched."""

    def __init__(self, page: str, action: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.found = self._inside = False
        self._action = action
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("action", "").endswith(self._action)
            self.found = self.found or self._inside
        elif tag == "input" and self._inside and "name" in given:
            ticked = given.get("type") not in ("checkbox", "radio") or "checked" in given
            if ticked:
                self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"


class Room:
    """A service, and browsers without JavaScript in which people have signed in."""

    def __init__(self, service: Service, http: Callable[[], httpx.AsyncClient]) -> None:
        self.service = service
        self._http = http
        self._browsers: dict[str, httpx.AsyncClient] = {}

    async def browser(self, name: str) -> httpx.AsyncClient:
        if name not in self._browsers:
            self._browsers[name] = self._http()
            signed = await self._browsers[name].post("/sign-in", data={"token": name, "next": "/"})
            assert signed.status_code == 303, signed.text
        return self._browsers[name]

    async def page(self, name: str, path: str) -> str:
        response = await (await self.browser(name)).get(path)
        assert response.status_code == 200, response.text
        return response.text

    async def send(self, name: str, path: str, **fields: Any) -> httpx.Response:
        """Send the form at the end of `path` as it is shown on the page before it, with these fields filled in."""
        shown = await self.page(name, path)
        return await (await self.browser(name)).post(path, data={**Form(shown, path).fields, **fields})

    async def waiting(self, requester: str = "oscar", order: str = "B-02") -> str:
        run = await self.service.start_run("clerk", {"order": order, "amount": 400}, requester=requester)
        return (await self.service.wait(run.id)).waiting_for[0]

    async def close(self) -> None:
        for browser in self._browsers.values():
            await browser.aclose()


Opened = Callable[..., AbstractAsyncContextManager[Room]]


@pytest.fixture
def opened(staffed: Staffed) -> Opened:
    @asynccontextmanager
    async def open_(terms: dict[str, Any] | None = None) -> AsyncGenerator[Room]:
        async with await Service.open(staffed(terms, **PEOPLE)) as service:
            app = create_app(service)

            def http() -> httpx.AsyncClient:
                headers = {"accept": "text/html"}
                return httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
                )

            room = Room(service, http)
            yield room
            await room.close()

    return open_


async def test_a_page_says_who_has_signed_in(opened: Opened) -> None:
    async with opened() as room:
        page = await room.page("bob", "/")

    assert "bob" in page and "break_glass, treasury" in page
    assert 'name="by"' not in page


async def test_a_vote_is_that_of_the_session_whatever_the_form_says(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        spoofed = await room.send("carol", f"/approvals/{approval}", verb="approve", by="ada")
        before = await room.service.approval(approval)
        own = await room.send("carol", f"/approvals/{approval}", verb="approve")
        after = await room.service.approval(approval)

    assert (spoofed.status_code, before.votes) == (403, [])
    assert "the token is that of &#39;carol&#39;" in spoofed.text
    assert (own.status_code, [(vote.by, vote.via) for vote in after.votes]) == (303, [("carol", "console")])


async def test_stages_and_votes_so_far_are_shown(opened: Opened) -> None:
    async with opened({"stages": [{"any": 1, "roles": ["ops"]}, {"any": 1, "roles": ["treasury"]}]}) as room:
        approval = await room.waiting()
        first = await room.page("carol", "/approvals")
        await room.send("carol", f"/approvals/{approval}", verb="approve", reason="checked the bill")
        second = await room.page("ada", "/approvals")

    assert "<strong>0 of 2</strong> approvals, next from <strong>ops</strong>" in first
    assert "<strong>1 of 2</strong> approvals, next from <strong>treasury</strong>" in second
    assert "approve by <strong>carol</strong>" in second and "checked the bill" in second


async def test_a_deadline_is_shown_with_what_happens_then(opened: Opened) -> None:
    async with opened({"expires": "4h", "on_expiry": "reject"}) as room:
        await room.waiting()
        page = await room.page("ada", "/approvals")

    assert re.search(r"Ends <time [^>]*>in \d+ (h|min)</time>; if nobody decides it is rejected", page)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("carol", "This needs the role treasury, which you do not have."),
        ("ada", "You may not decide this: ada started the run."),
        ("audrey", "You are an auditor: you see this and do not decide it."),
    ],
)
async def test_who_cannot_decide_is_told_why_and_gets_no_form(opened: Opened, name: str, said: str) -> None:
    async with opened({"roles": ["treasury"]}) as room:
        approval = await room.waiting(requester="ada")
        page = await room.page(name, f"/approvals/{approval}")

    assert said in unescape(page)
    assert not Form(page, f"/approvals/{approval}").found


async def test_the_queue_begins_with_what_one_may_decide_and_can_show_all(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as room:
        approval = await room.waiting()

        assert approval in await room.page("ada", "/approvals")
        assert approval not in await room.page("carol", "/approvals")
        assert approval in await room.page("carol", "/approvals?show=all")
        assert approval in await room.page("carol", "/approvals?show=all&role=treasury")
        assert approval not in await room.page("carol", "/approvals?show=all&role=ops")
        assert (await (await room.browser("carol")).get("/approvals?show=some")).status_code == 422


async def test_several_are_decided_together_each_for_itself(opened: Opened) -> None:
    async with opened() as room:
        approvals = [await room.waiting() for _ in range(3)]
        browser = await room.browser("ada")
        page = await room.page("ada", "/approvals")
        picks = [unescape(value) for value in re.findall(r'name="pick" value="([^"]+)"', page)]
        no_reason = await browser.post("/approvals/batch", data={"pick": picks[:2], "verb": "reject"})
        nothing = await browser.post("/approvals/batch", data={"verb": "approve"})
        data = {"pick": picks[:2], "verb": "reject", "reason": "not due", "back": "/approvals"}
        done = await browser.post("/approvals/batch", data=data)
        again = await browser.post("/approvals/batch", data={**data, "pick": picks})
        states = [(await room.service.approval(approval)).state for approval in approvals]

    assert [pick.split(" ")[0] for pick in picks] == approvals
    assert (no_reason.status_code, nothing.status_code, done.status_code) == (422, 422, 303)
    assert states == ["rejected", "rejected", "rejected"]
    assert again.status_code == 409
    assert again.text.count("not decided") == 2


async def test_a_batch_carries_what_was_shown(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        browser = await room.browser("ada")
        stale = {"pick": f"{approval} {'0' * 64}", "verb": "approve"}
        refused = await browser.post("/approvals/batch", data=stale)

        assert refused.status_code == 409
        assert "look at it again" in refused.text
        assert (await room.service.approval(approval)).state == "open"


async def test_a_form_that_is_out_of_date_is_refused_and_shown_as_it_is_now(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        refused = await room.send("ada", f"/approvals/{approval}", verb="approve", shown="0" * 64)

        assert refused.status_code == 409
        assert "look at it again" in refused.text
        assert Form(refused.text, f"/approvals/{approval}").fields["shown"] != "0" * 64
        assert (await room.service.approval(approval)).votes == []


async def test_a_form_that_is_sent_twice_is_one_vote(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["treasury"]}) as room:
        approval = await room.waiting()
        place = f"/approvals/{approval}"
        fields = {**Form(await room.page("ada", place), place).fields, "verb": "approve"}
        answers = [await (await room.browser("ada")).post(place, data=fields) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [303, 303]
        assert (await room.service.approval(approval)).given == 1


@pytest.mark.parametrize("reach", ["run", "thread", "until"])
async def test_an_approval_can_let_the_like_pass(opened: Opened, reach: str) -> None:
    async with opened({"roles": ["treasury"]}) as room:
        approval = await room.waiting()
        fields = {"verb": "approve", "grant": reach, "grant_hours": "8"}
        done = await room.send("ada", f"/approvals/{approval}", **fields)
        (grant,) = await room.service.grants()
        page = await room.page("carol", "/grants")

    assert done.status_code == 303
    assert (grant.reach, grant.by, grant.args) == (reach, "ada", {"amount": 400, "order": "B-02"})
    assert "for refund" not in page and "Revoke" in page  # carol sees it; it is not hers to end
    assert "/revoke" not in page


async def test_hours_that_are_none_are_told_at_their_field(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        refused = await room.send("ada", f"/approvals/{approval}", verb="approve", grant="until", grant_hours="soon")

        assert refused.status_code == 422
        assert re.search(r'id="hours-[^"]+"[^>]*value="soon" aria-invalid="true"', refused.text)
        assert (await room.service.approval(approval)).state == "open"


async def test_where_a_rule_always_asks_no_grant_is_offered(opened: Opened) -> None:
    async with opened({"always_ask": True}) as room:
        await room.waiting()

        assert 'name="grant"' not in await room.page("ada", "/approvals")


async def test_a_grant_is_ended_by_its_giver_and_by_operators(opened: Opened) -> None:
    async with opened() as room:
        for giver, ender in (("ada", "ada"), ("ada", "oscar")):
            approval = await room.waiting("carol")
            await room.send(giver, f"/approvals/{approval}", verb="approve", grant="run")
            (grant,) = await room.service.grants()
            stranger = await (await room.browser("carol")).post(f"/grants/{grant.id}/revoke")
            ended = await room.send(ender, "/grants")
            ended = await (await room.browser(ender)).post(f"/grants/{grant.id}/revoke")

            assert (stranger.status_code, ended.status_code) == (403, 303)
            assert await room.service.grants() == []


async def test_a_delegation_is_given_used_and_revoked(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as room:
        given = await room.send("ada", "/delegations", to="carol", hours="8", reason="holiday")
        approval = await room.waiting()
        page = await room.page("carol", f"/approvals/{approval}")
        voted = await room.send("carol", f"/approvals/{approval}", verb="approve", on_behalf_of="ada")
        (delegation,) = await room.service.delegations()
        revoked = await (await room.browser("ada")).post(f"/delegations/{delegation.id}/revoke")
        after = await room.page("carol", "/delegations")
        view = await room.service.approval(approval)

    assert (given.status_code, voted.status_code, revoked.status_code) == (303, 303, 303)
    assert "<option>ada</option>" in page
    assert [(vote.by, vote.on_behalf_of) for vote in view.votes] == [("carol", "ada")]
    assert "holiday" not in after


@pytest.mark.parametrize("hours", ["", "0", "-1", "soon", "1.5", "99999", "٣"])
async def test_a_delegation_for_no_time_is_refused(opened: Opened, hours: str) -> None:
    async with opened() as room:
        refused = await room.send("ada", "/delegations", to="carol", hours=hours)

        assert refused.status_code == 422
        assert await room.service.delegations() == []


async def test_the_glass_is_broken_on_a_page_of_its_own(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["board"]}) as room:
        approval = await room.waiting()
        place = f"/approvals/{approval}/emergency"
        listed = await room.page("bob", "/approvals?show=all")
        await room.page("bob", place)  # looking is not deciding
        no_reason = await room.send("bob", place, verb="approve", sure="yes", reason=" ")
        not_sure = await room.send("bob", place, verb="approve", reason="fire")
        untouched = await room.service.approval(approval)
        done = await (await room.browser("bob")).post(
            place, data={"verb": "approve", "sure": "yes", "reason": "fire", "shown": untouched.digest}
        )
        view = await room.service.approval(approval)
        review = next(found for found in await room.service.approvals() if found.kind == "review")
        asked = await room.page("dan", f"/approvals/{review.id}")

    assert place in listed
    assert (no_reason.status_code, not_sure.status_code, untouched.votes) == (422, 422, [])
    assert (done.status_code, view.votes[-1].break_glass, view.votes[-1].reason) == (303, True, "fire")
    assert "It was right" in asked and "It was wrong" in asked


async def test_without_the_role_there_is_no_glass_to_break(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        place = f"/approvals/{approval}/emergency"
        page = await room.page("ada", place)
        forced = await (await room.browser("ada")).post(place, data={"verb": "approve", "sure": "yes", "reason": "x"})

        assert "<button" not in page[page.index("<main") :]
        assert forced.status_code == 403
        assert (await room.service.approval(approval)).votes == []


async def test_following_links_changes_nothing(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        browser = await room.browser("bob")
        before = (await room.service.ledger()).size
        query = {"verb": "approve", "reason": "x", "sure": "yes", "pick": f"{approval} x", "to": "carol", "hours": "8"}
        for path in ("/", "/approvals", f"/approvals/{approval}", f"/approvals/{approval}/emergency", "/grants"):
            assert (await browser.get(path, params=query)).status_code == 200
        for path in ("/delegations", "/approvals/batch", "/grants/g/revoke", "/sign-out"):
            assert (await browser.get(path, params=query)).status_code in (200, 404, 405)

        assert (await room.service.approval(approval)).votes == []
        assert (await room.service.ledger()).size == before
        assert await room.service.delegations() == []


async def test_names_reasons_and_arguments_are_never_markup(opened: Opened) -> None:
    async with opened({"quorum": 2, "roles": ["treasury"]}) as room:
        approval = await room.waiting(requester=EVIL, order=EVIL)
        voter = Voter(name="ada", roles=frozenset({"treasury"}), authenticated=True)
        await room.service.decide(approval, "approve", voter=voter, reason=EVIL)
        await room.send(EVIL, "/delegations", to="bob", hours="2", reason=EVIL)
        pages = [
            await room.page(name, path)
            for name in (EVIL, "bob")
            for path in ("/", "/approvals", "/approvals?show=all", f"/approvals/{approval}", "/delegations", "/grants")
        ]

    assert all(EVIL not in page for page in pages)
    assert sum("&lt;script&gt;alert(1)&lt;/script&gt;" in page for page in pages) >= 10


async def test_a_post_of_another_sites_page_is_refused(opened: Opened) -> None:
    async with opened() as room:
        approval = await room.waiting()
        browser = await room.browser("ada")
        for path in (f"/approvals/{approval}", "/approvals/batch", "/delegations"):
            forged = await browser.post(path, data={"verb": "approve"}, headers={"origin": "https://evil.example"})
            assert forged.status_code == 403

        assert (await room.service.approval(approval)).votes == []


async def test_after_signing_out_the_session_is_gone(opened: Opened) -> None:
    async with opened() as room:
        browser = await room.browser("ada")
        await browser.post("/sign-out")

        assert (await browser.get("/approvals")).headers["location"] == "/sign-in?next=/approvals"


async def test_every_control_has_a_label_and_every_id_is_one(opened: Opened) -> None:
    async with opened() as room:
        await room.send("ada", "/delegations", to="bob", hours="2")
        approval = await room.waiting("carol")
        await room.waiting("carol")
        for path in ("/approvals", f"/approvals/{approval}/emergency", "/delegations"):
            page = await room.page("bob", path)
            ids = re.findall(r'\sid="([^"]+)"', page)
            controls = re.findall(r"<(?:input|select|textarea)\b[^>]*>", page)
            labels = set(re.findall(r'<label for="([^"]+)"', page))

            assert len(ids) == len(set(ids))
            for control in controls:
                found = re.search(r'\sid="([^"]+)"', control)
                inside = re.search(rf"<label>[^<]*{re.escape(control)}", page)
                assert 'type="hidden"' in control or inside or (found and found[1] in labels), control


async def test_ten_thousand_requests_are_paged_to_the_last(opened: Opened) -> None:
    async with opened({"roles": ["treasury"]}) as room:
        first = await room.waiting()
        now = Clock().now()

        def multiply(transaction: Transaction) -> None:
            request, row = requests.find(transaction, first)
            for number in range(9_999):
                again = dataclasses.replace(request, id=f"ask-{number:04}")
                requests.open_request(transaction, row.run_id, row, f"again-{number}", again, now=now)

        await room.service._write(multiply)  # pyright: ignore[reportPrivateUsage]  # 10,000 runs would take minutes
        voter = Voter(name="ada", roles=frozenset({"treasury"}), authenticated=True)
        seen: list[str] = []
        while page := await room.service.approvals(voter=voter, limit=1000, after=seen[-1] if seen else None):
            seen += [view.id for view in page]
        begin = await room.page("ada", "/approvals")
        end = await room.page("ada", f"/approvals?after={seen[-50]}")

    assert seen == [first, *(f"ask-{number:04}" for number in range(9_999))]
    assert (first in begin, "ask-0048" in begin, "ask-0049" in begin) == (True, True, False)
    assert "Newer" in begin and "Newer" not in end
    assert "ask-9998" in end
