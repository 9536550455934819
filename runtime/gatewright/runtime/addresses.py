"""Addresses in the configuration: which are this machine, and which people and pages may be at."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


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
