"""What one process does for all is done by one at a time, and by nobody who has lost it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from gatewright.runtime.store.writer import Transaction
from gatewright.runtime.workers import duties, registry
from gatewright.runtime.workers.duties import Duties, Held, NotOnDutyError
from gatewright.runtime.workers.registry import Identity

T = TypeVar("T")
Office = Any  # of the conftest beside, which cannot be imported
_SAY = sa.text("INSERT INTO receiver (name, wants) VALUES (:name, '')")
_BUSY = sa.text("SELECT 1")
_SAID = sa.text("SELECT name FROM receiver ORDER BY name")


def write(office: Office, operation: Callable[[Transaction], T]) -> T:
    done: T = office.write(operation)
    return done


def member(office: Office) -> str:
    who = Identity.new("worker", (), 1)
    write(office, partial(registry.join, who=who, lease=1000.0))
    write(office, lambda tx: tx.run(sa.text("UPDATE worker SET process = ''")))
    return who.id


def take(office: Office, worker: str, *names: str) -> list[str]:
    return write(office, partial(duties.take, worker=worker, names=list(names)))


def say(office: Office, held: Held, what: str) -> None:
    def speak(transaction: Transaction) -> None:
        held.check(transaction)
        transaction.run(_SAY, name=what)

    write(office, speak)


def said(office: Office) -> list[str]:
    return [row[0] for row in write(office, lambda tx: tx.all(_SAID))]


def test_a_duty_is_taken_by_one(office: Office) -> None:
    one, other = member(office), member(office)

    assert take(office, one, "dues", "places") == ["dues", "places"]
    assert take(office, other, "dues", "notices", "places") == ["notices"]


def test_two_that_want_a_duty_at_the_same_moment_do_not_both_get_it(office: Office) -> None:
    workers = [member(office) for _ in range(4)]
    writers = [office.writer() for _ in workers]

    taken = [
        writer.submit(partial(duties.take, worker=worker, names=["dues"]))
        for writer, worker in zip(writers, workers, strict=True)
    ]

    assert sorted(names.result(30) for names in taken) == [[], [], [], ["dues"]]


@pytest.mark.parametrize("office", ["postgresql"], indirect=True)
def test_who_looks_for_free_duties_does_not_wait_for_those_who_work_on_theirs(office: Office) -> None:
    one, other = member(office), member(office)
    take(office, one, "dues", "places")
    begun, over = threading.Event(), threading.Event()

    def work(transaction: Transaction) -> None:
        Held("places", one).check(transaction)
        begun.set()
        while not over.wait(0.1):
            transaction.one(_BUSY)  # the server breaks off who holds locks and does nothing

    working = office.writer().submit(work)
    begun.wait()
    looking = office.writer().submit(partial(duties.take, worker=other, names=["dues", "notices", "places"]))
    try:
        assert looking.result(60) == ["notices"]
        assert not working.done()
    finally:
        over.set()


def test_what_a_holder_writes_that_was_found_lost_is_refused(office: Office) -> None:
    one, other = member(office), member(office)
    take(office, one, "dues")
    stale, held = Held("dues", one), Held("dues", other)
    say(office, stale, "one")

    write(office, lambda tx: tx.run(sa.text("UPDATE worker SET lease_until = 0 WHERE id = :id"), id=one))
    write(office, partial(registry.lose, me=other, alone=False, steady=True))
    with pytest.raises(NotOnDutyError, match="dues"):
        say(office, stale, "one, between")
    take(office, other, "dues")
    with pytest.raises(NotOnDutyError, match="dues"):
        say(office, stale, "one, late")
    say(office, held, "other")

    assert said(office) == ["one", "other"]


async def test_work_that_fails_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "PAUSE", 0.0)
    begun: list[Held] = []
    third = asyncio.Event()

    async def work(held: Held) -> None:
        begun.append(held)
        if len(begun) < 3:
            raise ConnectionError("the line went dead")
        third.set()
        await asyncio.get_running_loop().create_future()

    doing = Duties({"dues": work})
    doing.begin("one", ["dues"])
    await third.wait()
    await doing.end()

    assert begun == [Held("dues", "one")] * 3


async def test_a_duty_that_somebody_else_took_may_be_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "PAUSE", 0.0)
    begun: list[Held] = []

    async def work(held: Held) -> None:
        begun.append(held)
        raise NotOnDutyError("gone")

    doing = Duties({"dues": work, "places": work})
    doing.begin("one", ["dues"])
    during = doing.vacant
    while doing.vacant == during:
        await asyncio.sleep(0)

    assert (during, doing.vacant) == (["places"], ["dues", "places"])
    assert begun == [Held("dues", "one")]


async def test_nothing_is_done_after_the_end() -> None:
    state: list[str] = []
    begun = asyncio.Event()

    async def work(held: Held) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            state.append("ended")

    doing = Duties({"dues": work})
    doing.begin("one", ["dues"])
    await begun.wait()
    await doing.end()

    assert state == ["ended"]
    assert doing.vacant == ["dues"]
