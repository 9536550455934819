"""Bodies that are too large are refused before they are read."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gatewright.runtime.api.limits import BodyLimit

LIMIT = 1000


async def size(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


APP = Starlette(routes=[Route("/", size, methods=["POST"])])


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(BodyLimit(APP, limit=LIMIT)), base_url="http://localhost")


async def chunks(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b"x" * 100


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_of_the_limit_is_taken(declared: bool) -> None:
    async with client() as http:
        response = await http.post("/", content=b"x" * LIMIT if declared else chunks(LIMIT // 100))

    assert (response.status_code, response.text) == (200, str(LIMIT))


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit_is_refused(declared: bool) -> None:
    async with client() as http:
        response = await http.post("/", content=b"x" * (LIMIT + 1) if declared else chunks(LIMIT // 100 + 1))

    assert response.status_code == 413
    assert response.json()["error"]["type"] == "LimitError"
    assert str(LIMIT) in response.json()["error"]["message"]
    assert response.headers["connection"] == "close"


async def test_nothing_behind_the_limit_is_read() -> None:
    taken = 0
    answers: list[Message] = []

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}

    async def send(message: Message) -> None:
        answers.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    await BodyLimit(APP, limit=LIMIT)(scope, receive, send)

    assert answers[0]["status"] == 413
    assert taken == 3


async def test_what_is_not_http_is_passed_on() -> None:
    passed: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def nowhere(message: Message) -> None:
        raise AssertionError(message)

    await BodyLimit(app, limit=LIMIT)({"type": "lifespan"}, nothing, nowhere)

    assert passed == ["lifespan"]
