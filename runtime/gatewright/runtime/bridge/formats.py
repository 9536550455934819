"""Records of Kafka as CloudEvents, and back: structured and binary mode, and what others write who know of neither.

Sources: CloudEvents 1.0, "Kafka Protocol Binding" (1.0.2): content modes by `content-type`, attributes as `ce_…`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from gatewright.agents.envelopes import BYTES, CONTENT_TYPE, JSON
from gatewright.runtime.bus.log import Entry
from gatewright.runtime.kafka import Received, Record

_STRUCTURED = CONTENT_TYPE.encode()
_HEADERS = (("content-type", _STRUCTURED),)
_PREFIX = "ce_"
_SPECVERSION = f"{_PREFIX}specversion"

_record: Callable[[tuple[Any, ...]], Record] = partial(tuple.__new__, Record)  # in C, unlike their own
_message: Callable[[tuple[Any, ...]], Entry] = partial(tuple.__new__, Entry)


def outbound(topic: str, key: str | None, body: bytes) -> Record:
    """The record of a message: structured mode, the envelope as it is in the log."""
    return _record((topic, None if key is None else key.encode(), body, _HEADERS, None, None))


def inbound(record: Received) -> Entry:
    """The message of a record, as it goes into the log.

    A record that is no CloudEvent becomes the data of one (`type` its topic, `id` its place in Kafka, so that it is
    there once). What cannot be read at all goes in as it is, for every group to make a dead letter of.
    """
    topic, partition, offset, key_bytes, value, given, _ = record
    headers = {name.lower(): content for name, content in given}
    place = f"{topic}/{partition}/{offset}"
    key = None if key_bytes is None else key_bytes.decode("utf-8", "replace")
    value = b"" if value is None else value
    if _SPECVERSION in headers:
        return _entry(topic, place, key, _binary(headers, value))
    kind = headers.get("content-type", b"").partition(b";")[0].strip()
    try:
        found = orjson.loads(value) if value else None
    except orjson.JSONDecodeError:
        if kind == _STRUCTURED:
            return Entry(topic, place, key, value, False)
        found = _Raw
    if kind == _STRUCTURED or (isinstance(found, dict) and "specversion" in found):
        return _entry(topic, place, key, found, body=value)
    return _entry(topic, place, key, _wrapped(record, place, kind.decode("ascii", "replace"), found, value))


class _Raw:
    """Stands for bytes that are no JSON."""


def _wrapped(record: Received, place: str, kind: str, found: Any, value: bytes) -> dict[str, Any]:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": place,
        "source": f"kafka:{record.topic}",
        "type": record.topic,
        "time": datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC),
    }
    if found is _Raw:
        return {**event, "datacontenttype": kind or BYTES, "data_base64": base64.b64encode(value).decode("ascii")}
    return {**event, "datacontenttype": JSON, "data": found}


def _binary(headers: Mapping[str, bytes], value: bytes) -> dict[str, Any]:
    event: dict[str, Any] = {
        name.removeprefix(_PREFIX): text.decode("utf-8", "replace")
        for name, text in headers.items()
        if name.startswith(_PREFIX)
    }
    kind = headers.get("content-type", b"").decode("ascii", "replace")
    if kind:
        event["datacontenttype"] = kind
    if not value:
        return event
    if kind.partition(";")[0].strip() in ("", JSON) or kind.partition(";")[0].strip().endswith("+json"):
        try:
            return {**event, "data": orjson.loads(value)}
        except orjson.JSONDecodeError:
            pass
    return {**event, "data_base64": base64.b64encode(value).decode("ascii")}


def _entry(topic: str, place: str, key: str | None, event: Any, *, body: bytes | None = None) -> Entry:
    """The event with the record's key, where it names none itself."""
    if not isinstance(event, dict):
        return Entry(topic, place, key, body or b"", False)
    named = event.get("partitionkey")
    if named is None and key is not None:
        event, body = {**event, "partitionkey": key}, None
    id, source = event.get("id"), event.get("source")
    # An id is its source's own: two producers may use the same one.
    known = f"{source}#{id}" if isinstance(id, str) and id and source != f"kafka:{topic}" else place
    return _message((topic, known, named if isinstance(named, str) else key, body or orjson.dumps(event), False))
