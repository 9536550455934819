from __future__ import annotations

import json
import os
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.envelopes import Message, Version, new_id, partition_of, version
from gatewright.agents.errors import UsageError

VECTORS = json.loads((Path(__file__).parent / "partition_vectors.json").read_text("utf-8"))

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
_name = st.text(min_size=1, max_size=12)
_messages = st.builds(
    Message,
    source=_name,
    type=_name,
    data=_json | st.binary(max_size=40),
    id=_name,
    time=_times,
    key=st.none() | st.text(max_size=12),
    deadline=st.none() | _times,
    attempt=st.integers(1, 9),
    reply_to=st.none() | _name,
    causation_id=st.none() | _name,
    extensions=st.dictionaries(st.sampled_from(["region", "sequence"]), st.text(max_size=5), max_size=2),
)


@given(_messages)
def test_a_message_survives_its_json(message: Message) -> None:
    again = Message.from_json(message.to_json())
    if isinstance(message.data, bytes):
        message = message.replace(datacontenttype="application/octet-stream")
    assert again == message


def test_the_json_is_a_cloud_event_in_structured_mode() -> None:
    message = Message(source="desk", type="refund.asked@1.2", data={"amount": 5}, key="case-1", run_id="run-1")
    event = json.loads(message.to_json())
    assert event["specversion"] == "1.0"
    assert (event["source"], event["type"], event["partitionkey"], event["runid"]) == (
        "desk",
        "refund.asked@1.2",
        "case-1",
        "run-1",
    )
    assert event["data"] == {"amount": 5}
    assert all(name.isalnum() and name.islower() for name in event if name != "data_base64")


def test_what_another_system_says_besides_is_kept() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "dataschema": "http://s", "data": [1]}
    message = Message.from_event(event)
    assert message.extensions == {"dataschema": "http://s"}
    assert json.loads(message.to_json())["dataschema"] == "http://s"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"id": "1", "source": "s", "type": "t"}',
        b'{"specversion": "0.3", "id": "1", "source": "s", "type": "t"}',
        b'{"specversion": "1.0", "id": "", "source": "s", "type": "t"}',
        b'{"specversion": "1.0", "id": "1", "source": "s"}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "yesterday"}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "*"}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "partitionkey": 5}',
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "attempt": 0}',
    ],
)
def test_what_is_no_cloud_event_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError):
        Message.from_json(body)


def test_data_that_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="of type 't' cannot be written as JSON"):
        Message(source="s", type="t", data=object()).to_json()


def test_a_type_names_schema_and_version() -> None:
    assert version("a.b@2.1") == Version("a.b", 2, 1)
    assert version("a.b@3") == Version("a.b", 3, 0)
    assert version("a.b") is None


def test_a_message_is_expired_from_its_deadline_on() -> None:
    now = datetime.now(UTC)
    message = Message(source="s", type="t", data=None, deadline=now)
    assert message.expired(now)
    assert not message.expired(now - timedelta(microseconds=1))


@pytest.mark.parametrize(("key", "partitions", "partition"), VECTORS)
def test_a_key_has_the_partition_of_the_vectors(key: str, partitions: int, partition: int) -> None:
    assert partition_of(key, partitions) == partition


def test_keys_spread_over_all_partitions() -> None:
    counts = [0] * 64
    for number in range(6400):
        counts[partition_of(f"case-{number}")] += 1
    assert min(counts) > 50 and max(counts) < 200


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    first, second = uuid.UUID(new_id()), uuid.UUID(new_id())
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first.int >> 80 <= second.int >> 80
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_a_forked_process_does_not_repeat_ids() -> None:
    new_id()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, new_id()[-12:].encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 12).decode() != new_id()[-12:]


def test_a_written_message_keeps_no_more_memory_than_it_holds() -> None:
    message = Message(type="note", source="/here", subject="t", data={"text": "x" * 1000})
    tracemalloc.start()
    try:
        kept = [message.to_json() for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 2 * sum(map(len, kept))
    finally:
        tracemalloc.stop()
