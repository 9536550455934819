"""Wake-ups between processes: each bell here is what one process has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from deploy.cluster.postgresql import PostgreSQL as Server

from gatewright.runtime.store import bell, database
from gatewright.runtime.store.bell import Bell


class Ear:
    """What a process has heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._stirred = asyncio.Event()

    def __call__(self, name: str) -> None:
        self.heard.append(name)
        self._stirred.set()

    async def until(self, enough: Callable[[list[str]], Any]) -> None:
        async with asyncio.timeout(60):
            while not enough(self.heard):
                self._stirred.clear()
                await self._stirred.wait()


@asynccontextmanager
async def opened(url: str, **hearers: Ear) -> AsyncGenerator[Bell]:
    """A bell that listens; its hearers have heard that they may have missed something, and no more."""
    made = bell.of(database.of(url, Path()))
    for prefix, ear in hearers.items():
        made.on(prefix, ear)
    ready = Ear()
    made.on("ready", ready)
    await made.open()
    await ready.until(bool)
    for ear in hearers.values():
        ear.heard.clear()
    yield made
    await made.close()


async def test_a_ring_is_heard_by_those_who_listen_to_its_beginning(database_url: str) -> None:
    runs, queue = Ear(), Ear()
    async with opened(database_url, run=runs, queue=queue), opened(database_url) as ringing:
        ringing.ring("run:1")
        ringing.ring("other")
        ringing.ring("queue")
        await queue.until(bool)
    assert (runs.heard, queue.heard) == (["run:1"], ["queue"])


async def test_nobody_hears_their_own_rings(database_url: str) -> None:
    own, others = Ear(), Ear()
    async with opened(database_url, a=own) as ringing, opened(database_url, a=others) as answering:
        ringing.ring("a:mine")
        await others.until(bool)
        answering.ring("a:yours")
        await own.until(bool)
    assert (own.heard, others.heard) == (["a:yours"], ["a:mine"])


async def test_what_is_rung_in_a_row_comes_once(database_url: str) -> None:
    ear = Ear()
    async with opened(database_url, a=ear) as _, opened(database_url) as ringing:
        for _ in range(50):
            ringing.ring("a")
        ringing.ring("a:end")
        await ear.until(lambda heard: "a:end" in heard)
    assert ear.heard == ["a", "a:end"]


async def test_more_names_than_one_notification_takes_all_arrive(database_url: str) -> None:
    names = [f"run:{'é' * 100}{number}" for number in range(500)]
    ear = Ear()
    async with opened(database_url, run=ear), opened(database_url) as ringing:
        for name in names:
            ringing.ring(name)
        await ear.until(lambda heard: len(heard) >= len(names))
    assert ear.heard == names


async def test_too_many_names_become_what_they_begin_with(database_url: str) -> None:
    runs, queue = Ear(), Ear()
    async with opened(database_url, run=runs, queue=queue), opened(database_url) as ringing:
        ringing.ring("queue")
        for number in range(bell.MOST):
            ringing.ring(f"run:{number}")
        await runs.until(bool)
    assert (runs.heard, queue.heard) == (["run:"], ["queue"])


async def test_a_ring_from_another_thread_is_sent(database_url: str) -> None:
    ear = Ear()
    async with opened(database_url, a=ear), opened(database_url) as ringing:
        await asyncio.to_thread(ringing.ring, "a")
        await ear.until(bool)
    assert ear.heard == ["a"]


async def test_a_lost_connection_is_made_again_and_everything_counts_as_rung(
    postgresql: Server, database_url: str
) -> None:
    ear = Ear()
    async with opened(database_url, **{"run:": ear}) as listening, opened(database_url) as ringing:
        with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await ear.until(lambda heard: "run:" in heard)
        assert listening.steady
        ringing.ring("run:1")  # which waits for the other connection, if need be
        await ear.until(lambda heard: "run:1" in heard)


async def test_a_hearer_that_fails_and_a_strange_notification_keep_nobody_from_hearing(database_url: str) -> None:
    def fail(name: str) -> None:
        raise ValueError(name)

    ear = Ear()
    made = bell.of(database.of(database_url, Path()))
    made.on("a", fail)
    made.on("a", ear)
    await made.open()
    await ear.until(bool)
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"NOTIFY {bell.CHANNEL}, 'what?'")
        connection.execute(f"NOTIFY {bell.CHANNEL}, '[\"a:1\"]'")
    await ear.until(lambda heard: "a:1" in heard)
    await made.close()


async def test_a_database_that_is_away_keeps_nobody_from_opening_and_closing() -> None:
    made = bell.of(database.of("postgresql+psycopg://nobody@127.0.0.1:9/none", Path()))
    await made.open()
    made.ring("a")
    assert not made.steady
    await made.close()


@pytest.mark.parametrize("name", ["queue", "run:1"])
async def test_a_file_has_a_bell_that_nobody_hears(tmp_path: Path, name: str) -> None:
    ear = Ear()
    made = bell.of(database.of("", tmp_path))
    made.on(name, ear)
    await made.open()
    made.ring(name)
    await made.close()
    assert made.steady and ear.heard == []
