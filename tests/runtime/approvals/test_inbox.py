"""Finding what one may decide among all that waits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import NotFoundError
from gatewright.runtime import requests
from gatewright.runtime.approvals import dues, inbox
from gatewright.runtime.service import Service
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.views import ApprovalView
from gatewright.safety.approvals.ballots import Voter

House = Any  # of the conftest above, which cannot be imported


def voter(name: str, *roles: str) -> Voter:
    return Voter(name=name, roles=frozenset(roles), authenticated=True)


def rule(amounts: str, approval: Mapping[str, Any], *, match: int, passes: int) -> dict[str, Any]:
    return {
        "id": f"ask-{match}",
        "on": {"hook": "tool.before", "name": "pay"},
        "when": amounts,
        "then": "ask",
        "approval": dict(approval),
        "examples": {"match": [{"args": {"amount": match}}], "pass": [{"args": {"amount": passes}}]},
    }


async def ask(house: House, service: Service, amount: int, **more: Any) -> ApprovalView:
    run = await house.finish(service, {"amount": amount}, **more)
    found: list[ApprovalView] = await house.waiting(service, run)
    return found[0]


async def test_everybody_finds_what_they_may_decide_and_nothing_else(house: House) -> None:
    house.rules(
        rule("args.amount == 1", {}, match=1, passes=2),
        rule("args.amount == 2", {"stages": [{"roles": ["ops"]}, {"roles": ["lead"]}]}, match=2, passes=1),
        rule("args.amount == 3", {"roles": ["ops", "lead"], "excluded": ["name:eve"]}, match=3, passes=1),
    )
    async with house.open("gates:paying") as service:
        asked = [await ask(house, service, amount, requester="zoe") for amount in (1, 2, 3)]

        async def mine(who: Voter) -> list[int]:
            found = await service.approvals(voter=who)
            return [view.action["args"]["amount"] for view in found]

        everybody, both = voter("ada"), voter("bob", "ops", "lead", "more")
        assert [await mine(everybody), await mine(both), await mine(voter("eve", "ops", "lead"))] == [
            [1],
            [1, 2, 3],
            [1, 2],
        ]
        assert await mine(voter("zoe", "ops", "lead")) == []
        assert [view.id for view in await service.approvals(role="lead")] == [asked[2].id]

        await service.decide(asked[1].id, "approve", voter=both)
        assert await mine(both) == [1, 3]
        assert await mine(voter("cyd", "lead")) == [1, 2]
        await service.decide(asked[0].id, "approve", voter=both)
        assert await mine(voter("cyd", "lead")) == [2]
        await service.cancel(asked[1].run_id, by="ada")
        assert await mine(voter("cyd", "lead")) == []


async def test_pages_follow_each_other_without_gap_or_overlap(house: House) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"})
    async with house.open("gates:paying") as service:
        asked = [(await ask(house, service, amount)).id for amount in range(5)]

        pages: list[list[str]] = []
        after = None
        while page := await service.approvals(after=after, limit=2, voter=voter("ada")):
            pages.append([view.id for view in page])
            after = page[-1].id

        assert pages == [asked[:2], asked[2:4], asked[4:]]
        with pytest.raises(NotFoundError, match="no approval 'ask-none' to go on after"):
            await service.approvals(after="ask-none")


async def test_requests_are_found_by_place(house: House) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"})
    async with house.open("gates:paying") as service:
        asked = await ask(house, service, 5)

        assert [view.id for view in await service.approvals(deployment="x", agent=asked.agent)] == [asked.id]
        assert await service.approvals(deployment="y") == await service.approvals(agent="nobody") == []


def test_nothing_that_people_or_time_look_for_is_found_by_reading_every_request(tmp_path: Path) -> None:
    SQLite(tmp_path).prepare()
    engine = SQLite(tmp_path).connect()
    statements = [dues.DUE, requests.FIND, *(inbox.called(call, voter("ada"), []) for call in ("[]", "name:ada"))]
    with engine.connect() as connection:
        for statement in statements:
            compiled = statement.compile(engine)
            names = compiled.positiontup or []
            values = {name: compiled.params.get(name) or 0 for name in names}
            text = f"EXPLAIN QUERY PLAN {compiled}"
            plan = connection.exec_driver_sql(text, tuple(values[name] for name in names)).all()
            assert not [row[3] for row in plan if row[3].startswith("SCAN")], plan
    engine.dispose()
