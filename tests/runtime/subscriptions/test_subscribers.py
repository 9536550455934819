"""Messages of topics become runs: each once, in the order of their keys, on the threads that they belong to."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents.envelopes import Message
from gatewright.agents.errors import UsageError
from gatewright.runtime.bus import letters
from gatewright.runtime.bus.log import Entry, entry
from gatewright.runtime.bus.views import DeadLetterView
from gatewright.runtime.policy import recorded
from gatewright.runtime.service import Service
from gatewright.runtime.store import database
from gatewright.runtime.subscriptions import pressure
from gatewright.runtime.views import FINAL, RunView

if TYPE_CHECKING:
    from tests.runtime.conftest import House

both = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)
_spawn = multiprocessing.get_context("fork")


async def until(found: Callable[[], Awaitable[Any]]) -> Any:
    """What is found, when there is something."""
    async with asyncio.timeout(60):
        while not (value := await found()):
            await asyncio.sleep(0.02)
    return value


async def ended(service: Service, count: int) -> list[RunView]:
    """That many runs which have ended, the oldest first."""

    async def look() -> list[RunView]:
        runs = [run for run in await service.runs(limit=1000) if run.status in FINAL]
        return sorted(runs, key=lambda run: run.created_at) if len(runs) >= count else []

    found: list[RunView] = await until(look)
    return found


async def dead(house: House) -> list[DeadLetterView]:
    """The dead letters, when there are any."""
    engine = database.of(house.database, house.folder / "data").connect(readonly=True)

    def read() -> list[DeadLetterView]:
        with engine.connect() as connection:
            return letters.views(connection, topic=None, group=None, state=None, limit=100, offset=0)

    try:
        found: list[DeadLetterView] = await until(lambda: asyncio.to_thread(read))
    finally:
        engine.dispose()
    return found


@both
async def test_messages_of_a_key_are_runs_of_one_thread_in_order(house: House) -> None:
    async with house.open("teams:reading") as service:
        for number in range(5):
            for key in ("ada", "bob"):
                await service.bus.publish("letters", {"text": f"{key} {number}"}, key=key)
        runs = await ended(service, 10)
        (thread, *_) = [found for found in await service.threads() if found.id == "x:letters:ada"]
        state = await service.thread_state(thread.id)

    assert {run.status for run in runs} == {"succeeded"}
    assert {run.thread_id for run in runs} == {"x:letters:ada", "x:letters:bob"}
    assert thread.metadata == {"topic": "letters", "key": "ada"}
    assert state["values"]["read"] == [f"ada {number}" for number in range(5)]


async def test_a_message_that_is_published_twice_is_one_run(house: House) -> None:
    async with house.open("teams:reading") as service:
        for _ in range(2):
            await service.bus.publish("letters", {"text": "once"}, id="m1")
        await service.bus.publish("letters", {"text": "end"}, id="m2")
        await ended(service, 2)

    assert house.counts == {"note:once": 1, "note:end": 1}


async def test_configuration_adds_subscriptions_with_thread_and_input(house: House) -> None:
    mapped = {"topic": "orders", "agent": "archive", "thread": "data.customer", "input": {"text": "data.lines[0].name"}}
    house.deployment(subscriptions=[mapped])

    async with house.open("teams:reading") as service:
        await service.bus.publish("orders", {"customer": 7, "lines": [{"name": "a lamp"}]}, key="order-1")
        await service.bus.publish("orders", {"customer": 7, "lines": [{"name": "a bulb"}]}, key="order-2")
        first, second = await ended(service, 2)

    assert (first.thread_id, first.agent) == ("x:7", "archive")
    assert second.thread_id == first.thread_id
    assert {run.input["text"] for run in (first, second)} == {"a lamp", "a bulb"}


async def test_bytes_of_others_are_read_as_the_subscription_says(house: House) -> None:
    house.deployment(
        subscriptions=[
            {"topic": "json", "format": "json", "thread": "data.id"},
            {"topic": "raw", "format": "raw", "input": {"text": 'key + ": " + data'}},
        ]
    )

    async with house.open("teams:reading") as service:
        await service.bus.publish("json", b'{"id": "j", "text": "of json"}')
        await service.bus.publish("raw", "of text, für alle".encode(), key="k")
        refused, *_ = await dead(house)
        await ended(service, 1)

    assert house.counts == {"note:k: of text, für alle": 1}
    assert refused.detail.startswith("agent 'desk' has no input 'id'")


@pytest.mark.parametrize(
    ("subscription", "data", "said"),
    [
        ({}, {"text": 5}, "the input does not fit agent 'desk': ['text']: 5 is not of type 'string'"),
        ({"thread": "data.who"}, {"text": "x"}, "`thread`: 'data.who' has no value here: NOT_FOUND: Key not found"),
        ({"thread": "data"}, {"text": "x"}, "must be a text or a whole number"),
        ({"thread": "data.text"}, {"text": "long" * 50}, "has 202 characters, the limit is 200"),
        ({"input": {"text": "data.a.b"}}, {"a": 1}, "`input.text`: 'data.a.b' has no value here"),
        ({}, b"\xff", "the payload is 1 bytes of application/octet-stream, not JSON; give the subscription format"),
        ({"format": "json"}, b"{", "the payload b'{' is no JSON"),
        ({"format": "raw", "input": {"text": "data"}}, b"\xff", "is no text in UTF-8"),
    ],
)
async def test_what_does_not_fit_is_a_dead_letter_that_says_why(
    house: House, subscription: dict[str, Any], data: Any, said: str
) -> None:
    house.deployment(subscriptions=[{"topic": "odd", **subscription}])

    async with house.open("teams:reading") as service:
        await service.bus.publish("odd", data, key="k")
        (letter,) = await dead(house)

    assert said in letter.detail, letter.detail
    assert (letter.reason, letter.attempts) == ("rejected", 1)


async def test_rules_are_asked_and_their_refusal_is_a_dead_letter_or_a_failed_run(house: House) -> None:
    examples = {"match": [{"args": {"metadata": {"key": "no"}}}], "pass": [{"args": {"metadata": {"key": "yes"}}}]}
    begin = {"id": "begin", "on": {"hook": "thread.start"}, "when": 'args.metadata.key == "no"', "then": "deny"}
    given = {"id": "given", "on": {"hook": "message.receive"}, "when": 'args.text == "bad"', "then": "deny"}
    word = {"match": [{"args": {"text": "bad"}}], "pass": [{"args": {"text": "good"}}]}
    house.rules({**begin, "examples": examples}, {**given, "examples": word})

    async with house.open("teams:reading") as service:
        await service.bus.publish("letters", {"text": "good"}, key="no")
        await service.bus.publish("letters", {"text": "bad"}, key="yes")
        (letter,) = await dead(house)
        (run,) = await ended(service, 1)

    assert letter.detail == "thread.start refused: because of begin"
    assert run.error is not None and run.error.message == "message.receive refused: because of given"


async def test_a_closed_thread_takes_no_message(house: House) -> None:
    async with house.open("teams:reading") as service:
        await service.bus.publish("letters", {"text": "one"}, key="k")
        (run,) = await ended(service, 1)
        await service.close_thread(run.thread_id, by="kim")
        await service.bus.publish("letters", {"text": "two"}, key="k")
        (letter,) = await dead(house)

    assert "thread 'x:letters:k' was closed at" in letter.detail


async def test_a_thread_of_another_agent_takes_no_message(house: House) -> None:
    house.deployment(subscriptions=[{"topic": topic, "agent": agent, "thread": "key"} for topic, agent in AGENTS])

    async with house.open("teams:reading") as service:
        for topic, _agent in AGENTS:
            await service.bus.publish(topic, {"text": topic}, key="k")
            await ended(service, 1)
        (letter,) = await dead(house)

    assert "thread 'x:k' is one of agent 'desk', not of 'archive'" in letter.detail


AGENTS = (("first", "desk"), ("second", "archive"))


@both
async def test_a_run_knows_the_message_that_started_it(house: House) -> None:
    async with house.open("teams:reading") as service:
        until_then = datetime.now(UTC) + timedelta(hours=1)
        sent = await service.bus.publish("letters", {"text": "a"}, key="k", deadline=until_then)
        (run,) = await ended(service, 1)
        (record,) = await service.records(kind="run", run_id=run.id)

    about = record.record["detail"]
    assert about["message"]["id"] == about["message"]["correlation_id"] == sent.id
    assert about["message"]["topic"] == "letters"
    assert about["deadline"] == until_then.isoformat().replace("+00:00", "Z")


async def test_a_run_whose_deadline_is_over_is_not_begun(house: House) -> None:
    async with house.open("teams:reading") as service:
        await service.pause_deployment("x", by="kim", reason="maintenance")
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        await service.bus.publish("letters", {"text": "late"}, deadline=soon)
        (run,) = await ended(service, 1)
        await service.resume_deployment("x", by="kim")

    assert (run.status, run.started_at) == ("cancelled", None)
    assert run.error is not None and run.error.type == "ExpiredError"
    assert house.done == []


async def test_a_request_is_answered_with_the_run_that_it_started(house: House) -> None:
    async with house.open("teams:reading") as service:
        reply = await service.bus.request("letters", {"text": "a"}, key="k", timeout=30)
        (run,) = await ended(service, 1)

    assert reply.data == {"run_id": run.id, "thread_id": "x:letters:k"}


async def test_messages_of_two_sources_may_have_one_id(house: House) -> None:
    def from_kafka(source: str) -> Entry:
        message = Message(id="1", source=source, type="letters", data={"text": source}, key=source)
        return entry("letters", message, new=False)._replace(id=f"{source}#1")

    async with house.open("teams:reading") as service:
        log = service.bus.log
        await log.write(lambda transaction: log.put(transaction, [from_kafka("one"), from_kafka("other")]))
        await ended(service, 2)

    assert house.counts == {"note:one": 1, "note:other": 1}


async def test_messages_wait_while_too_many_runs_do(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure.Pressure.__init__, "__kwdefaults__", {"most": 8})
    monkeypatch.setattr(pressure, "LOOK", 0.02)

    async with house.open("teams:reading") as service:
        await service.pause_deployment("x", by="kim", reason="maintenance")
        for number in range(30):
            await service.bus.publish("letters", {"text": str(number)}, key=str(number))
        await until(lambda: _queued(service, 8))
        await asyncio.sleep(0.3)  # time in which more would come
        waiting = len(await service.runs(status="queued", limit=100))
        await service.resume_deployment("x", by="kim")
        await ended(service, 30)

    assert 8 <= waiting < 30
    assert house.counts == {f"note:{number}": 1 for number in range(30)}


async def _queued(service: Service, count: int) -> bool:
    return len(await service.runs(status="queued", limit=100)) >= count


async def test_a_process_that_executes_nothing_leaves_messages_to_others(house: House) -> None:
    config = house.config("teams:reading")

    async with await Service.open(config, execute=False) as service:
        await service.bus.publish("letters", {"text": "a"})
        await asyncio.sleep(0.3)  # time in which it would be taken
        left = await service.runs()
    async with await Service.open(config) as service:
        await ended(service, 1)

    assert left == []
    assert house.counts == {"note:a": 1}


@both
def test_no_message_is_lost_or_read_twice_when_the_process_dies(house: House) -> None:
    texts = [f"letter {number}" for number in range(20)] + ["deadly"]

    async def work() -> list[RunView]:
        async with house.open("teams:reading") as service:
            for text in texts:
                await service.bus.publish("letters", {"text": text}, key=text[-1], id=text)
            await ended(service, len(texts))
            return await service.runs(limit=1000)

    process = _spawn.Process(target=lambda: asyncio.run(work()))
    process.start()
    process.join()
    runs = asyncio.run(work())

    assert process.exitcode == 1
    assert sorted(run.input["text"] for run in runs) == sorted(texts)
    assert {run.status for run in runs} == {"succeeded"}
    assert set(house.counts) == {f"note:{text}" for text in texts}  # what is idempotent may be repeated, with its key


@pytest.mark.parametrize(
    ("subscription", "said"),
    [
        ({"agent": "nobody"}, r"there is no agent 'nobody'; there are \['archive', 'desk'\]"),
        ({"thread": "data."}, "`thread`: "),
        ({"input": {"text": "unknown"}}, "`input.text`: "),
        ({"topic": "letters"}, "group 'x.desk' has one already"),
    ],
)
async def test_a_subscription_that_cannot_be_is_refused_when_the_service_opens(
    house: House, subscription: dict[str, Any], said: str
) -> None:
    house.deployment(subscriptions=[{"topic": "t", **subscription}])

    with pytest.raises(UsageError, match=f"deployment 'x': subscription to '(t|letters)': {said}"):
        async with house.open("teams:reading"):
            pass


async def test_what_a_message_says_counts_as_nobodys_words(house: House) -> None:
    said = 'history.exists(past, past.kind == "human")'
    human = {"kind": "human", "name": "user", "result": "x"}
    examples = {"match": [{"history": [human]}], "pass": [{"history": []}]}
    house.rules(
        {
            "id": "said",
            "on": {"hook": "function.before", "name": "note"},
            "when": said,
            "then": "deny",
            "examples": examples,
        }
    )

    async with house.open("teams:reading") as service:
        await service.bus.publish("letters", {"text": "of a message"}, key="k")
        (first,) = await ended(service, 1)
        second = await house.finish(service, {"text": "of a person"}, thread_id=first.thread_id)

    assert first.status == "succeeded"
    assert second.error is not None and second.error.message == "because of said"


async def test_a_back_test_shows_a_message_to_rules_as_what_it_was(house: House) -> None:
    async with house.open("teams:reading") as service:
        await service.bus.publish("letters", {"text": "a"}, key="k")
        (run,) = await ended(service, 1)
    engine = database.of(house.database, house.folder / "data").connect(readonly=True)

    with engine.connect() as connection:
        case = recorded.read(connection, run.case_id)
    engine.dispose()

    first = case.happenings[0].event
    assert (first.hook, first.sender, first.args) == ("message.receive", "letters", {"text": "a"})
    assert list(first.history) == []
