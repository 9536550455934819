"""Decision records on a topic: all of them, each once, in the order of the log, without what is sealed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gatewright.agents.envelopes import Message
from gatewright.runtime.bus import Delivery
from gatewright.runtime.ledger import publishing
from gatewright.runtime.service import Service
from gatewright.safety.canonical import canonical
from gatewright.safety.ledger import merkle

if TYPE_CHECKING:
    from tests.runtime.conftest import House

both = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)


class Reader:
    """A consumer of decision records."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.messages.append(delivery.message)

    async def read(self, service: Service, count: int) -> list[dict[str, Any]]:
        """What it was given, when that is so many records of the log."""
        async with asyncio.timeout(60):
            while len(self.messages) < count or (await service.ledger()).size > len(self.messages):
                await asyncio.sleep(0.02)
        return sorted((message.data for message in self.messages), key=lambda data: int(data["index"]))


@both
async def test_every_record_is_published_once_over_restarts(house: House) -> None:
    house.settings(ledger={"topic": "decisions"})
    reader = Reader()

    for amount in (1, 2, 3):
        async with house.open("teams:asking_twice") as service:
            await service.bus.subscribe("decisions", "auditors", reader)
            run = await house.finish(service, {"amount": amount})
            told = await reader.read(service, 1)
            stored = await service.records(limit=1000)

    assert [data["index"] for data in told] == list(range(len(stored)))
    for data, view in zip(told, stored, strict=True):
        assert data["record"] == view.record
        assert data["leaf"] == view.leaf_hash == merkle.leaf_hash(canonical(view.record)).hex()
    of_case = [message for message in reader.messages if message.key == run.case_id]
    assert [message.data["index"] for message in of_case] == sorted(message.data["index"] for message in of_case)
    assert {message.type for message in reader.messages} == {"gatewright.decision@1.0"}
    assert b"paid 3" not in b"".join(message.to_json() for message in reader.messages)


async def test_records_wait_while_the_topic_is_full(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "AWAY", 0.02)
    house.settings(ledger={"topic": "decisions"}, topics={"decisions": {"limit": 1}})
    reader = Reader()

    async with house.open("teams:asking_twice") as service:
        await (await service.bus.subscribe("decisions", "auditors", reader)).close()
        await house.finish(service, {"amount": 1})
        await asyncio.sleep(0.3)  # time in which all would be published
        await service.bus.subscribe("decisions", "auditors", reader)
        told = await reader.read(service, 1)
        stored = await service.records(limit=1000)

    assert [data["index"] for data in told] == list(range(len(stored)))


async def test_a_record_that_is_too_large_for_a_message_is_told_by_its_hash(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LARGEST", 800)
    house.settings(ledger={"topic": "decisions"})
    reader = Reader()

    async with house.open("teams:asking_twice") as service:
        await service.bus.subscribe("decisions", "auditors", reader)
        await house.finish(service, {"amount": 1})
        told = await reader.read(service, 1)

    assert {data["record"] is None for data in told} == {True, False}
    assert all(len(orjson.dumps(data["record"])) <= 900 for data in told)
    assert all(len(data["leaf"]) == 64 for data in told)
