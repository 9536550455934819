"""`gatewright bus`: in a folder where no service runs, and where one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gatewright.agents import Reject
from gatewright.runtime.bus import Delivery
from gatewright.runtime.config import load
from gatewright.runtime.service import Service

if TYPE_CHECKING:
    import pytest
    from deploy.cluster.kafka import Kafka

    from .conftest import Project


def dead(project: Project, *data: object) -> None:
    """Make a dead letter of each of these on topic `orders`."""

    async def refuse(_: Delivery) -> None:
        raise Reject("not ours")

    async def main() -> None:
        async with await Service.open(load(project.path / "gatewright.toml"), execute=False) as service:
            await service.bus.subscribe("orders", "desk", refuse)
            for each in data:
                await service.bus.publish("orders", each, key="k")
            async with asyncio.timeout(60):
                while len(await service.dead_letters()) < len(data):
                    await asyncio.sleep(0.02)

    asyncio.run(main())


def test_dead_letters_are_listed_shown_and_redriven(project: Project) -> None:
    dead(project, {"n": 1}, {"n": 2})
    newest, oldest = project("bus", "dead-letters", "--json").json
    shown = project("bus", "dead-letters", oldest["id"])
    assert "reason: rejected" in shown.out and '"n":1' in shown.out
    assert project("bus", "redrive", oldest["id"], "--json").json == {"redriven": [oldest["id"]]}
    assert [letter["id"] for letter in project("bus", "dead-letters", "--json").json] == [newest["id"]]
    assert project("bus", "dead-letters", "--state", "redriving", "--json").json[0]["id"] == oldest["id"]
    again = project("bus", "redrive", oldest["id"])
    assert again.code == 1 and "has it again" in again.err


def test_nothing_is_redriven_if_one_id_is_wrong(project: Project) -> None:
    dead(project, 1)
    (letter,) = project("bus", "dead-letters", "--json").json
    asked = project("bus", "redrive", letter["id"], "dead-none")
    assert asked.code == 2 and "'dead-none'" in asked.err
    assert len(project("bus", "dead-letters", "--json").json) == 1


def test_all_of_a_topic_are_redriven(project: Project) -> None:
    dead(project, 1, 2, 3)
    assert len(project("bus", "redrive", "--topic", "orders", "--group", "other", "--json").json["redriven"]) == 0
    assert len(project("bus", "redrive", "--topic", "orders", "--json").json["redriven"]) == 3


def test_what_to_redrive_must_be_said(project: Project) -> None:
    for words in (["redrive"], ["redrive", "dead-1", "--topic", "t"], ["redrive", "dead-1", "--group", "g"]):
        assert project("bus", *words).code == 2


def test_topics_and_lag_are_listed_and_a_group_is_forgotten(project: Project) -> None:
    dead(project, 1)
    topics = project("bus", "topics", "--create", "other", "--json").json
    assert [topic["name"] for topic in topics] == ["orders", "other"]
    (lag,) = project("bus", "--json").json
    assert (lag["group"], lag["waiting"], lag["dead"], lag["members"]) == ("desk", 0, 1, 0)
    assert project("bus", "forget", "orders", "desk").code == 0
    assert project("bus", "lag", "--json").json == []
    assert project("bus", "forget", "orders", "desk").code == 2


def test_a_running_service_is_asked(project: Project, serving: Callable[..., str]) -> None:
    dead(project, 1)
    serving()
    (letter,) = project("bus", "dead-letters", "--json").json
    assert project("bus", "dead-letters", letter["id"], "--json").json == letter
    assert project("bus", "redrive", letter["id"]).code == 0
    assert project("bus", "topics", "--json").json[0]["name"] == "orders"
    assert project("bus", "lag", "--json").json[0]["dead"] == 0
    assert project("bus", "forget", "orders", "desk").code == 0


def test_the_doctor_says_whether_kafka_answers(project: Project, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, str, int]] = []
    for url in ("", f"kafka://{kafka.bootstrap}", "kafka://127.0.0.1:1"):
        monkeypatch.setenv("GATEWRIGHT_BUS", url)
        result = project("doctor", "--json")
        found += [(each["state"], each["found"], result.code) for each in result.json if each["check"] == "bus"]
    inside, answers, away = found
    assert inside == ("ok", "messages stay in the database", inside[2])
    assert answers[0] == "ok" and f"kafka://{kafka.bootstrap} answers" in answers[1]
    assert away[0] == "bad" and "127.0.0.1:1 has not answered" in away[1] and away[2] == 4
