"""Addresses in the configuration: which are this machine, where people and pages may be at, and where Kafka is."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _public(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError(f"is {url!r}; write the address at which people reach the console, as https://host/path")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"is {url!r}, where people would sign in without TLS; use https")
    return url.rstrip("/")


PublicURL = Annotated[str, AfterValidator(_public)]
"""Where people reach the console; "" for nowhere, and then messages have no link."""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or url != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"is {url!r}; write where pages come from as https://host, each by itself, without a path")
    return _public(url)


Origin = Annotated[str, AfterValidator(_origin)]
"""Where pages of another site come from, as browsers send it."""


def brokers(url: str) -> tuple[str, ...]:
    """The brokers, "host:port" each, of `kafka://host:port,host:port`.

    Raises:
        ValueError: it is no such address; the message goes on after what it is the address of.
    """
    scheme, _, rest = url.partition("://")
    if "@" in rest:  # not shown
        raise ValueError(
            "holds a user or a password; give them as the options sasl_plain_username and sasl_plain_password, which "
            "are not shown"
        )
    servers = tuple(rest.removesuffix("/").split(","))
    for server in servers:
        found = _BROKER.fullmatch(server)
        if scheme != "kafka" or found is None or not 0 < int(found[2]) < 65536:
            raise ValueError(f"is {url!r}; write where its brokers are, as kafka://host:port,host:port")
    return servers


def _cluster(url: str) -> str:
    if url:
        brokers(url)
    return url


KafkaURL = Annotated[str, AfterValidator(_cluster)]
"""Where the brokers of a Kafka cluster are; "" for none."""
