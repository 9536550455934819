"""Messages over HTTP: signed webhooks, and Slack's incoming webhooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from urllib.parse import urlsplit

import httpx
import orjson

from gatewright.runtime.addresses import is_loopback

from . import messages, signing
from .delivery import DeliveryError
from .outbox import Notice

TIMEOUT = 15.0  # seconds for one attempt; Standard Webhooks recommends 15 to 30
READ = 512  # bytes of an answer that are looked at
GONE = 410  # the address is not there any more and does not want to be asked again


class _Post:
    """One address over HTTP. Redirects are not followed: a message goes where the configuration says, or nowhere."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT,
            follow_redirects=False,
            headers={"user-agent": f"gatewright/{version('gatewright')}"},
            trust_env=not is_loopback(urlsplit(url).hostname or ""),  # a proxy does not reach this machine
        )

    async def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Make one attempt.

        Raises:
            DeliveryError: it was not answered with 2xx in time.
        """
        try:
            async with asyncio.timeout(TIMEOUT):  # httpx bounds each read, a receiver may trickle
                async with self._client.stream(
                    "POST", self._url, content=body, headers={"content-type": "application/json", **headers}
                ) as response:
                    said = b"" if response.is_success else await _beginning(response)
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {TIMEOUT:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryError(f"{type(error).__name__}: {_without(str(error), self._url)}") from error
        if not response.is_success:
            raise _refused(response, said)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


class WebhookChannel:
    """A webhook that its receiver can check to be ours (Standard Webhooks)."""

    def __init__(self, url: str, keys: Sequence[bytes], public_url: str) -> None:
        self._post = _Post(url)
        self._keys = keys
        self._public_url = public_url

    async def deliver(self, notice: Notice) -> None:
        """See `Channel.deliver`."""
        body = orjson.dumps(messages.payload(notice, self._public_url))
        await self._post.send(body, signing.headers(self._keys, notice.id, int(time.time()), body))

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._post.close()


class SlackChannel:
    """An incoming webhook of Slack, or of what takes the same."""

    def __init__(self, url: str, public_url: str) -> None:
        self._post = _Post(url)
        self._public_url = public_url

    async def deliver(self, notice: Notice) -> None:
        """See `Channel.deliver`."""
        await self._post.send(orjson.dumps(messages.blocks(notice, self._public_url)), {})

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._post.close()


async def _beginning(response: httpx.Response) -> bytes:
    """The first bytes of an answer, as they came: neither its length nor its compression can use up memory."""
    async for chunk in response.aiter_raw(READ):
        return chunk[:READ]
    return b""


def _refused(response: httpx.Response, said: bytes) -> DeliveryError:
    reason = f"answered {response.status_code}"
    if response.is_redirect:
        reason += ", which is not followed; configure the address that it leads to"
    elif text := messages.line(said.decode("utf-8", "replace"))[:200]:
        reason += f": {text}"
    wait = _wait(response.headers.get("retry-after", "")) if response.status_code in (429, 503) else None
    return DeliveryError(reason, wait=wait, final=response.status_code == GONE)


def _wait(value: str) -> float | None:
    """Seconds of a Retry-After (RFC 9110, 10.2.3): a number of them, or a date."""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _without(text: str, url: str) -> str:
    return messages.line(text.replace(url, "the address"))[:200]
