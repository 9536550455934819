"""Where Kafka is and how it is entered."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatewright.agents.errors import UsageError
from gatewright.runtime.addresses import brokers

from .client import kafka

_SECRET = re.compile("password|token|context")
_OWN = ("client_id", "client_dns_lookup", "proxy_url", "security_protocol")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM")
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
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
        found = {name: _value(name, value) for name, value in (options or {}).items()}
        _check(found)
        return cls(servers=servers, options=found)

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


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what kafka-python takes and does not do: a protocol that it does not know is PLAINTEXT to it, and what
    misses a user or a file looks like brokers that are away."""
    protocol = _choice("security_protocol", options.get("security_protocol", "PLAINTEXT"), _PROTOCOLS)
    for prefix, wanted in (("sasl_", "SASL"), ("ssl_", "SSL")):
        named = [name for name in options if name.startswith(prefix)]
        if named and wanted not in protocol.split("_"):
            fitting = ", ".join(each for each in _PROTOCOLS if wanted in each.split("_"))
            raise UsageError(
                f"the option {named[0]!r} of Kafka has no effect while 'security_protocol' is {protocol!r}; "
                f"set that to one of {fitting}"
            )
    for name in _FILES:
        if name in options and not Path(options[name]).is_file():
            raise UsageError(f"the option {name!r} of Kafka is {options[name]!r}, and there is no such file")
    if not protocol.startswith("SASL"):
        return
    mechanism = _choice("sasl_mechanism", options.get("sasl_mechanism"), _MECHANISMS)
    if mechanism == "PLAIN" or mechanism.startswith("SCRAM"):
        for name in ("sasl_plain_username", "sasl_plain_password"):
            if not options.get(name):
                raise UsageError(f"the option {name!r} of Kafka is not set; 'sasl_mechanism' {mechanism!r} needs it")


def _choice(name: str, value: Any, known: Collection[str]) -> str:
    if value not in known:
        raise UsageError(f"the option {name!r} of Kafka is {value!r}; write one of {', '.join(known)}")
    return str(value)
