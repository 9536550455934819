"""Messages on the bus: a CloudEvents 1.0 envelope, and what a handler may answer one with."""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
import time as clock
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import orjson

from .errors import UsageError

PARTITIONS = 64
CONTENT_TYPE = "application/cloudevents+json"
JSON = "application/json"
BYTES = "application/octet-stream"

_VERSIONED = re.compile(r"(?P<schema>.+)@(?P<major>\d+)(?:\.(?P<minor>\d+))?")
_NONE: Mapping[str, Any] = MappingProxyType({})


_random: Iterator[int] = iter(())
"""Random numbers of 64 bits, fetched from the system many at a time."""


def _forget() -> None:
    global _random
    _random = iter(())


os.register_at_fork(after_in_child=_forget)  # else parent and child would give the same ids


def _bits() -> int:
    global _random
    while (number := next(_random, None)) is None:
        _random = iter(struct.unpack("256Q", os.urandom(2048)))
    return number


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): the time in milliseconds, and 74 random bits."""
    now, high, low = clock.time_ns() // 1_000_000, _bits(), _bits()
    return (
        f"{now >> 16:08x}-{now & 0xFFFF:04x}-{0x7000 | high >> 52:04x}-"
        f"{0x8000 | high >> 36 & 0x3FFF:04x}-{low >> 16:012x}"
    )


class Retry(Exception):
    """Raised by a handler: the message cannot be handled now and is to be delivered again.

    Later messages of its key wait meanwhile. When its attempts are used up, it becomes a dead letter.

    Args:
        after: seconds until then; without, exponential back-off with jitter.
    """

    def __init__(self, reason: str = "the handler asked for it again", *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Reject(Exception):
    """Raised by a handler: the message will never be handled; it becomes a dead letter at once."""


class Version(NamedTuple):
    """A schema and its version, as in the `type` of a message: `refund.requested@2.1`."""

    schema: str
    major: int
    minor: int


@dataclass(kw_only=True, slots=True)
class Message:
    """Something that is said on a topic. `data` is what is said: JSON values, or bytes.

    `id` and `source` name it for ever; who publishes the same id on a topic again changes nothing. `type` is
    `schema@major.minor` where the payload has a schema. Messages of one `key` are handled in the order in which they
    were published, those without a key in any. `deadline` is when nobody needs it handled any more. `attempt` counts
    deliveries from 1. `causation_id` is the message whose handling published this one, `correlation_id` the first of
    that chain. `extensions` are attributes of CloudEvents that have no meaning here.

    A value: nothing that was published changes with it, and `replace` gives another. It is not frozen because that
    would make it three times as slow to build.
    """

    source: str
    type: str
    data: Any
    id: str = field(default_factory=new_id)
    subject: str | None = None
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    datacontenttype: str | None = None
    key: str | None = None
    tenant: str | None = None
    run_id: str | None = None
    decision_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    reply_to: str | None = None
    deadline: datetime | None = None
    attempt: int = 1
    traceparent: str | None = None
    policy_version: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=lambda: _NONE)

    @property
    def version(self) -> Version | None:
        """The schema that `type` names; None where it names no version."""
        return version(self.type)

    def expired(self, now: datetime | None = None) -> bool:
        """Whether the deadline is over."""
        return self.deadline is not None and self.deadline <= (now or datetime.now(UTC))

    def replace(self, **changes: Any) -> Self:
        """The same message with other attributes."""
        return replace(self, **changes)

    def to_json(self) -> bytes:
        """A CloudEvents 1.0 event in structured JSON mode; bytes become `data_base64`.

        Raises:
            UsageError: the data is no JSON value.
        """
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
        }
        for attribute, name in _OPTIONAL:
            if (value := getattr(self, attribute)) is not None:
                event[name] = value
        if self.attempt != 1:
            event["attempt"] = self.attempt
        if self.extensions:
            event |= self.extensions
        if isinstance(self.data, bytes):
            event.setdefault("datacontenttype", BYTES)
            event["data_base64"] = base64.b64encode(self.data).decode("ascii")
        else:
            event["data"] = self.data
        try:
            return orjson.dumps(event)
        except TypeError as error:
            raise UsageError(
                f"message {self.id!r} of type {self.type!r} cannot be written as JSON: {error}; publish JSON values, "
                "bytes, or a pydantic model"
            ) from error

    @classmethod
    def from_json(cls, body: bytes | bytearray | memoryview) -> Self:
        """Read a CloudEvents 1.0 event in structured JSON mode.

        Raises:
            UsageError: it is none.
        """
        try:
            event = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{bytes(body[:60])!r}… is no JSON: {error}") from error
        if not isinstance(event, dict):
            raise UsageError(f"{bytes(body[:60])!r}… is no CloudEvent: it is a {type(event).__name__}, not an object")
        return cls.from_event(event)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """The message of the attributes and the data of a CloudEvent.

        Raises:
            UsageError: an attribute is missing or malformed.
        """
        given = dict(event)
        if (specification := given.pop("specversion", None)) != "1.0":
            raise UsageError(f"CloudEvents of specversion {specification!r} are not read, only '1.0'")
        named: dict[str, Any] = {}
        for name in ("id", "source", "type"):
            value = named[name] = given.pop(name, None)
            if not isinstance(value, str) or not value:
                raise UsageError(f"a CloudEvent needs a {name!r}, a text that is not empty; it has {value!r}")
        named["time"] = _time("time", given.pop("time", None)) or datetime.now(UTC)
        for attribute, name in _OPTIONAL:
            if (value := given.pop(name, None)) is not None:
                named[attribute] = _time(name, value) if attribute == "deadline" else _text(name, value)
        attempt = given.pop("attempt", 1)
        if not isinstance(attempt, int) or attempt < 1:
            raise UsageError(f"attempt {attempt!r} of message {named['id']!r} is no number from 1 on")
        if "data_base64" in given:
            try:
                data: Any = base64.b64decode(given.pop("data_base64"), validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                raise UsageError(f"'data_base64' of message {named['id']!r} is no base64: {error}") from error
        else:
            data = given.pop("data", None)
        return cls(**named, attempt=attempt, data=data, extensions=given or _NONE)


# Names of attributes in CloudEvents have only lower-case letters and digits. `partitionkey` and `traceparent` are
# its documented extensions (partitioning, distributed tracing).
_OPTIONAL = (
    ("subject", "subject"),
    ("datacontenttype", "datacontenttype"),
    ("key", "partitionkey"),
    ("tenant", "tenant"),
    ("run_id", "runid"),
    ("decision_id", "decisionid"),
    ("correlation_id", "correlationid"),
    ("causation_id", "causationid"),
    ("reply_to", "replyto"),
    ("deadline", "deadline"),
    ("traceparent", "traceparent"),
    ("policy_version", "policyversion"),
)


def version(type_: str) -> Version | None:
    """What a `type` says of its schema.

    >>> version("refund.requested@2.1")
    Version(schema='refund.requested', major=2, minor=1)
    >>> version("com.example.tick") is None
    True
    """
    found = _VERSIONED.fullmatch(type_)
    return None if found is None else Version(found["schema"], int(found["major"]), int(found["minor"] or 0))


def partition_of(key: str, partitions: int = PARTITIONS) -> int:
    """Where messages of a key go: CRC-32 (IEEE 802.3) of the key in UTF-8, modulo the number of partitions.

    It is what librdkafka calls the `consistent` partitioner.

    >>> partition_of("case-1", 64)
    55
    """
    return zlib.crc32(key.encode()) % partitions


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"attribute {name!r} of a CloudEvent is {value!r}; it must be a text")
    return value


def _time(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"attribute {name!r} of a CloudEvent is {value!r}; it must be a time of RFC 3339") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
