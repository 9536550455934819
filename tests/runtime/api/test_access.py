"""Who is let in: host, origin, token, cookie."""

import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gatewright.runtime.api.access import COOKIE, Access, identity
from gatewright.runtime.api.sessions import SECONDS, Sessions
from gatewright.runtime.config import AUDITOR, SERVICE, Person
from gatewright.runtime.people import Roster, digest

TOKEN = "a-long-random-token"
PEOPLE = {
    "Ada L.": Person(roles=("treasury",), token_sha256=digest("token of ada")),
    "bob": Person(roles=(AUDITOR,), token_sha256=digest("token of bob")),
}
KEY = b"k" * 32


def client(
    *,
    token: str = "",
    people: dict[str, Person] | None = None,
    local: bool = True,
    base: str = "http://localhost:8420",
) -> httpx.AsyncClient:
    async def inside(request: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    async def who(request: Request) -> PlainTextResponse:
        found = identity(request)
        return PlainTextResponse(f"{found.kind} {found.name} {sorted(found.roles)}")

    app = Starlette(
        routes=[Route("/who", who), Route("/{path:path}", inside, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])]
    )
    roster = Roster(people or {}, token)
    transport = httpx.ASGITransport(Access(app, roster=roster, sessions=Sessions(roster, KEY), local=local))
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
        response = await http.get(
            "/", headers={"cookie": f"other=1; {COOKIE}={Sessions(Roster({}, TOKEN), KEY).begin(SERVICE)}"}
        )

    assert response.text == "in"


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


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("token of ada", "person Ada L. ['treasury']"),
        ("token of bob", "person bob ['auditor']"),
        (TOKEN, "service service []"),
    ],
)
async def test_a_token_says_who_it_is(token: str, said: str) -> None:
    async with client(token=TOKEN, people=PEOPLE) as http:
        assert (await http.get("/who", headers={"authorization": f"Bearer {token}"})).text == said


async def test_without_people_a_token_proves_no_name() -> None:
    async with client(token=TOKEN) as http:
        assert (await http.get("/who", headers={"authorization": f"Bearer {TOKEN}"})).text == "anyone  []"


async def test_where_people_are_configured_a_token_is_needed_even_on_loopback() -> None:
    async with client(people=PEOPLE) as http:
        refused = await http.get("/who")

    assert refused.status_code == 401
    assert "GATEWRIGHT_TOKEN" in refused.json()["error"]["message"]


async def test_a_wrong_token_is_not_helped_by_a_session() -> None:
    cookie = f"{COOKIE}={Sessions(Roster(PEOPLE, ''), KEY).begin('Ada L.')}"
    async with client(people=PEOPLE) as http:
        with_cookie = await http.get("/who", headers={"cookie": cookie})
        with_both = await http.get("/who", headers={"cookie": cookie, "authorization": "Bearer guess"})

    assert (with_cookie.text, with_both.status_code) == ("person Ada L. ['treasury']", 401)


async def test_a_session_that_has_run_out_is_sent_to_sign_in() -> None:
    old = Sessions(Roster(PEOPLE, ""), KEY).begin("Ada L.", now=time.time() - SECONDS - 1)
    async with client(people=PEOPLE) as http:
        response = await http.get("/who", headers={"cookie": f"{COOKIE}={old}", "accept": "text/html"})

    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=/who")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_an_auditor_reads_and_changes_nothing(method: str) -> None:
    async with client(people=PEOPLE) as http:
        bob = {"authorization": "Bearer token of bob"}
        read = await http.get("/v1/runs", headers=bob)
        changed = await http.request(method, "/v1/runs", headers=bob)
        signed_out = await http.post("/sign-out", headers=bob)

    assert (read.text, changed.status_code, signed_out.text) == ("in", 403, "in")
    assert "auditor" in changed.json()["error"]["message"]


async def test_a_session_is_no_help_to_a_page_of_another_site() -> None:
    cookie = f"{COOKIE}={Sessions(Roster(PEOPLE, ''), KEY).begin('Ada L.')}"
    async with client(people=PEOPLE) as http:
        forged = await http.post("/approvals/1", headers={"cookie": cookie, "origin": "https://evil.example"})
        own = await http.post("/approvals/1", headers={"cookie": cookie, "origin": "http://localhost:8420"})

    assert (forged.status_code, own.text) == (403, "in")


@pytest.mark.parametrize("header", ["x-forwarded-user", "x-remote-user", "remote-user"])
async def test_a_name_in_a_header_proves_nothing(header: str) -> None:
    async with client(people=PEOPLE) as http:
        assert (await http.get("/who", headers={header: "Ada L."})).status_code == 401
