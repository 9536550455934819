"""Who is let in: host, origin, token, cookie."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gatewright.runtime.api.access import COOKIE, SESSION_SECONDS, Access, is_loopback, session, session_holds

TOKEN = "a-long-random-token"


def client(*, token: str = "", local: bool = True, base: str = "http://localhost:8420") -> httpx.AsyncClient:
    async def inside(request: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    app = Starlette(routes=[Route("/{path:path}", inside, methods=["GET", "POST"])])
    transport = httpx.ASGITransport(Access(app, token=token, local=local))
    return httpx.AsyncClient(transport=transport, base_url=base)


@pytest.mark.parametrize("base", ["http://localhost:8420", "http://127.0.0.1", "http://[::1]:8420", "http://127.9.9.9"])
async def test_loopback_names_are_let_in(base: str) -> None:
    async with client(base=base) as http:
        assert (await http.get("/v1/runs")).text == "in"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""])
async def test_another_name_for_this_address_is_refused(host: str) -> None:
    async with client() as http:
        response = await http.get("/v1/runs", headers={"host": host})

    assert response.status_code == 421
    assert response.json()["error"]["type"] == "UsageError"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1:8420"])
async def test_a_page_of_another_origin_may_not_post(origin: str) -> None:
    async with client() as http:
        response = await http.post("/approvals/1", headers={"origin": origin})

    assert response.status_code == 403


async def test_a_cross_site_post_without_an_origin_is_refused() -> None:
    async with client() as http:
        assert (await http.post("/approvals/1", headers={"sec-fetch-site": "cross-site"})).status_code == 403


async def test_own_pages_and_programs_may_post() -> None:
    async with client() as http:
        assert (await http.post("/approvals/1", headers={"origin": "http://localhost:8420"})).text == "in"
        assert (await http.post("/approvals/1")).text == "in"


async def test_with_a_token_the_bearer_is_let_in_and_nobody_else() -> None:
    async with client(token=TOKEN, local=False, base="https://gate.example") as http:
        answers = [
            await http.get("/v1/runs", headers={"authorization": value})
            for value in (f"Bearer {TOKEN}", f"bearer {TOKEN}", "Bearer wrong", f"Basic {TOKEN}", "Bearer", "")
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 401, 401]
    assert answers[2].headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/sign-in", "/static/console.css"])
async def test_probes_and_the_sign_in_page_need_no_token(path: str) -> None:
    async with client(token=TOKEN) as http:
        assert (await http.get(path)).text == "in"


async def test_a_browser_without_a_session_is_sent_to_sign_in() -> None:
    async with client(token=TOKEN) as http:
        response = await http.get("/runs/r 1", headers={"accept": "text/html"})

    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=/runs/r%201")


async def test_a_session_cookie_is_let_in() -> None:
    async with client(token=TOKEN) as http:
        response = await http.get("/", headers={"cookie": f"other=1; {COOKIE}={session(TOKEN)}"})

    assert response.text == "in"


def test_a_session_runs_out() -> None:
    value = session(TOKEN, now=1000.0)

    assert session_holds(value, TOKEN, now=1000.0 + SESSION_SECONDS - 1)
    assert not session_holds(value, TOKEN, now=1000.0 + SESSION_SECONDS)


def test_a_session_ends_when_the_token_changes() -> None:
    assert not session_holds(session(TOKEN), "another token")


@given(st.data())
def test_a_session_that_was_altered_does_not_hold(data: st.DataObject) -> None:
    value = session(TOKEN)
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != value[place]))

    assert not session_holds(value[:place] + other + value[place + 1 :], TOKEN)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_told_apart(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["[", "a@127.0.0.1", "127.0.0.1:x", "[::1", "127.0.0.1/x", "2130706433"])
async def test_a_host_that_is_no_host_is_not_taken_for_loopback(host: str) -> None:
    async with client() as http:
        assert (await http.get("/", headers={"host": host})).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://[", "null", "", "http://127.0.0.1.evil.example", "http://127.0.0.1@evil.example"]
)
async def test_an_origin_that_is_not_this_service_changes_nothing(origin: str) -> None:
    async with client() as http:
        assert (await http.post("/", headers={"origin": origin})).status_code == 403


async def test_every_answer_forbids_other_sites_to_embed_it() -> None:
    async with client() as http:
        for answer in (await http.get("/"), await http.get("/", headers={"host": "evil.example"})):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_token_may_hold_any_letters() -> None:
    async with client(token="tökén") as http:
        right = await http.get("/", headers={b"authorization": "Bearer tökén".encode()})
        wrong = await http.get("/", headers={"authorization": "Bearer token"})

    assert (right.text, wrong.status_code) == ("in", 401)
