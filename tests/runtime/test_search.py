from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.search import Search, condition
from gatewright.runtime.views import RecordView
from gatewright.safety.canonical import canonical
from gatewright.safety.ledger.records import ApprovalPart, EffectPart, GuardPart, Judgement, Record, timestamp

AT = datetime(2026, 8, 19, 12, tzinfo=UTC)


def decision(**opened: Any) -> RecordView:
    record = Record(
        kind="effect",
        time=timestamp(AT),
        deployment="claims",
        agent="desk",
        thread_id="thread-1",
        effect=EffectPart(kind="decision", name="triage", key="k", digest="d"),
        guard=GuardPart(before=Judgement(verdict="ask", pack="p")),
        approval=ApprovalPart(id="a", verdict="approve", by="ada, bob"),
        outcome="ok",
    )
    said = orjson.loads(record.encode())
    return RecordView(
        index=3, time=AT, kind="effect", run_id=None, case_id=None, leaf_hash="", record=said, opened=opened
    )


CHOICE = {"option": "pay", "propensity": 0.9, "policy": "maskable-ppo@3f2a"}
OPENED = {"args": {"features": {"amount": 6000, "channel": "web", "who": {"age": 41}}}, "result": CHOICE}


@pytest.mark.parametrize(
    "wanted",
    [
        Search(point="triage"),
        Search(agent="desk", deployment="claims", thread_id="thread-1", outcome="ok"),
        Search(verdict="ask"),
        Search(effect="decision"),
        Search(approver="bob"),
        Search(since=AT),
        Search(policy="maskable-ppo"),
        Search(policy="3f2"),
        Search(option="pay", feature=("amount>5000", "channel=web", "who.age<=41")),
    ],
)
def test_what_is_looked_for_is_found(wanted: Search) -> None:
    view = decision(**OPENED)
    assert wanted.admits(view)
    assert wanted.admits_opened(view, [condition(text) for text in wanted.feature])
    assert all(needle in canonical(view.record) for needle in wanted.needles())


@pytest.mark.parametrize(
    "wanted",
    [
        Search(point="payout"),
        Search(agent="other"),
        Search(verdict="allow"),
        Search(approver="ad"),
        Search(until=AT),
        Search(policy="ppo"),
        Search(option="reject"),
        Search(feature=("amount>6000",)),
        Search(feature=("amount>lots",)),
        Search(feature=("missing=1",)),
    ],
)
def test_what_is_something_else_is_not(wanted: Search) -> None:
    view = decision(**OPENED)
    assert not (wanted.admits(view) and wanted.admits_opened(view, [condition(text) for text in wanted.feature]))


def test_erased_values_are_not_found() -> None:
    assert not Search(option="pay").admits_opened(decision(), [])
    assert not Search().admits_opened(decision(), [condition("amount>1")])


def test_arguments_of_tools_are_found_like_features() -> None:
    assert Search().admits_opened(decision(args={"amount": 3}), [condition("amount=3")])


def test_what_is_no_condition_is_refused() -> None:
    with pytest.raises(UsageError, match="no condition"):
        condition("amount")
