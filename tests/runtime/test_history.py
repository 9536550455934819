"""The history of a case: what all its runs did, also those of the agents that were asked, also after a restart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gatewright.runtime import history
from gatewright.safety.rules.events import Past
from gatewright.safety.rules.provenance import Index

if TYPE_CHECKING:
    from tests.runtime.conftest import House

    from gatewright.runtime.store.writer import Writer
    from gatewright.safety.rules.guard import Guard

ONCE = {
    "id": "once",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "history.exists(h, h.name == 'pay' && h.ok && h.args.amount == args.amount)",
    "then": "deny",
    "reason": "paid before",
    "examples": {
        "match": [{"args": {"amount": 1}, "history": [{"name": "pay", "args": {"amount": 1}}]}],
        "pass": [{"args": {"amount": 1}}],
    },
}


async def test_rules_see_what_earlier_runs_of_the_thread_did(house: House) -> None:
    house.rules(ONCE)

    async with house.open("gates:paying") as service:
        first = await house.finish(service, {"amount": 5}, thread_id="case")
        second = await house.finish(service, {"amount": 5}, thread_id="case")
        elsewhere = await house.finish(service, {"amount": 5}, thread_id="another")

    assert (first.status, second.status, elsewhere.status) == ("succeeded", "failed", "succeeded")
    assert second.error is not None and second.error.message == "paid before"


async def test_rules_see_it_after_a_restart(house: House) -> None:
    house.rules(ONCE)
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="case")

    async with house.open("gates:paying") as service:
        again = await house.finish(service, {"amount": 5}, thread_id="case")

    assert again.error is not None and again.error.message == "paid before"


async def test_rules_see_what_an_agent_that_was_asked_did(house: House) -> None:
    house.rules(ONCE)

    async with house.open("teams:asking_twice") as service:
        run = await house.finish(service, {"amount": 5})

    assert run.error is not None and "paid before" in run.error.message
    assert house.counts == {"pay:5": 1, "pay:1": 1}


SEEN = {
    "id": "seen",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "history.exists(h, h.name == 'pay' && h.result == 'paid 1')",
    "then": "deny",
    "reason": "paid one before",
    "examples": {
        "match": [{"args": {"amount": 1}, "history": [{"name": "pay", "result": "paid 1"}]}],
        "pass": [{"args": {"amount": 1}}],
    },
}


@pytest.mark.parametrize("again", [False, True], ids=["same process", "after a restart"])
async def test_rules_see_what_a_tool_answered_and_not_the_message_it_came_in(house: House, again: bool) -> None:
    house.rules(SEEN)
    async with house.open("gates:calls") as service:
        first = await house.finish(service, {}, thread_id="case")
        second = None if again else await house.finish(service, {}, thread_id="case")
    if second is None:
        async with house.open("gates:calls") as service:
            second = await house.finish(service, {}, thread_id="case")

    assert first.status == "succeeded"
    assert "paid one before" in str(second.output)
    assert house.counts["pay:1"] == 1


ASKED = {
    "id": "asked",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "!history.exists(h, h.kind == 'human' && h.name == 'user' && h.result.contains('amount: 5'))",
    "then": "deny",
    "reason": "nobody asked for it",
    "examples": {
        "match": [{"args": {"amount": 1}}],
        "pass": [{"args": {"amount": 1}, "history": [{"kind": "human", "name": "user", "result": "amount: 5"}]}],
    },
}


@pytest.mark.parametrize("again", [False, True], ids=["same process", "after a restart"])
async def test_rules_see_what_people_said_in_this_run_and_before(house: House, again: bool) -> None:
    house.rules(ASKED)
    async with house.open("gates:paying") as service:
        unasked = await house.finish(service, {"amount": 4}, thread_id="other")
        first = await house.finish(service, {"amount": 5}, thread_id="case")
        second = None if again else await house.finish(service, {"amount": 6}, thread_id="case")
    if second is None:
        async with house.open("gates:paying") as service:
            second = await house.finish(service, {"amount": 6}, thread_id="case")

    assert unasked.error is not None and unasked.error.message == "nobody asked for it"
    assert (first.status, second.status) == ("succeeded", "succeeded")


def test_what_a_client_says_that_the_agent_said_is_not_the_persons_word() -> None:
    given = {
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "please pay"},
            {"type": "human", "content": [{"type": "text", "text": "Good-bye"}]},
            ["ai", "please pay"],
            ["human", "now"],
        ],
        "amount": 5,
    }

    assert history.words(given) == "Hello\nGood-bye\nnow\namount: 5"


class _Interrupted:
    """A writer with an empty ledger; something happens while it is being read."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None

    def submit(self, work: Callable[[Any], Any]) -> Future[Any]:
        read: Future[Any] = Future()
        read.set_result(history.Loaded(OrderedDict(), {}))
        self.meanwhile()
        return read


@pytest.mark.parametrize("asked", ["of", "index"])
def test_what_a_parallel_call_does_while_the_case_is_being_read_is_not_lost(asked: str) -> None:
    past = Past(kind="tool", name="pay", time=datetime.now(UTC))
    counting = SimpleNamespace(digest="d", index=lambda: Index({}, frozenset({"calls"}), "d"))
    guard, writer = cast("Guard", counting), _Interrupted()
    cases = history.Cases(cast("Writer", writer))
    writer.meanwhile = lambda: cases.note("case", "run", "pay", lambda: past, attempt=1)

    if asked == "of":
        assert cases.of("case") == [past]
    else:
        assert cases.index("case", guard).count("pay", past.time) == 1
    writer.meanwhile = lambda: None

    assert cases.of("case") == [past]
    assert cases.index("case", guard).seen("pay")


def test_where_nobody_has_asked_or_nobody_else_works_there_is_nothing_to_catch_up_with() -> None:
    def look(read: Callable[[Any], None]) -> Future[None]:
        raise AssertionError(f"{read} was asked for")

    writer = cast("Writer", _Interrupted())
    shared, alone = history.Cases(writer, look), history.Cases(writer)
    alone.of("case")

    assert shared.catch_up("case") is None
    assert alone.catch_up("case") is None


ASKS = {
    "history": ONCE,
    "seen": ONCE
    | {
        "when": "seen('pay') && repeated() > 0",
        "examples": {
            "match": [{"name": "pay", "args": {"amount": 1}, "history": [{"name": "pay", "args": {"amount": 1}}]}],
            "pass": [{"name": "pay", "args": {"amount": 1}}],
        },
    },
}


@pytest.mark.parametrize("rule", ASKS.values(), ids=ASKS)
async def test_rules_see_what_another_process_has_done_in_the_case_meanwhile(
    house: House, database_url: str, rule: dict[str, Any]
) -> None:
    house.rules(rule)
    house.settings(database=database_url)
    async with house.open("gates:paying") as one, house.open("gates:paying") as other:
        outcomes = [
            (await house.finish(service, {"amount": amount}, thread_id="case")).status
            for service, amount in [(one, 1), (other, 1), (other, 2), (one, 2), (one, 3), (other, 3), (one, 4)]
        ]

    assert outcomes == ["succeeded", "failed", "succeeded", "failed", "succeeded", "failed", "succeeded"]
    assert house.done == [["pay", amount] for amount in (1, 2, 3, 4)]


async def test_rules_see_what_a_person_told_another_process(house: House, database_url: str) -> None:
    house.rules(ASKED)
    house.settings(database=database_url)
    async with house.open("gates:paying") as one, house.open("gates:paying") as other:
        outcomes = [
            (await house.finish(service, {"amount": amount}, thread_id="case")).status
            for service, amount in [(one, 4), (other, 5), (one, 6)]
        ]

    assert outcomes == ["failed", "succeeded", "succeeded"]


@pytest.mark.parametrize("asks", ["history.exists(h, h.name == 'pay')", "seen('pay')"])
async def test_a_rule_that_is_the_first_to_look_sees_what_happened_just_before(house: House, asks: str) -> None:
    found = {"match": [{"history": [{"name": "pay"}]}], "pass": [{"history": []}]}
    sign = {"hook": "tool.before", "name": "sign"}
    house.rules({"id": "paid", "on": sign, "when": asks, "then": "deny", "reason": "paid", "examples": found})

    async with house.open("gates:paying_then_signing") as service:
        run = await house.finish(service, {"amount": 1})

    assert run.error is not None and run.error.message == "paid"
    assert house.counts == {"pay:1": 1}


ODD = [
    {"id": f"on-{amount}", "on": {"hook": hook, "name": "pay"}, "when": f"args.amount == {amount}", "then": then}
    | {"reason": "odd", "examples": {"match": [{"args": {"amount": amount}}], "pass": [{"args": {"amount": 1}}]}}
    | ({"set": {"args.amount": "{{ 3 }}"}} if then == "modify" else {})
    for amount, hook, then in [
        (5, "tool.before", "ask"),
        (6, "tool.before", "deny"),
        (7, "tool.after", "deny"),
        (8, "tool.before", "modify"),
    ]
]


@pytest.mark.parametrize(
    ("graph", "amounts"), [("gates:paying", (2, 5, 6, 7, 8, 2)), ("teams:asking_twice", (2, 6, 7, 8))]
)
async def test_a_case_reads_from_the_ledger_as_it_was_kept_in_memory(
    house: House, graph: str, amounts: tuple[int, ...]
) -> None:
    house.rules(*ODD, ONCE)

    async with house.open(graph) as service:
        for amount in amounts:
            run = await house.finish(service, {"amount": amount}, thread_id="case")
            if run.status == "waiting":
                await house.decide_all(service, run, "approve")
        office = service._office  # pyright: ignore[reportPrivateUsage]
        kept = office.cases.of("case")

        assert len(kept) > 8
        assert history.Cases(office.writer).of("case") == kept


@pytest.mark.parametrize("hook", ["tool.before", "tool.after"])
async def test_of_calls_side_by_side_each_counts_those_before_it_and_not_itself(house: House, hook: str) -> None:
    examples = {"match": [{"history": [{"name": "pay"}]}], "pass": [{"history": []}]}
    rule = {"id": "one", "when": "count('pay', 3600) >= 1", "then": "deny", "reason": "one", "examples": examples}
    house.rules(rule | {"on": {"hook": hook, "name": "pay"}})

    async with house.open("gates:calls") as service:
        both = await house.finish(service, {}, thread_id="several")
        outcomes = [record["outcome"] for record in await house.effects(service, both)]

    assert sorted(outcomes) == ["denied", "ok"]
    assert len(house.done) == (1 if hook == "tool.before" else 2)


async def test_what_was_refused_is_not_under_way_for_ever(house: House) -> None:
    examples = {"match": [{"history": [{"name": "pay", "seconds_ago": 1}] * 3}], "pass": [{"history": []}]}
    rule = {"id": "two", "when": "count('pay', 3600) >= 3", "then": "deny", "reason": "two", "examples": examples}
    house.rules(ODD[1], rule | {"on": {"hook": "tool.before", "name": "pay"}})

    async with house.open("gates:paying") as service:
        runs = [await house.finish(service, {"amount": amount}, thread_id="case") for amount in (6, 6, 1, 1)]

    assert [run.status for run in runs] == ["failed", "failed", "succeeded", "failed"]
