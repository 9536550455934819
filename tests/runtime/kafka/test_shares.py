"""Shares: what is held of a partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.kafka import Batch, Partition, Received
from gatewright.runtime.kafka.shares import OVERHEAD, Share, unpacked

PARTITION = Partition("t", 0)


def batch(first: int, count: int) -> Batch:
    records = [Received("t", 0, first + number, None, b"", (), 0) for number in range(count)]
    return Batch(PARTITION, 1, records)


def test_a_share_is_full_at_its_bound_and_has_room_at_half_of_it() -> None:
    share = Share(1, 10, 1000)
    assert not share.hold(batch(0, 6), 1)
    assert share.hold(batch(6, 4), 1) and share.full
    assert not share.free(5) and share.full  # of the first batch one record is left
    assert share.free(6) and not share.full


def test_a_share_is_full_by_bytes_too() -> None:
    share = Share(1, 10, 1000)
    assert share.hold(batch(0, 1), 1000)
    assert share.free(1)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 500)), min_size=1, max_size=30))
def test_a_share_that_has_been_released_takes_more(sizes: list[tuple[int, int]]) -> None:
    share, following = Share(1, 30, 1000), 0
    for count, size in sizes:
        share.hold(batch(following, count), size)
        following += count
    was_full = share.full
    assert share.free(following) == was_full
    assert not share.full and share.hold(batch(following, 30), 0)


def test_records_are_unpacked_with_the_bytes_they_take() -> None:
    raw = ("t", 3, 0, 7, 1700, 0, b"key", None, [("name", b"content")], None, 3, -1, 11)
    assert unpacked([raw]) == ([Received("t", 3, 7, b"key", None, [("name", b"content")], 1700)], OVERHEAD + 14)
