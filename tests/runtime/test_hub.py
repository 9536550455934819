"""Events of runs in memory: what a late watcher gets, and that their memory is bounded."""

import pytest

from gatewright.runtime import hub
from gatewright.runtime.hub import Hub, weigh
from gatewright.runtime.store.bell import Bell


async def seen(told: Hub, run_id: str, after: int = -1) -> list[int]:
    return [event.seq for event in await told.changed(run_id, after, timeout=0.01)]


async def test_a_late_watcher_gets_what_was_told() -> None:
    told = Hub(Bell())
    for number in range(3):
        told.publish("a", "effect", {"number": number})

    assert await seen(told, "a") == [0, 1, 2]
    assert await seen(told, "a", after=1) == [2]


async def test_large_events_of_other_runs_make_the_oldest_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WEIGHT", 10_000)
    told = Hub(Bell())
    for name in "abcde":
        told.publish(name, "update", {"text": "x" * 4000})

    assert [await seen(told, name) for name in "abcde"] == [[], [], [], [0], [0]]


async def test_the_newest_run_is_kept_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WEIGHT", 10)
    told = Hub(Bell())
    told.publish("a", "update", {"text": "x" * 4000})

    assert await seen(told, "a") == [0]


async def test_a_watcher_whose_run_was_forgotten_in_between_misses_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Hub(Bell())
    for _ in range(5):
        told.publish("a", "effect", {})
    monkeypatch.setattr(hub, "WEIGHT", 10)
    told.publish("b", "update", {"text": "x" * 4000})
    assert await told.newest("a") == -1

    assert await seen(told, "a", after=4) == []
    told.publish("a", "effect", {})

    assert await seen(told, "a", after=4) == [5]


def test_an_event_weighs_what_its_texts_weigh() -> None:
    assert 5000 < weigh({"run": [{"text": "x" * 5000}, b"", None, (1, 2.0)]}) < 6000
    assert weigh([0] * 1_000_000) >= 64_000_000
