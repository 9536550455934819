"""Batches, and the order in which they may be written."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.bus.cursors import Claim
from gatewright.runtime.bus.holdings import Holding
from gatewright.runtime.bus.letters import Letter
from gatewright.runtime.bus.log import Entry
from gatewright.runtime.bus.parking import Parked
from gatewright.runtime.bus.settling import Batch, Chain, Notes, Postponed, Published, Redriven, Refusal


def holding(part: int = 0, *, position: int = 0, settled: frozenset[int] = frozenset()) -> Holding:
    return Holding(Claim(part, position, 0, 1, 0, settled), window=100)


def test_what_was_noted_of_a_lost_partition_is_forgotten_with_it() -> None:
    batch = Batch()
    for part in (1, 2):
        found = holding(part)
        batch.holdings[part] = found
        parked = Parked(part, 0, "k", 1, 5, 7)
        batch.parked.append(parked)
        batch.redriven.append(Redriven(1, parked))
        batch.postponed.append(Postponed(part, 0, 5))
        batch.dropped.append((part, 0))
        batch.letters.append(Letter(part, 0, "k", "id", "rejected", "", None, 1, b"{}"))
        batch.published.append(Published(part, Entry("t", "id", "k", b"{}")))
        batch.advanced.append(found.lane("k"))
    batch.forget(1)
    assert list(batch.holdings) == [2]
    assert [entry.partition for entry in batch.parked] == [2]
    assert [entry.parked.partition for entry in batch.redriven] == [2]
    assert [entry.partition for entry in batch.postponed] == [2]
    assert batch.dropped == [(2, 0)]
    assert [entry.partition for entry in batch.letters] == [2]
    assert [entry.partition for entry in batch.published] == [2]
    assert [lane.holding.partition for lane in batch.advanced] == [2]


def test_the_position_follows_what_is_settled_without_gaps() -> None:
    found = holding()
    for offset in (2, 1, 4):
        found.settle(offset, offset + 10)
    assert (found.position, found.ahead) == (0, {1, 2, 4})
    found.settle(0, 10)
    assert (found.position, found.ahead, found.since) == (3, {4}, 10)


def test_what_a_dead_holder_settled_ahead_is_absorbed_by_the_next_one() -> None:
    assert holding(position=3, settled=frozenset({3, 4, 6})).position == 5


def test_only_what_has_changed_is_noted() -> None:
    found = holding()
    found.settle(2, 12)
    assert Notes.take([found]) == Notes([(0, 2)], [])
    assert Notes.take([found]) == Notes([], [])
    found.settle(0, 10)
    found.settle(1, 11)
    assert Notes.take([found]) == Notes([], [(0, 3)])


def test_a_gap_that_retention_left_is_passed_over() -> None:
    found = holding()
    found.skip(5)
    assert (found.position, found.next) == (5, 5)
    found.next = 6
    found.skip(8)
    assert (found.position, found.next, found.ahead) == (5, 8, {6, 7})


def test_what_comes_after_a_failed_operation_is_refused() -> None:
    chain = Chain()
    first, second, third = (chain.link() for _ in range(3))
    chain.begin(first)
    chain.end(first)
    chain.begin(second)  # it raises, so it does not end
    with pytest.raises(UnavailableError):
        chain.begin(third)
    chain.begin(second)  # after a rollback it begins again
    chain.end(second)
    chain.begin(third)


def test_what_comes_after_a_group_that_was_not_written_is_refused() -> None:
    chain = Chain()
    number = chain.link()
    chain.begin(number)
    chain.end(number)
    done: Future[None] = Future()
    done.set_exception(UnavailableError("the disk is full"))
    chain.watch(done)
    with pytest.raises(UnavailableError):
        chain.begin(chain.link())


def test_a_refusal_of_one_message_breaks_nothing() -> None:
    chain = Chain()
    done: Future[None] = Future()
    done.set_exception(Refusal("not this one"))
    chain.watch(done)
    chain.begin(chain.link())
