"""What carries a message to a receiver, and how an attempt fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Protocol

from gatewright.agents.errors import UsageError

from .mail import MailChannel
from .outbox import Notice
from .receivers import Mail, Receiver
from .webhooks import SlackChannel, WebhookChannel


class Channel(Protocol):
    """The way to one receiver."""

    async def deliver(self, notice: Notice) -> None:
        """Make one attempt.

        Raises:
            DeliveryError: the receiver did not take it.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def channels(
    receivers: Iterable[Receiver], mail: Mail, *, public_url: str, environ: Mapping[str, str] = os.environ
) -> dict[str, Channel]:
    """The way to each receiver, by its name.

    Raises:
        UsageError: see `channel`.
    """
    return {receiver.name: channel(receiver, mail, public_url=public_url, environ=environ) for receiver in receivers}


def channel(receiver: Receiver, mail: Mail, *, public_url: str, environ: Mapping[str, str] = os.environ) -> Channel:
    """The way to a receiver.

    Raises:
        UsageError: an environment variable that it names is not set or cannot be used, or no mail server is configured.
    """
    to = receiver.address(environ)
    if receiver.kind == "webhook":
        return WebhookChannel(to, receiver.keys(environ), public_url)
    if receiver.kind == "slack":
        return SlackChannel(to, public_url)
    if not mail.host:
        raise UsageError(f"receiver {receiver.name!r} is told by e-mail; configure the server with [mail] host, sender")
    return MailChannel(mail, mail.secret(environ), to, public_url)
