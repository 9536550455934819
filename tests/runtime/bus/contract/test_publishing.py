"""Publishing: once for an id, with what the topic takes, within bounds."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from tests.runtime.bus.sites import SOON, Seen, Site, until

from gatewright.agents import Message
from gatewright.agents.errors import BusyError, UsageError
from gatewright.runtime.bus import Bus, Topic, outgoing
from gatewright.runtime.bus.log import Entry, Log
from gatewright.runtime.store.writer import Transaction, Writer, arrival

_OFFSETS = sa.text('SELECT "partition", "offset" FROM message WHERE topic = \'t\' ORDER BY number')


async def test_an_id_is_published_once(site: Site) -> None:
    bus = await site.bus()
    for _ in range(3):
        await bus.publish("t", 1, key="k", id="same")
    await asyncio.gather(*(bus.publish("t", 1, key="k", id="same") for _ in range(5)))
    assert await site.published("t") == 1


async def test_an_id_is_published_once_by_processes_at_the_same_time(site: Site) -> None:
    one, other = await site.bus(), await site.bus()
    await asyncio.gather(
        *(bus.publish("t", 1, key=key, id=f"id-{n}") for n in range(20) for bus in (one, other) for key in "ab")
    )
    assert await site.published("t") == 20


class Careless(Log):
    """Does not look whether an id is there: the negative control of the two tests above."""

    def put(self, transaction: Transaction, entries: list[Entry]) -> None:  # type: ignore[override]
        super().put(transaction, [entry._replace(new=True) for entry in entries])


async def test_without_the_look_at_ids_a_repeated_one_is_seen(site: Site) -> None:
    bus = await site.bus()
    await bus.publish("t", 1, key="k", id="same")
    bus.log.__class__ = Careless
    with pytest.raises(Exception, match="(?i)unique|duplicate"):
        await bus.publish("t", 1, key="k", id="same")


async def test_the_same_id_on_another_topic_is_another_message(site: Site) -> None:
    bus = await site.bus()
    await bus.publish("t", 1, id="same")
    await bus.publish("other", 1, id="same")
    assert await site.published("t") == 1


@pytest.mark.not_on("kafka", reason="its intake writes one batch after the other")
async def test_offsets_of_a_partition_have_no_gaps(site: Site) -> None:
    one, other = await site.bus(), await site.bus()
    await asyncio.gather(*(bus.publish("t", n, key=f"k{n % 7}") for n in range(100) for bus in (one, other)))
    by_partition: dict[int, list[int]] = {}
    for part, offset in await site.query(_OFFSETS):
        by_partition.setdefault(part, []).append(offset)
    assert sum(map(len, by_partition.values())) == 200
    assert all(offsets == list(range(len(offsets))) for offsets in by_partition.values())


async def test_a_whole_message_keeps_its_attributes(site: Site) -> None:
    bus, seen = await site.bus(), Seen()
    given = Message(
        source="/shop", type="order.placed@1.0", data={"n": 1}, key="k", run_id="run-1", time=datetime.now(UTC)
    )
    assert await bus.publish("t", given) == given
    await bus.subscribe("t", "g", seen)
    await seen.wait(1)
    assert seen.deliveries[0].message == given


async def test_bytes_come_out_as_they_went_in(site: Site) -> None:
    bus, seen = await site.bus(), Seen()
    await bus.publish("t", b"\x00\xff")
    await bus.subscribe("t", "g", seen)
    assert await seen.wait(1) == [b"\x00\xff"]


async def test_a_message_that_is_too_large_is_refused_with_its_size(site: Site) -> None:
    bus = await site.bus()
    with pytest.raises(UsageError, match="at most 1048576"):
        await bus.publish("t", "x" * (1 << 20))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 201])
async def test_what_is_no_name_of_a_topic_is_refused(site: Site, name: str) -> None:
    bus = await site.bus()
    with pytest.raises(UsageError, match="no name of a topic"):
        await bus.publish(name, 1)


async def test_another_number_of_partitions_is_refused(site: Site) -> None:
    await (await site.bus(t=Topic(partitions=4))).create("t")
    with pytest.raises(UsageError, match="has 4 partitions and is configured with 8"):
        await (await site.bus(t=Topic(partitions=8))).create("t")


@pytest.mark.not_on("kafka", reason="Kafka is between publishers and groups, and the limit is the one of the outbox")
async def test_a_full_topic_makes_publishers_wait_and_then_tells_them(site: Site) -> None:
    bus = await site.bus(t=SOON.model_copy(update={"limit": 10}))
    gate = asyncio.Event()
    await bus.subscribe("t", "slow", lambda _: gate.wait())
    with pytest.raises(BusyError, match=r"'t' is full: \d+ messages wait for group 'slow', and its limit is 10"):
        for number in range(100):
            await bus.publish("t", number, timeout=0.3)
    assert 10 <= await site.published("t") < 20
    gate.set()
    await bus.publish("t", "there is room again", timeout=60)


async def test_a_topic_that_nobody_consumes_is_not_full(site: Site) -> None:
    bus = await site.bus(t=SOON.model_copy(update={"limit": 5}))
    for number in range(30):
        await bus.publish("t", number, timeout=0.3)
    assert await site.published("t") == 30


async def test_what_is_on_its_way_to_the_database_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = await site.bus()
    await bus.publish("t", 0)
    monkeypatch.setattr(outgoing, "PENDING", 10)
    gate = threading.Event()
    held = _writer(bus).submit(lambda _: gate.wait())
    tasks = [asyncio.ensure_future(bus.publish("t", n, timeout=0.2)) for n in range(30)]
    results = await asyncio.gather(*(asyncio.wait({task}, timeout=60) for task in tasks[10:]))
    refused = [task for done, _ in results for task in done if isinstance(task.exception(), BusyError)]
    gate.set()
    await arrival(held)
    await asyncio.gather(*tasks[:10])
    assert len(refused) == 20
    assert await site.published("t") == 11


async def test_a_message_put_with_another_operation_shares_its_fate(site: Site) -> None:
    bus, seen = await site.bus(), Seen()
    await bus.subscribe("t", "g", seen)

    def fails(transaction: Transaction) -> None:
        bus.put(transaction, "t", "lost", key="k")
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await arrival(_writer(bus).submit(fails))
    await arrival(_writer(bus).submit(lambda transaction: bus.put(transaction, "t", "kept", key="k")))
    assert await seen.wait(1) == ["kept"]


async def test_a_message_is_found_that_another_process_published(site: Site) -> None:
    one, other = await site.bus(), await site.bus()
    seen = Seen()
    member = await one.subscribe("t", "g", seen)
    await until(lambda: len(member.held) == 64)
    await other.publish("t", "hello")
    assert await seen.wait(1) == ["hello"]


def _writer(bus: Bus) -> Writer:
    return bus._main.log.writer  # pyright: ignore[reportPrivateUsage]
