"""Where Kafka is and how it is entered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatewright.agents.errors import UsageError
from gatewright.runtime.addresses import brokers

from .client import kafka

_SECRET = re.compile("password|token|context")
_OWN = ("client_id", "client_dns_lookup", "proxy_url", "security_protocol")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class _Secret(str):
    """Text that does not show itself in representations: kafka-python logs the options of some clients."""

    def __repr__(self) -> str:
        return "'***'"


def known_options() -> frozenset[str]:
    """Names of kafka-python's options about security and naming; the others are not for whoever runs a deployment."""
    everywhere = (
        set(kafka.KafkaProducer.DEFAULT_CONFIG)
        & set(kafka.KafkaConsumer.DEFAULT_CONFIG)
        & set(kafka.KafkaAdminClient.DEFAULT_CONFIG)
    )
    return frozenset(name for name in everywhere if name in _OWN or name.startswith(("ssl_", "sasl_")))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Brokers and options, checked; the representation hides what is secret.

    `servers` are "host:port"; `options` go to kafka-python as they are (`security_protocol`, `sasl_mechanism`,
    `sasl_plain_username`, `sasl_plain_password`, `ssl_cafile`, …).
    """

    servers: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def parse(cls, url: str, options: Mapping[str, Any] | None = None) -> Settings:
        """Settings of `kafka://host:port,host:port`; options may be text, as environments give them.

        Raises:
            UsageError: the URL or an option is not what it should be.
        """
        try:
            servers = brokers(url)
        except ValueError as error:
            raise UsageError(f"the address of Kafka {error}") from None
        return cls(servers=servers, options={name: _value(name, value) for name, value in (options or {}).items()})

    def __repr__(self) -> str:
        shown = {name: "***" if _SECRET.search(name) else value for name, value in self.options.items()}
        return f"Settings(servers={self.servers!r}, options={shown!r})"

    @property
    def user(self) -> str:
        """As whom we come, in words for whoever grants access."""
        name = self.options.get("sasl_plain_username")
        return "this client, which has no user name," if name is None else f"user {str(name)!r}"

    def client_options(self) -> dict[str, Any]:
        """What every kafka-python client is given."""
        return {"bootstrap_servers": list(self.servers), **self.options}


def _value(name: str, value: Any) -> Any:
    known = known_options()
    if name not in known:
        raise UsageError(f"{name!r} is no option of Kafka that can be set; those are {', '.join(sorted(known))}")
    if isinstance(kafka.KafkaProducer.DEFAULT_CONFIG[name], bool) and isinstance(value, str):
        if (word := _WORDS.get(value.lower())) is None:
            raise UsageError(f"the option {name!r} of Kafka is {value!r}; write true or false")
        return word
    return _Secret(value) if isinstance(value, str) and _SECRET.search(name) else value
