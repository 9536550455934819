"""Messages on the bus: a CloudEvents 1.0 envelope, and what a handler may answer one with."""

from __future__ import annotations

import base64
import binascii
import os
import re
import time as clock
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import orjson

from .errors import UsageError

PARTITIONS = 64
CONTENT_TYPE = "application/cloudevents+json"
JSON = "application/json"
BYTES = "application/octet-stream"
YEAR = 366 * 24 * 3600  # seconds

_AT_ONCE = 256  # ids

_VERSIONED = re.compile(r"(?P<schema>.+)@(?P<major>\d+)(?:\.(?P<minor>\d+))?")


_random: Iterator[str] = iter(())
"""Ends of ids, made many at a time."""
_prefix = (0, "")
"""The last millisecond, and how ids of it begin."""


def _forget() -> None:
    global _random
    _random = iter(())


os.register_at_fork(after_in_child=_forget)  # else parent and child would give the same ids


def _ends() -> Iterator[str]:
    digits = os.urandom(_AT_ONCE * 10).hex()
    for at in range(0, len(digits), 20):
        variant = "89ab"[int(digits[at], 16) & 3]
        yield f"{digits[at + 1 : at + 4]}-{variant}{digits[at + 4 : at + 7]}-{digits[at + 7 : at + 19]}"


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): the time in milliseconds, and 74 random bits."""
    global _prefix, _random
    now = clock.time_ns() // 1_000_000
    if now != _prefix[0]:
        _prefix = (now, f"{now >> 16:08x}-{now & 0xFFFF:04x}-7")
    while (end := next(_random, None)) is None:
        _random = iter(list(_ends()))  # a list's may be used by several threads
    return _prefix[1] + end


class Retry(Exception):
    """Raised by a handler: the message cannot be handled now and is to be delivered again.

    Later messages of its key wait meanwhile. When its attempts are used up, it becomes a dead letter.

    Args:
        after: seconds until then, at most a year; without, exponential back-off with jitter.

    Raises:
        UsageError: `after` is no such time.
    """

    def __init__(self, reason: str = "the handler asked for it again", *, after: float | None = None) -> None:
        super().__init__(reason)
        if after is not None and not 0 <= after <= YEAR:
            raise UsageError(f"a message cannot be tried again after {after!r} s; take 0 to {YEAR}")
        self.after = after


class Reject(Exception):
    """Raised by a handler: the message will never be handled; it becomes a dead letter at once."""


class Version(NamedTuple):
    """A schema and its version, as in the `type` of a message: `refund.requested@2.1`."""

    schema: str
    major: int
    minor: int


class Message:
    """Something that is said on a topic. `data` is what is said: JSON values, or bytes.

    `id` and `source` name it for ever; who publishes the same id on a topic again changes nothing. `type` is
    `schema@major.minor` where the payload has a schema. Messages of one `key` are handled in the order in which they
    were published, those without a key in any. `deadline` is when nobody needs it handled any more. `attempt` counts
    deliveries from 1. `causation_id` is the message whose handling published this one, `correlation_id` the first of
    that chain. `reply_to` is where it is answered. `extensions` are attributes of CloudEvents without a meaning here.

    A value: it never changes, and `replace` gives another. It is a view of the event as JSON has it, so that neither
    writing nor reading one costs more than its JSON.
    """

    __slots__ = ("_event",)

    def __init__(
        self,
        *,
        source: str,
        type: str,
        data: Any,
        id: str | None = None,
        subject: str | None = None,
        time: datetime | None = None,
        datacontenttype: str | None = None,
        key: str | None = None,
        tenant: str | None = None,
        run_id: str | None = None,
        decision_id: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        reply_to: str | None = None,
        deadline: datetime | None = None,
        attempt: int = 1,
        traceparent: str | None = None,
        policy_version: str | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": new_id() if id is None else id,
            "source": source,
            "type": type,
            "time": datetime.now(UTC) if time is None else time,
        }
        if subject is not None:
            event["subject"] = subject
        if datacontenttype is not None:
            event["datacontenttype"] = datacontenttype
        if key is not None:
            event["partitionkey"] = key
        if tenant is not None:
            event["tenant"] = tenant
        if run_id is not None:
            event["runid"] = run_id
        if decision_id is not None:
            event["decisionid"] = decision_id
        if correlation_id is not None:
            event["correlationid"] = correlation_id
        if causation_id is not None:
            event["causationid"] = causation_id
        if reply_to is not None:
            event["replyto"] = reply_to
        if deadline is not None:
            event["deadline"] = deadline
        if attempt != 1:
            event["attempt"] = attempt
        if traceparent is not None:
            event["traceparent"] = traceparent
        if policy_version is not None:
            event["policyversion"] = policy_version
        if extensions:
            event |= extensions
        if isinstance(data, bytes):
            event.setdefault("datacontenttype", BYTES)
            event["data_base64"] = base64.b64encode(data).decode("ascii")
        else:
            event["data"] = data
        self._event = event

    @property
    def id(self) -> str:
        return self._event["id"]  # type: ignore[no-any-return]

    @property
    def source(self) -> str:
        return self._event["source"]  # type: ignore[no-any-return]

    @property
    def type(self) -> str:
        return self._event["type"]  # type: ignore[no-any-return]

    @property
    def time(self) -> datetime:
        return _moment(self._event["time"])

    @property
    def data(self) -> Any:
        if "data_base64" in self._event:
            return base64.b64decode(self._event["data_base64"])
        return self._event.get("data")

    @property
    def subject(self) -> str | None:
        return self._event.get("subject")

    @property
    def datacontenttype(self) -> str | None:
        return self._event.get("datacontenttype")

    @property
    def key(self) -> str | None:
        return self._event.get("partitionkey")

    @property
    def tenant(self) -> str | None:
        return self._event.get("tenant")

    @property
    def run_id(self) -> str | None:
        return self._event.get("runid")

    @property
    def decision_id(self) -> str | None:
        return self._event.get("decisionid")

    @property
    def correlation_id(self) -> str | None:
        return self._event.get("correlationid")

    @property
    def causation_id(self) -> str | None:
        return self._event.get("causationid")

    @property
    def reply_to(self) -> str | None:
        return self._event.get("replyto")

    @property
    def deadline(self) -> datetime | None:
        found = self._event.get("deadline")
        return None if found is None else _moment(found)

    @property
    def attempt(self) -> int:
        return self._event.get("attempt", 1)  # type: ignore[no-any-return]

    @property
    def traceparent(self) -> str | None:
        return self._event.get("traceparent")

    @property
    def policy_version(self) -> str | None:
        return self._event.get("policyversion")

    @property
    def extensions(self) -> Mapping[str, Any]:
        return {name: value for name, value in self._event.items() if name not in _KNOWN}

    @property
    def version(self) -> Version | None:
        """The schema that `type` names; None where it names no version."""
        return version(self.type)

    def expired(self, now: datetime | None = None) -> bool:
        """Whether the deadline is over."""
        deadline = self.deadline
        return deadline is not None and deadline <= (now or datetime.now(UTC))

    def replace(self, **changes: Any) -> Self:
        """The same message with other attributes, by the names of `Message(…)`."""
        return type(self)(**{**self._attributes(), **changes})

    def to_json(self) -> bytes:
        """A CloudEvents 1.0 event in structured JSON mode; bytes become `data_base64`.

        Raises:
            UsageError: the data is no JSON value.
        """
        try:
            written = orjson.dumps(self._event)
        except TypeError as error:
            raise UsageError(
                f"message {self.id!r} of type {self.type!r} cannot be written as JSON: {error}; publish JSON values, "
                "bytes, or a pydantic model"
            ) from error
        return bytes(memoryview(written))  # a copy: what orjson 3.13 gives keeps up to 16 KiB more than it holds

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
        """The message of the attributes and the data of a CloudEvent, as JSON has them.

        Raises:
            UsageError: an attribute is missing or malformed.
        """
        given = {name: value for name, value in event.items() if value is not None or name == "data"}
        _check(given)
        given.setdefault("time", datetime.now(UTC))
        return cls.trusted(given)

    @classmethod
    def trusted(cls, event: dict[str, Any]) -> Self:
        """A view of an event that `to_json` wrote, or `from_event` has checked; nobody changes it any more."""
        found = cls.__new__(cls)
        found._event = event
        return found

    def _attributes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _NAMES}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self._attributes() == other._attributes()

    __hash__ = None  # type: ignore[assignment]  # data may be anything

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._attributes().items() if value not in (None, {}))
        return f"Message({shown})"


# Names of attributes in CloudEvents have only lower-case letters and digits. `partitionkey` and `traceparent` are
# its documented extensions (partitioning, distributed tracing).
_TEXTS = (
    "subject",
    "datacontenttype",
    "partitionkey",
    "tenant",
    "runid",
    "decisionid",
    "correlationid",
    "causationid",
    "replyto",
    "traceparent",
    "policyversion",
)
_KNOWN = {
    *_TEXTS,
    *("specversion", "id", "source", "type", "time", "deadline", "attempt", "data", "data_base64"),
}
_NAMES = tuple(name for name in Message.__init__.__annotations__ if name != "return")


def _check(event: Mapping[str, Any]) -> None:
    if (specification := event.get("specversion")) != "1.0":
        raise UsageError(f"CloudEvents of specversion {specification!r} are not read, only '1.0'")
    for name in ("id", "source", "type"):
        value = event.get(name)
        if not isinstance(value, str) or not value:
            raise UsageError(f"a CloudEvent needs a {name!r}, a text that is not empty; it has {value!r}")
    for name in _TEXTS:
        if name in event and not isinstance(event[name], str):
            raise UsageError(f"attribute {name!r} of a CloudEvent is {event[name]!r}; it must be a text")
    for name in ("time", "deadline"):
        if name in event:
            try:
                _moment(event[name])
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"attribute {name!r} of a CloudEvent is {event[name]!r}; it must be a time of RFC 3339"
                ) from error
    attempt = event.get("attempt", 1)
    if not isinstance(attempt, int) or attempt < 1:
        raise UsageError(f"attempt {attempt!r} of message {event['id']!r} is no number from 1 on")
    if "data_base64" in event:
        try:
            base64.b64decode(event["data_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise UsageError(f"'data_base64' of message {event['id']!r} is no base64: {error}") from error


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


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
