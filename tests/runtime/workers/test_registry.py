"""Processes are there as long as their lease says; who finds one gone is the only one to find it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from gatewright.runtime.store.writer import Transaction
from gatewright.runtime.workers import duties, liveness, registry
from gatewright.runtime.workers.registry import Identity
from gatewright.runtime.workers.views import WorkerView

T = TypeVar("T")
Office = Any  # of the conftest beside, which cannot be imported
LONG = 1000.0  # seconds
_ELSEWHERE = sa.text("UPDATE worker SET process = :process WHERE id = :id")


def write(office: Office, operation: Callable[[Transaction], T]) -> T:
    done: T = office.write(operation)
    return done


def member(office: Office, *, lease: float = LONG, process: str = "", deployments: Sequence[str] = ()) -> Identity:
    """A process that has joined; of another machine unless `process` says otherwise."""
    who = Identity.new("worker", deployments, 4)

    def join(transaction: Transaction) -> None:
        registry.join(transaction, who, lease=lease)
        transaction.run(_ELSEWHERE, process=process, id=who.id)

    write(office, join)
    return who


def lose(office: Office, me: Identity, *, alone: bool = False, steady: bool = True) -> list[str]:
    return write(office, lambda tx: registry.lose(tx, me=me.id, alone=alone, steady=steady))


def listed(office: Office, *, every: bool = False) -> dict[str, WorkerView]:
    engine = office.database.connect(readonly=True)
    with engine.connect() as connection:
        views = registry.listed(connection, every=every)
    engine.dispose()
    return {view.id: view for view in views}


def renew(office: Office, who: Identity, **more: Any) -> bool:
    return write(office, partial(registry.renew, worker=who.id, lease=LONG, **more))


def test_a_process_that_joins_is_shown_as_it_presents_itself(office: Office) -> None:
    who = member(office, deployments=["claims", "support"])

    view = listed(office)[who.id]

    assert (view.kind, view.state, view.deployments, view.concurrency) == ("worker", "alive", ["claims", "support"], 4)
    assert view.pid == os.getpid()
    assert LONG - 100 < view.lease_left <= LONG
    assert view.runs == 0


def test_a_process_whose_lease_runs_is_not_lost(office: Office) -> None:
    me, other = member(office), member(office)

    assert lose(office, me) == []
    assert listed(office)[other.id].state == "alive"


def test_a_process_whose_lease_is_over_is_lost(office: Office) -> None:
    me, other = member(office), member(office, lease=-1.0)

    assert lose(office, me) == [other.id]
    assert other.id not in listed(office)
    assert listed(office, every=True)[other.id].state == "lost"


def test_a_lease_that_is_over_says_nothing_to_who_was_cut_off_as_well(office: Office) -> None:
    me, other = member(office), member(office, lease=-1.0)

    assert lose(office, me, steady=False) == []
    assert renew(office, other)


def test_who_renews_goes_on_and_is_not_lost(office: Office) -> None:
    me, other = member(office), member(office, lease=-1.0)

    assert renew(office, other, draining=True)
    assert lose(office, me) == []
    assert listed(office)[other.id].state == "draining"


def test_a_process_that_was_found_lost_cannot_renew(office: Office) -> None:
    me, other = member(office), member(office, lease=-1.0)
    lose(office, me)

    assert not renew(office, other)
    assert lose(office, me) == []


def test_a_process_is_found_lost_by_one_alone(office: Office) -> None:
    me, rival, other = member(office), member(office), member(office, lease=-1.0)
    first, second = office.writer(), office.writer()

    found = [
        writer.submit(partial(registry.lose, me=who.id, alone=False, steady=True))
        for writer, who in ((first, me), (second, rival))
    ]

    assert sorted(lost.result(30) for lost in found) == [[], [other.id]]


def test_who_knows_that_it_is_alone_waits_for_no_lease(office: Office) -> None:
    me, other = member(office), member(office)

    assert lose(office, me, alone=True, steady=False) == [other.id]


def test_a_process_that_is_gone_from_this_machine_is_lost_at_once(office: Office) -> None:
    code = "from gatewright.runtime.workers import liveness; print(liveness.this_process())"
    told = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    me, gone, here = member(office), member(office, process=told), member(office, process=liveness.this_process())

    assert lose(office, me, steady=False) == [gone.id]
    assert listed(office)[here.id].state == "alive"


def test_what_a_lost_process_did_for_all_is_free_again(office: Office) -> None:
    me, other = member(office), member(office, lease=-1.0)
    taken = write(office, partial(duties.take, worker=other.id, names=["places"]))
    before = write(office, partial(duties.take, worker=me.id, names=["places"]))
    lose(office, me)

    assert (taken, before) == (["places"], [])
    assert write(office, partial(duties.take, worker=me.id, names=["places"])) == ["places"]
    assert listed(office)[me.id].duties == ["places"]


def test_who_leaves_is_not_lost_and_gives_its_duties_back(office: Office) -> None:
    me, other = member(office), member(office)
    write(office, partial(duties.take, worker=other.id, names=["places"]))
    write(office, partial(registry.leave, worker=other.id))

    assert lose(office, me) == []
    assert listed(office, every=True)[other.id].state == "left"
    assert write(office, partial(duties.take, worker=me.id, names=["places"])) == ["places"]


def test_who_has_gone_a_day_ago_is_forgotten_when_somebody_joins(office: Office) -> None:
    gone, late = member(office), member(office)
    write(office, partial(registry.leave, worker=gone.id))
    write(office, partial(registry.leave, worker=late.id))
    age = sa.text("UPDATE worker SET seen_at = seen_at - :age WHERE id = :id")
    write(office, lambda tx: tx.run(age, id=gone.id, age=registry.FORGET))
    member(office)

    assert gone.id not in listed(office, every=True)
    assert late.id in listed(office, every=True)
