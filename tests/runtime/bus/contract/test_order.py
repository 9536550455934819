"""Order: of one key at each group, and none across keys."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest
from tests.runtime.bus.histories import Effect, check
from tests.runtime.bus.sites import Seen, Site, until

from gatewright.runtime.bus import Delivery
from gatewright.runtime.bus.log import Entry, Log, Scan
from gatewright.runtime.store.writer import Transaction


async def test_messages_of_a_key_are_handled_in_the_order_of_publication(site: Site) -> None:
    bus = await site.bus()
    for number in range(100):
        await bus.publish("t", number, key=f"k{number % 3}")
    seen = Seen(lambda delivery: asyncio.sleep(0.001 * (delivery.data % 5)))
    await bus.subscribe("t", "g", seen, concurrency=8)
    await seen.wait(100)
    by_key: dict[str | None, list[int]] = defaultdict(list)
    for delivery in seen.deliveries:
        by_key[delivery.key].append(delivery.data)
    assert by_key == {f"k{key}": list(range(key, 100, 3)) for key in range(3)}


async def test_two_messages_of_a_key_are_never_handled_at_the_same_time(site: Site) -> None:
    bus = await site.bus()
    running: set[str | None] = set()

    async def handle(delivery: Delivery) -> None:
        assert delivery.key not in running
        running.add(delivery.key)
        await asyncio.sleep(0.002)
        running.discard(delivery.key)

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen, concurrency=16)
    await asyncio.gather(*(bus.publish("t", number, key=f"k{number % 4}") for number in range(60)))
    await seen.wait(60)
    assert all(delivery.attempt == 1 for delivery in seen.deliveries)


class Keyless(Log):
    """Forgets keys: the negative control of order."""

    def put(self, transaction: Transaction, entries: Sequence[Entry]) -> None:
        super().put(transaction, [entry._replace(key=None) if entry.topic == "t" else entry for entry in entries])


@pytest.mark.parametrize(("kind", "patience", "wanted"), [(Log, 0.1, []), (Keyless, 20.0, [Effect("k", 0)])])
async def test_a_message_that_could_be_overtaken_is_not(
    site: Site, kind: type[Log], patience: float, wanted: list[Effect]
) -> None:
    """Where keys are forgotten, it is, and the checker sees it."""
    bus = await site.bus()
    bus.log.__class__ = kind
    effects: list[Effect] = []
    overtaken, both = asyncio.Event(), asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.data == 0:
            await asyncio.wait([asyncio.create_task(overtaken.wait())], timeout=patience)
        else:
            overtaken.set()
        effects.append(Effect("k", delivery.data))
        if len(effects) == 2:
            both.set()

    await bus.subscribe("t", "g", handle)
    await bus.publish("t", 0, key="k")
    await bus.publish("t", 1, key="k")
    async with asyncio.timeout(60):
        await both.wait()
    assert check({"k": 2}, effects, []).out_of_order == wanted


async def test_a_slow_key_does_not_hold_up_others(site: Site) -> None:
    bus = await site.bus()
    gate = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.key == "slow":
            await gate.wait()

    seen = Seen(handle)
    await bus.subscribe("t", "g", seen, concurrency=2)
    await bus.publish("t", 0, key="slow")
    for number in range(1, 20):
        await bus.publish("t", number, key=f"k{number}")
    assert sorted(await seen.wait(20)) == list(range(20))
    gate.set()


async def test_every_group_gets_every_message(site: Site) -> None:
    bus = await site.bus()
    first, second = Seen(), Seen()
    await bus.subscribe("t", "first", first)
    await bus.subscribe("t", "second", second)
    for number in range(10):
        await bus.publish("t", number, key="k")
    assert await first.wait(10) == await second.wait(10) == list(range(10))


async def test_a_message_is_handled_by_one_member_of_a_group(site: Site) -> None:
    one, other = await site.bus(), await site.bus()
    seen = Seen()
    members = [await bus.subscribe("t", "g", seen) for bus in (one, other)]
    await until(lambda: [len(member.held) for member in members] == [32, 32])
    await asyncio.gather(*(one.publish("t", number, key=f"k{number}") for number in range(200)))
    assert sorted(await seen.wait(200)) == list(range(200))
    await asyncio.sleep(0.2)
    assert len(seen.data) == 200


async def test_a_new_group_begins_where_it_is_told(site: Site) -> None:
    bus = await site.bus()
    await bus.publish("t", "before", key="k")
    early, late = Seen(), Seen()
    await bus.subscribe("t", "early", early)
    await early.wait(1)
    await bus.subscribe("t", "late", late, start="latest")
    await bus.publish("t", "after", key="k")
    assert await early.wait(2) == ["before", "after"]
    assert await late.wait(1) == ["after"]


@pytest.mark.not_on("kafka", reason="its intake hands on what it has stored")
async def test_what_waits_is_read_in_bounded_pieces(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.runtime.bus.log.READ_BYTES", 3000)
    pieces: list[int] = []

    class Measured(Log):
        def read(self, transaction: Transaction, topic: str, parts: Iterable[int], since: int, most: int) -> Scan:
            scan = super().read(transaction, topic, parts, since, most)
            pieces.append(sum(len(row.body) for row in scan.rows))
            return scan

    publisher = await site.bus()
    for number in range(30):
        await publisher.publish("t", {"number": number, "text": "x" * 1000}, key="k")
    seen = Seen()
    bus = await site.bus()
    bus.log.__class__ = Measured
    await bus.subscribe("t", "g", seen)
    await seen.wait(30)
    assert [delivery.data["number"] for delivery in seen.deliveries] == list(range(30))
    assert 0 < max(pieces) < 3000 + 2000  # a message more than the bound
