"""Messages over HTTP, to receivers that take them, refuse, hang, redirect or talk without end."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from gatewright.runtime.notices import webhooks
from gatewright.runtime.notices.delivery import DeliveryError
from gatewright.runtime.notices.facts import Facts
from gatewright.runtime.notices.outbox import Notice
from gatewright.runtime.notices.receivers import key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT = f"whsec_{base64.b64encode(b'next' * 8).decode()}"
NOTICE = Notice(
    number=1,
    id="notice-1",
    event="approval.opened",
    subject_id="ask-1",
    facts=Facts(deployment="x", agent="clerk", subject="tool pay"),
    attempts=0,
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


async def deliver(url: str, *secrets: str) -> None:
    channel = webhooks.WebhookChannel(url, [key(secret) for secret in secrets or (SECRET,)], "https://gate.example.org")
    try:
        await channel.deliver(NOTICE)
    finally:
        await channel.close()


async def refusal(url: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as refused:
        await deliver(url)
    return refused.value


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_message_is_signed_so_that_anybody_with_the_secret_can_check_it(receiving: Any) -> None:
    await deliver(receiving.url)

    (request,) = receiving.requests
    stamp = request.headers["webhook-timestamp"]
    signed = f"notice-1.{stamp}.".encode() + request.body
    expected = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert request.path == "/hook"
    assert request.headers["webhook-id"] == "notice-1"
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert request.headers["content-type"] == "application/json"
    assert abs(int(stamp) - time.time()) < 60
    assert json.loads(request.body)["data"]["id"] == "ask-1"


async def test_while_a_secret_is_replaced_both_verify(receiving: Any) -> None:
    await deliver(receiving.url, SECRET, NEXT)

    (request,) = receiving.requests
    for secret in (SECRET, NEXT):
        assert Webhook(secret).verify(request.body, request.headers)["type"] == "approval.opened"


async def test_slack_is_sent_blocks_and_no_signature(receiving: Any) -> None:
    channel = webhooks.SlackChannel(receiving.url, "https://gate.example.org")
    await channel.deliver(NOTICE)
    await channel.close()

    (request,) = receiving.requests
    assert [block["type"] for block in json.loads(request.body)["blocks"]] == ["header", "section", "actions"]
    assert "webhook-signature" not in request.headers


@pytest.mark.parametrize(
    ("reply", "reason", "wait", "final"),
    [
        (answer("500 Oops", body=b"the disk\n is full"), "answered 500: the disk is full", None, False),
        (answer("429 Slow", "retry-after: 120"), "answered 429", 120.0, False),
        (answer("503 Busy", "retry-after: soon"), "answered 503", None, False),
        (answer("500 Oops", "retry-after: 120"), "answered 500", None, False),
        (answer("410 Gone"), "answered 410", None, True),
    ],
)
async def test_a_refusal_is_told_with_its_reason_and_how_long_to_wait(
    receiving: Any, reply: bytes, reason: str, wait: float | None, final: bool
) -> None:
    receiving.replies = [reply]

    refused = await refusal(receiving.url)

    assert (refused.reason, refused.wait, refused.final) == (reason, wait, final)


async def test_a_date_to_wait_for_is_understood(receiving: Any) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    receiving.replies = [answer("429 Slow", f"retry-after: {until}")]

    refused = await refusal(receiving.url)

    assert refused.wait is not None and 500 < refused.wait <= 600


async def test_a_redirect_is_not_followed(receiving: Any, other: Any) -> None:
    receiving.replies = [answer("307 Elsewhere", f"location: {other.url}")]

    refused = await refusal(receiving.url)

    assert "307, which is not followed" in refused.reason
    assert other.requests == []


async def test_a_receiver_that_never_answers_is_given_up_in_time(
    receiving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while True:  # something always arrives, so that no read of its own takes long
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    monkeypatch.setattr(webhooks, "TIMEOUT", 0.2)
    receiving.replies = [trickle]

    assert (await refusal(receiving.url)).reason == "no answer within 0.2 s"


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_an_answer_of_ten_megabytes_is_not_read(receiving: Any, status: str) -> None:
    receiving.replies = [answer(status, "content-encoding: gzip", body=b"y" * 10_000_000)]
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()

    if status.startswith("2"):
        await deliver(receiving.url)
    else:
        assert (await refusal(receiving.url)).reason == f"answered 500: {'y' * 200}"

    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 25_000_000  # the server's own copies of the body, and nothing of it here


async def test_a_receiver_that_is_not_there_is_told_without_its_address() -> None:
    refused = await refusal("http://127.0.0.1:1/secret-path")

    assert "ConnectError" in refused.reason
    assert "secret-path" not in refused.reason


async def test_an_answer_that_is_no_http_is_a_refusal(receiving: Any) -> None:
    receiving.replies = [b"SSH-2.0-OpenSSH_9.6\r\n\r\n"]

    assert "RemoteProtocolError" in (await refusal(receiving.url)).reason


async def test_a_message_goes_to_this_machine_whatever_proxies_are_configured(
    receiving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    await deliver(receiving.url)

    assert len(receiving.requests) == 1
