"""Records of Kafka as CloudEvents."""

from __future__ import annotations

import base64

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.envelopes import Message
from gatewright.runtime.bridge import formats
from gatewright.runtime.kafka import Received

STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def received(
    value: bytes | None, *, key: bytes | None = None, headers: tuple[tuple[str, bytes], ...] = (), offset: int = 7
) -> Received:
    return Received("orders", 2, offset, key, value, headers, 1_700_000_000_000)


def test_what_goes_out_comes_in_as_it_was() -> None:
    message = Message(source="a", type="paid@1.0", data={"sum": 3}, id="m1", key="case-1", correlation_id="c")
    record = formats.outbound("orders", "case-1", message.to_json())
    entry = formats.inbound(received(record.value, key=record.key, headers=record.headers))
    assert (entry.topic, entry.id, entry.key) == ("orders", "a#m1", "case-1")
    assert Message.from_json(entry.body) == message


def test_binary_mode_is_read_by_its_headers() -> None:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_source", b"/shop"),
        ("ce_type", b"order.placed"),
        ("ce_traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("content-type", b"application/json"),
    )
    entry = formats.inbound(received(b'{"n": 1}', key=b"k", headers=headers))
    message = Message.from_json(entry.body)
    assert (entry.id, entry.key, message.source, message.data) == ("/shop#e-1", "k", "/shop", {"n": 1})
    assert message.traceparent is not None and message.key == "k"


def test_binary_mode_keeps_bytes_that_are_no_json() -> None:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-2"),
        ("ce_source", b"/shop"),
        ("ce_type", b"photo"),
        ("content-type", b"image/png"),
    )
    message = Message.from_json(formats.inbound(received(b"\x89PNG", headers=headers)).body)
    assert (message.data, message.datacontenttype) == (b"\x89PNG", "image/png")


def test_json_of_producers_who_know_of_no_envelope_becomes_the_data_of_one() -> None:
    entry = formats.inbound(received(b'{"order": 5}', key=b"customer-9"))
    message = Message.from_json(entry.body)
    assert (message.id, message.type, message.source) == ("orders/2/7", "orders", "kafka:orders")
    assert (message.data, message.key) == ({"order": 5}, "customer-9")
    assert message.time.isoformat() == "2023-11-14T22:13:20+00:00"


def test_bytes_that_are_nothing_known_become_data_too() -> None:
    message = Message.from_json(formats.inbound(received(b"\xff\x00 not json")).body)
    assert message.data == b"\xff\x00 not json"


def test_a_record_without_a_value_is_a_message_without_data() -> None:
    assert Message.from_json(formats.inbound(received(None, key=b"gone")).body).data is None


def test_an_envelope_is_known_without_its_content_type() -> None:
    body = Message(source="a", type="t", data=1, id="m2").to_json()
    assert formats.inbound(received(body)).id == "a#m2"


def test_ids_of_two_sources_are_two() -> None:
    first, second = (Message(source=source, type="t", data=1, id="1").to_json() for source in ("/shop", "/bank"))
    assert formats.inbound(received(first)).id != formats.inbound(received(second)).id


def test_what_claims_to_be_an_envelope_and_is_none_is_kept_for_the_dead_letters() -> None:
    entry = formats.inbound(received(b"{broken", headers=STRUCTURED))
    assert (entry.id, entry.body) == ("orders/2/7", b"{broken")


def test_a_key_of_the_record_completes_an_envelope_without_one() -> None:
    body = Message(source="a", type="t", data=1, id="m3").to_json()
    entry = formats.inbound(received(body, key=b"k", headers=STRUCTURED))
    assert (entry.key, Message.from_json(entry.body).key) == ("k", "k")


names = st.sampled_from(["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "CE_ID", "other"])
values = st.one_of(
    st.binary(max_size=60),
    st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5), st.lists).map(
        orjson.dumps
    ),
    st.dictionaries(st.sampled_from(["specversion", "id", "source", "type", "data"]), st.text(max_size=5)).map(
        orjson.dumps
    ),
)


@given(
    value=st.none() | values,
    key=st.none() | st.binary(max_size=8),
    headers=st.lists(st.tuples(names, st.binary(max_size=30) | st.just(STRUCTURED[0][1])), max_size=4).map(tuple),
)
def test_whatever_is_in_kafka_becomes_an_entry_with_an_id(
    value: bytes | None, key: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    entry = formats.inbound(received(value, key=key, headers=headers))
    assert entry.topic == "orders" and entry.id and not entry.new
    assert isinstance(entry.body, bytes)


@given(st.binary(max_size=40))
def test_bytes_survive_their_envelope(value: bytes) -> None:
    message = Message.from_json(formats.inbound(received(value, headers=(("content-type", b"x/y"),))).body)
    try:
        expected = orjson.loads(value) if value else None
    except orjson.JSONDecodeError:
        expected = value
    assert message.data == expected or base64.b64encode(value).decode() == message.data
