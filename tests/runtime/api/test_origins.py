"""Pages of other sites: those that are configured decide with a token in a header, nobody else and nowhere else."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.api import create_app
from gatewright.runtime.config import Person, load
from gatewright.runtime.service import Service

INBOX = "https://inbox.example.org"
SEARCH = "/v1/interop/agent-inbox/threads/search"
TOKEN = "gw_kims-token"
SAY = {"messages": [{"role": "user", "content": "Mail Ann."}]}


@asynccontextmanager
async def page(house: Any) -> AsyncGenerator[tuple[Service, httpx.AsyncClient]]:
    """A service with one person, and a browser that shows a page."""
    config = house.config("reviews:single")
    server = config.server.model_copy(update={"origins": (INBOX,)})
    kim = Person(token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest())
    config = config.model_copy(update={"server": server, "people": {"kim": kim}})
    async with await Service.open(config) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
            yield service, browser


async def test_a_configured_page_is_allowed_to_ask_before_it_has_a_token(house: Any) -> None:
    async with page(house) as (_service, browser):
        asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type"}
        allowed = await browser.options(SEARCH, headers={"origin": INBOX, **asks})
        refused = await browser.options(SEARCH, headers={"origin": "https://evil.example", **asks})

    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, INBOX)
    assert "access-control-allow-credentials" not in allowed.headers
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (400, None)


async def test_a_configured_page_decides_as_the_person_whose_key_it_has(house: Any) -> None:
    async with page(house) as (service, browser):
        run = await house.finish(service, SAY)
        headers = {"origin": INBOX, "sec-fetch-site": "cross-site", "x-api-key": TOKEN}
        (thread,) = (await browser.post(SEARCH, json={"status": "interrupted"}, headers=headers)).json()
        runs = f"/v1/interop/agent-inbox/threads/{thread['thread_id']}/runs"
        answer = {"assistant_id": "x", "command": {"resume": [{"type": "accept", "args": None}]}}
        decided = await browser.post(runs, json=answer, headers=headers)
        run = await service.wait(run.id, timeout=30)
        (view,) = await service.approvals(run_id=run.id, state=None)

    assert (decided.status_code, decided.headers["access-control-allow-origin"]) == (200, INBOX)
    assert (run.status, view.decided_by) == ("succeeded", "kim")
    assert view.votes[0].authenticated


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (SEARCH, {"origin": INBOX}, 401),
        (SEARCH, {"origin": INBOX, "x-api-key": "wrong"}, 401),
        (SEARCH, {"origin": "https://evil.example", "x-api-key": TOKEN}, 403),
        ("/v1/runs", {"origin": INBOX, "authorization": f"Bearer {TOKEN}"}, 403),
        ("/v1/runs", {"x-api-key": TOKEN}, 401),
    ],
)
async def test_nobody_else_and_nothing_else_is_let_in(
    house: Any, path: str, headers: dict[str, str], status: int
) -> None:
    async with page(house) as (_service, browser):
        assert (await browser.post(path, json={}, headers=headers)).status_code == status


async def test_the_cookie_of_the_console_is_no_key_for_another_sites_page(house: Any) -> None:
    async with page(house) as (_service, browser):
        signed_in = await browser.post("/sign-in", data={"token": TOKEN}, headers={"origin": "http://localhost"})
        cookie = f"gatewright_session={signed_in.cookies['gatewright_session']}"
        browser.cookies.clear()
        own = await browser.post(SEARCH, json={}, headers={"cookie": cookie, "origin": "http://localhost"})
        other = await browser.post(SEARCH, json={}, headers={"cookie": cookie, "origin": INBOX})

    assert (own.status_code, other.status_code) == (200, 401)


@pytest.mark.parametrize("origin", ["*", "https://inbox.example.org/", "http://inbox.example.org", "inbox.example.org"])
def test_an_origin_is_one_exact_address_over_tls(tmp_path: Any, origin: str) -> None:
    (tmp_path / "gatewright.toml").write_text(f'[server]\norigins = ["{origin}"]\n', "utf-8")

    with pytest.raises(UsageError, match="origins"):
        load(cwd=tmp_path, environ={})
