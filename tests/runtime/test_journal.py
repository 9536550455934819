"""The journal of a run: keys that survive, what is missing, what may be done again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents import Effect
from gatewright.runtime import journal
from gatewright.runtime.journal import Entry, Journal, Status, digest_of, key_of
from gatewright.runtime.store.appending import Leaf, Seal
from gatewright.runtime.store.writer import Transaction, arrival

House = Any  # of the conftest beside this file, which cannot be imported


def effect(name: str = "pay", call_id: str | None = None, **args: Any) -> Effect:
    return Effect(kind="tool", name=name, args=args, call_id=call_id)


def entry(key: str, status: Status = "done", step: str = "work@1") -> Entry:
    return Entry(key, step, "tool", "pay", "digest", status, epoch=1)


@given(st.dictionaries(st.text(), st.integers(), max_size=3), st.binary(min_size=16, max_size=16))
def test_equal_wishes_have_equal_digests_and_other_threads_others(args: dict[str, int], salt: bytes) -> None:
    one = digest_of(Effect(kind="tool", name="pay", args=args), salt)

    assert one == digest_of(Effect(kind="tool", name="pay", args=dict(reversed(args.items()))), salt)
    assert one != digest_of(Effect(kind="tool", name="pay", args=args), bytes(byte ^ 1 for byte in salt))
    assert one != digest_of(Effect(kind="tool", name="refund", args=args), salt)


def test_calls_are_told_apart_by_their_id_alone_where_they_have_one() -> None:
    one, other = effect(call_id="a", amount=1), effect(call_id="a", amount=2)

    assert key_of("s", one, "1" * 64, 0) == key_of("s", other, "2" * 64, 1)
    assert key_of("s", effect(amount=1), "1" * 64, 0) != key_of("s", effect(amount=1), "1" * 64, 1)


def test_what_a_step_has_not_asked_for_again_is_missing() -> None:
    journal = Journal([entry("a"), entry("b", "intended"), entry("c", "released"), entry("d", step="other@2")])

    journal.take("a")

    assert [found.key for found in journal.missing("work@1")] == ["b"]


def test_a_step_that_begins_again_is_to_ask_for_everything_again() -> None:
    journal = Journal([entry("a")])
    journal.take("a")
    journal.add(entry("b"))

    journal.begin("work@1")

    assert [found.key for found in journal.missing("work@1")] == ["a", "b"]


def test_only_what_failed_with_an_error_is_released() -> None:
    error = ValueError("bad")
    failed, fine = entry("a"), entry("b")
    failed.exception = error
    journal = Journal([failed, fine])

    journal.release_failed({id(error)})

    assert journal.released() == ["a"]


def test_what_is_written_later_is_what_was_true_when_it_was_submitted() -> None:
    live = entry("a", "intended")
    kept = live.copy()

    live.status = "done"

    assert kept.status == "intended"


@pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)
async def test_what_the_same_group_of_operations_has_recorded_is_loaded_whole(house: House) -> None:
    async with house.open("gates:paying") as service:
        run = await house.finish(service, {"amount": 1})

        def record_and_load(transaction: Transaction) -> Journal:
            leaf = transaction.append(Leaf("effect", run.id, run.id, b"{}"), [Seal("result", "json", b'"paid"', b"")])
            done = entry("k")
            done.outcome = "ok"
            journal.put(transaction, run.id, done, now=0, leaf=leaf)
            return Journal.load(transaction, run.id)

        loaded = await arrival(service._writer.submit(record_and_load))  # pyright: ignore[reportPrivateUsage]

    found = loaded.take("k")
    assert found is not None
    assert (found.status, found.outcome, found.value) == ("done", "ok", "paid")
