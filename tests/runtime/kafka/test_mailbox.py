"""Mailbox: news of threads for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from gatewright.runtime.kafka.mailbox import Mailbox


async def test_letters_of_threads_arrive_all_and_each_threads_in_order() -> None:
    received: list[tuple[int, int]] = []
    everything = asyncio.Event()

    def receive(letter: tuple[int, int]) -> None:
        received.append(letter)
        if len(received) == 4000:
            everything.set()

    mailbox = Mailbox(asyncio.get_running_loop(), receive)

    def post(name: int) -> None:
        for number in range(1000):
            mailbox.post((name, number))

    threads = [threading.Thread(target=post, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.wait_for(everything.wait(), 60)
    for name in range(4):
        assert [number for who, number in received if who == name] == list(range(1000))


async def test_many_letters_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, calls, received = asyncio.get_running_loop(), list[object](), list[int]()
    original = loop.call_soon_threadsafe

    def count(callback: Callable[[], None]) -> asyncio.Handle:
        calls.append(callback)
        return original(callback)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    mailbox = Mailbox(loop, received.append)
    for number in range(100):
        mailbox.post(number)
    await asyncio.sleep(0)
    assert received == list(range(100)) and len(calls) == 1


def test_a_letter_for_a_loop_that_is_closed_is_nobodys() -> None:
    loop = asyncio.new_event_loop()
    received: list[int] = []
    mailbox = Mailbox(loop, received.append)
    loop.close()
    mailbox.post(1)
    assert received == []
