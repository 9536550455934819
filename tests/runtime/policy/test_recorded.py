"""Events read back from the ledger: the same rules say the same of them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gatewright.runtime import episodes
from gatewright.runtime.episodes import Episode
from gatewright.runtime.policy import recorded
from gatewright.runtime.store.sqlite import SQLite
from gatewright.safety import Guard, Pack
from gatewright.safety.verdicts import Decision

if TYPE_CHECKING:
    from tests.runtime.conftest import House

LOOKS = {"when": "run.id != 'none' && history.size() >= 0", "then": "modify"}
COUNTED = {
    "id": "counted",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "count('pay', 3600) >= 1 || seen('sign')",
    "then": "deny",
    "reason": "paid {{ count('pay', 3600) }} times, {{ history.size() }} things happened",
    "examples": {
        "match": [{"args": {"amount": 1}, "history": [{"name": "pay", "args": {"amount": 1}}]}],
        "pass": [{"args": {"amount": 1}}],
    },
}
BIG = {
    "id": "big",
    "on": {"hook": "tool.before", "name": "pay"},
    "when": "args.amount > 5 && history.exists(h, h.kind == 'human' && h.text == 'amount: 6')",
    "then": "ask",
    "reason": "{{ args.amount }} is much",
    "examples": {
        "match": [{"args": {"amount": 6}, "history": [{"kind": "human", "name": "user", "result": "amount: 6"}]}],
        "pass": [{"args": {"amount": 1}, "history": [{"kind": "human", "name": "user", "result": "amount: 1"}]}],
    },
}
ANSWERED = {
    "id": "answered",
    "on": {"hook": "output"},
    "when": "result.amount == 6",
    "then": "deny",
    "reason": "no six",
    "examples": {"match": [{"result": {"amount": 6}}], "pass": [{"result": {"amount": 5}}]},
}


def cases(house: House) -> list[recorded.Case]:
    engine = SQLite(house.folder / "data").connect()
    with engine.connect() as connection:
        found = [recorded.read(connection, case_id) for case_id in recorded.cases(connection)]
    engine.dispose()
    return found


def episodes_of(house: House) -> list[Episode]:
    engine = SQLite(house.folder / "data").connect()
    with engine.connect() as connection:
        found = [episodes.read(connection, case_id) for case_id in recorded.cases(connection)]
    engine.dispose()
    return found


def guard(house: House) -> Guard:
    return Guard([Pack.load(house.folder / "rules.yaml")])


def said(case: recorded.Case, guard: Guard) -> list[tuple[str, str, str | None]]:
    """Hook, verdict now, verdict then."""
    return [
        (happening.event.hook, decision.verdict, None if happening.judgement is None else happening.judgement.verdict)
        for happening, decision in recorded.judged(case, guard)
    ]


async def test_the_same_rules_say_the_same_again(house: House) -> None:
    house.rules(COUNTED, BIG, ANSWERED)
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="a")
        await house.finish(service, {"amount": 5}, thread_id="a")
        await house.decide(service, await house.finish(service, {"amount": 6}, thread_id="b"), "approve")

    found = cases(house)

    assert [case.id for case in found] == ["a", "b"]
    verdicts = [said(case, guard(house)) for case in found]
    assert verdicts[0].count(("tool.before", "allow", "allow")) == 1
    assert verdicts[0].count(("tool.before", "deny", "deny")) == 1
    assert ("tool.before", "ask", "ask") in verdicts[1]
    assert found[1].lost == 1  # the answer that was refused
    for case in verdicts:
        for _hook, now, then in case:
            assert then is None or now == then


async def test_what_no_rule_looks_at_may_be_left_out_and_nothing_else_changes(house: House) -> None:
    house.rules(COUNTED, BIG)
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="a")
        await house.finish(service, {"amount": 5}, thread_id="a")
    rules = guard(house)

    (episode,) = episodes_of(house)

    def judged(wanted: recorded.Wanted | None) -> list[tuple[int | None, str, int, Decision]]:
        case = recorded.happened(episode, wanted=wanted)
        return [
            (happening.position, happening.event.hook, len(happening.event.history), decision)
            for happening, decision in recorded.judged(case, rules)
        ]

    whole = judged(None)
    assert {hook for _, hook, _, _ in whole} == {"input", "tool.before", "tool.after", "output"}
    assert judged(rules.wants) == [each for each in whole if each[1] == "tool.before"]


async def test_reasons_come_out_as_they_were_recorded(house: House) -> None:
    house.rules(COUNTED, BIG)
    async with house.open("gates:paying") as service:
        for _ in range(2):
            await house.finish(service, {"amount": 5}, thread_id="a")

    (case,) = cases(house)

    for happening, decision in recorded.judged(case, guard(house)):
        if happening.judgement is not None:
            assert [hit.reason for hit in decision.hits] == [rule.reason for rule in happening.judgement.rules]


async def test_the_arguments_are_those_that_were_wished(house: House) -> None:
    less: dict[str, Any] = {
        "id": "less",
        "on": {"hook": "tool.before", "name": "pay"},
        "then": "modify",
        "set": {"args.amount": 1},
    }
    house.rules(less)
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5}, thread_id="a")

    (case,) = cases(house)

    (wished,) = [happening.event for happening in case.happenings if happening.event.hook == "tool.before"]
    (after,) = [happening.event for happening in case.happenings if happening.event.hook == "tool.after"]
    assert (wished.args, after.args) == ({"amount": 5}, {"amount": 1})


@pytest.mark.parametrize("graph", ["teams:asking_twice", "teams:sending", "handoffs:transferring"])
async def test_messages_and_hand_offs_are_read_back(house: House, graph: str) -> None:
    given: Any = {"messages": [["user", "money back"]]} if graph.startswith("handoffs") else {"amount": 5}
    async with house.open(graph) as service:
        run = await house.finish(service, given, thread_id="a")
        assert run.status == "succeeded", run.error

    (case,) = cases(house)

    hooks = {happening.event.hook for happening in case.happenings}
    assert case.lost == 0
    if graph.startswith("handoffs"):
        (handed,) = [happening.event for happening in case.happenings if happening.event.hook == "handoff"]
        assert (handed.name, handed.args["update"]["out"]) == ("billing", "refund")
    else:
        assert {"input", "message.send", "message.receive", "tool.before", "tool.after", "output"} <= hooks
        (received, *_more) = [
            happening.event for happening in case.happenings if happening.event.hook == "message.receive"
        ]
        assert (received.name, received.sender) == ("clerk", "front")
