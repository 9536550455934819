"""A process joins, is heard of, takes over from those that are gone, and begins anew when it was taken for gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store.writer import Transaction
from gatewright.runtime.workers import membership, registry
from gatewright.runtime.workers.duties import Duties, Held
from gatewright.runtime.workers.membership import Membership
from gatewright.runtime.workers.registry import Identity

T = TypeVar("T")
Office = Any  # of the conftest beside, which cannot be imported
LEASE = 0.3  # seconds; nobody here asserts how long anything takes
_SEEN = sa.text("SELECT seen_at FROM worker WHERE id = :id")
_STATE = sa.text("SELECT state FROM worker WHERE id = :id")
_SILENT = sa.text("UPDATE worker SET process = '', lease_until = :until WHERE id = :id")


def write(office: Office, operation: Callable[[Transaction], T]) -> T:
    done: T = office.write(operation)
    return done


class Unlucky(Membership):
    """One whose second renewal does not reach the database; the first is that of joining."""

    tries = 0

    async def _round(self) -> None:
        self.tries += 1
        if self.tries == 2:
            raise UnavailableError("the database is away")
        await super()._round()


class Process:
    """What a process that is a member has seen happen."""

    def __init__(self, office: Office, kind: type[Membership] = Membership) -> None:
        self.recovered: list[list[str]] = []
        self.told = 0
        self.expelled: asyncio.Queue[Identity] = asyncio.Queue()
        self.doing: list[str] = []
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.membership = kind(
            office.writer(),
            lambda: Identity.new("worker", (), 1),
            lease=LEASE,
            alone=not office.database.shared,
            duties=Duties({"dues": self._work}),
            recover=self._recover,
            recovered=self._recovered,
            expelled=self.expelled.put_nowait,
        )

    @property
    def id(self) -> str:
        return self.membership.who.id

    def _recover(self, transaction: Transaction, lost: list[str]) -> None:
        self.recovered.append(lost)

    def _recovered(self) -> None:
        self.told += 1

    async def _work(self, held: Held) -> None:
        self.doing.append(held.worker)
        self.begun.put_nowait(held.worker)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.doing.remove(held.worker)


@asynccontextmanager
async def joined(office: Office, kind: type[Membership] = Membership) -> AsyncGenerator[Process]:
    process = Process(office, kind)
    await process.membership.join()
    yield process
    await process.membership.leave()


def silent(office: Office) -> str:
    """A process of another machine that has joined and whose lease is over."""
    who = Identity.new("worker", (), 1)

    def join(transaction: Transaction) -> None:
        registry.join(transaction, who, lease=0.0)
        transaction.run(_SILENT, until=0, id=who.id)

    write(office, join)
    return who.id


def state(office: Office, worker: str) -> str:
    row = write(office, lambda tx: tx.one(_STATE, id=worker))
    assert row is not None
    return str(row[0])


async def renewals(office: Office, process: Process, number: int = 1) -> None:
    """Wait until the process has renewed its lease so many times."""
    for _ in range(number):
        before = write(office, lambda tx: tx.one(_SEEN, id=process.id))
        while write(office, lambda tx: tx.one(_SEEN, id=process.id)) == before:
            await asyncio.sleep(LEASE / 10)


async def test_a_member_renews_its_lease_until_it_leaves(office: Office) -> None:
    async with joined(office) as process:
        await renewals(office, process, 2)
        during = state(office, process.id)

    assert (during, state(office, process.id)) == ("alive", "left")


@pytest.mark.timeout(20)
async def test_a_member_that_leaves_while_it_says_that_it_drains_has_left(office: Office) -> None:
    for _ in range(20):
        async with joined(office) as process:
            await asyncio.sleep(0)  # it waits for its next renewal
            process.membership.drain()

        assert state(office, process.id) == "left"


async def test_a_member_says_when_the_database_is_back(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    async with joined(office, Unlucky) as process:
        await renewals(office, process, 3)

    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [
        f"the lease of {process.id} could not be renewed: the database is away",
        f"the lease of {process.id} is renewed again; the database is back",
    ]


async def test_the_first_renewal_recovers_even_where_nobody_was_lost(office: Office) -> None:
    async with joined(office) as process:
        await renewals(office, process, 2)

    assert process.recovered == [[]]
    assert process.told == 0


async def test_a_member_takes_over_from_the_lost(office: Office) -> None:
    async with joined(office) as process:
        gone = silent(office)
        while not process.told:
            await asyncio.sleep(LEASE / 10)

    assert process.recovered[1:] == [[gone]]
    assert state(office, gone) == "lost"


@pytest.mark.parametrize("office", ["postgresql"], indirect=True)
async def test_after_the_database_was_away_nobody_is_taken_for_lost_before_a_lease_is_over(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(membership, "time", SimpleNamespace(monotonic=lambda: clock.now))
    async with joined(office) as process:
        other = silent(office)
        await renewals(office, process, 2)
        at_first = state(office, other)

        clock.now += 0.7 * LEASE
        await renewals(office, process, 2)
        clock.now += 50 * LEASE  # renewals that did not come through
        await renewals(office, process, 2)
        after_the_gap = state(office, other)

        for _ in range(2):
            clock.now += 0.7 * LEASE
            await renewals(office, process, 2)

    assert (at_first, after_the_gap, state(office, other)) == ("alive", "alive", "lost")


@pytest.mark.parametrize("office", ["postgresql"], indirect=True)
async def test_a_member_that_was_taken_for_lost_begins_anew(office: Office) -> None:
    async with joined(office) as process:
        before = process.id
        assert await process.begun.get() == before
        write(office, lambda tx: tx.run(_SILENT, until=0, id=before))
        write(office, partial(registry.lose, me="another", alone=False, steady=True))
        anew = await process.expelled.get()
        begun = await process.begun.get()
        doing = list(process.doing)

        assert anew.id == process.id != before
        assert (state(office, before), state(office, anew.id)) == ("lost", "alive")
        assert (begun, doing) == (anew.id, [anew.id])


@pytest.mark.parametrize("office", ["postgresql"], indirect=True)
async def test_a_duty_goes_on_with_another_when_its_holder_leaves(office: Office) -> None:
    async with joined(office) as other:
        async with joined(office) as first:
            doer, heir = (first, other) if first.doing else (other, first)
            if doer is other:
                assert await other.begun.get() == other.id
            await renewals(office, first, 2)
            assert heir.doing == []
            await doer.membership.leave()
            assert await heir.begun.get() == heir.id
            assert doer.doing == []


@pytest.mark.parametrize("office", ["postgresql"], indirect=True)
async def test_who_drains_takes_no_duty(office: Office) -> None:
    async with joined(office) as holder:
        assert await holder.begun.get() == holder.id
        async with joined(office) as process:
            process.membership.drain()
            while state(office, process.id) != "draining":
                await asyncio.sleep(LEASE / 10)
            await holder.membership.leave()
            await renewals(office, process, 2)

            assert process.doing == []
