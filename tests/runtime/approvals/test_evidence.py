"""Who writes to the database itself can neither decide, grant nor stand in for others without the auditor seeing it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatewright.runtime import ledger
from gatewright.runtime.service import Service
from gatewright.runtime.store.sqlite import FILE
from gatewright.runtime.views import GrantOffer
from gatewright.safety.approvals.ballots import Voter

House = Any  # of the conftest above, which cannot be imported
ADA, BOB, CYD = (
    Voter(name=name, roles=frozenset({"treasury"}), authenticated=True, via="api") for name in ("ada", "bob", "cyd")
)
EVE = Voter(name="eve", authenticated=True, via="cli")
RISK = Voter(name="rita", roles=frozenset({"break_glass"}), authenticated=True)
QUEUED = "UPDATE run SET status = 'queued', waiting_for = '[]', available_at = 1 WHERE id = ?"
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def rules(house: House, **approval: Any) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask", "approval": approval})


async def pays(house: House, service: Service, *votes: dict[str, Any]) -> str:
    """A run whose request is voted on; gives the id of the request."""
    run = await house.finish(service, {"amount": 5})
    (approval,) = await house.waiting(service, run)
    for vote in votes:
        given: dict[str, Any] = {"verb": "approve", **vote}
        await service.decide(approval.id, **given)
    if votes:
        await service.wait(run.id, timeout=30)
    return str(approval.id)


def behind_its_back(house: House, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(house.folder / "data" / FILE)) as connection, connection:
        assert connection.execute(statement, values).rowcount


def problems(house: House) -> list[str]:
    return [problem for _index, problem in ledger.verify(house.folder / "data").bad]


async def test_all_that_people_do_through_the_service_verifies(house: House) -> None:
    rules(house, roles=["treasury"])
    async with house.open("gates:paying") as service:
        await service.delegate("eve", voter=BOB, until=TOMORROW)
        await pays(house, service, {"voter": EVE, "on_behalf_of": "bob"})
        await pays(house, service, {"voter": ADA, "verb": "reject", "reason": "no"})
        await pays(house, service, {"voter": RISK, "break_glass": True, "reason": "it burns"})
        await pays(house, service, {"voter": ADA, "verb": "answer", "value": "paid by hand"})
        await pays(house, service, {"voter": ADA, "verb": "edit", "value": {"amount": 6}})
        (after,) = [view for view in await service.approvals() if view.kind == "approval"]
        await service.decide(after.id, "approve", voter=CYD)
        await service.wait(after.run_id, timeout=30)
        await pays(house, service)
        await service.cancel((await service.approvals())[-1].run_id, by="op")
        await pays(
            house, service, {"voter": ADA, "grant": GrantOffer(reach="until", arguments=["amount"], until=TOMORROW)}
        )
        assert (await house.finish(service, {"amount": 5})).status == "succeeded"
        (grant,) = await service.grants()
        await service.revoke_grant(grant.id, voter=ADA)
    assert problems(house) == []


PRIVATE = "kim@example.org called twice"


@pytest.mark.parametrize("erased", [False, True])
async def test_a_reason_with_personal_data_verifies(house: House, erased: bool) -> None:
    rules(house)
    async with house.open("gates:paying") as service:
        await pays(house, service, {"voter": ADA, "verb": "reject", "reason": PRIVATE})
    if erased:
        behind_its_back(house, "DELETE FROM sealed WHERE field = 'said'")
    assert problems(house) == []


async def test_a_reason_with_other_personal_data_does_not(house: House) -> None:
    rules(house)
    async with house.open("gates:paying") as service:
        id = await pays(house, service, {"voter": ADA, "verb": "reject", "reason": PRIVATE})
    other = PRIVATE.replace("kim", "sam")
    behind_its_back(house, "UPDATE approval SET request = json_set(request, '$.votes[0].reason', ?)", other)
    assert problems(house) == [f"request {id!r} is not as the records say"]


def forged(body: str) -> str:
    """The request with the vote of somebody who never said so, which decides it."""
    request = json.loads(body)
    request["votes"].append({**request["votes"][0], "by": "bob"})
    return json.dumps({**request, "state": "approved"})


def decided(body: str) -> str:
    """The request as if it had been decided by nobody."""
    return json.dumps({**json.loads(body), "state": "approved"})


@pytest.mark.parametrize("forge", [forged, decided])
async def test_what_was_performed_on_votes_that_nobody_cast_does_not(house: House, forge: Callable[[str], str]) -> None:
    rules(house, quorum=2)
    async with house.open("gates:paying") as service:
        id = await pays(house, service, {"voter": ADA})
        run_id = (await service.approval(id)).run_id
    with closing(sqlite3.connect(house.folder / "data" / FILE)) as connection:
        (body,) = connection.execute("SELECT request FROM approval WHERE id = ?", (id,)).fetchone()
    behind_its_back(house, "UPDATE approval SET state = 'approved', request = ? WHERE id = ?", forge(body), id)
    behind_its_back(house, QUEUED, run_id)
    async with house.open("gates:paying") as service:
        assert (await service.wait(run_id, timeout=30)).status == "succeeded"

    found = problems(house)

    assert any("'pay' was performed, and no record says that people agreed" in problem for problem in found), found
    assert f"request {id!r} is not as the records say" in found


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE approval SET state = 'approved' WHERE state = 'open'", "request"),
        ("UPDATE approval SET state = 'open' WHERE state = 'consumed'", "request"),
        ("UPDATE approval SET request = json_set(request, '$.votes[0].by', 'bob') WHERE state = 'consumed'", "request"),
        ("UPDATE approval SET request = json_set(request, '$.votes[0].authenticated', json('false'))", "request"),
        (
            "UPDATE approval SET request = json_set(request, '$.action.args.amount', 9) WHERE state = 'consumed'",
            "request",
        ),
        ("UPDATE approval SET request = '{' WHERE state = 'consumed'", "request"),
        ("UPDATE approval SET request = json_set(request, '$.owner', 'cyd') WHERE state = 'open'", "request"),
        (
            "UPDATE approval SET request = json_set(request, '$.terms.excluded', json('[]')) WHERE state = 'open'",
            "request",
        ),
        (
            "UPDATE approval SET request = json_set(request, '$.terms.stages[0].any', 2) WHERE state = 'consumed'",
            "request",
        ),
        ("UPDATE \"grant\" SET place = '', grant_ = json_set(grant_, '$.reach', 'until', '$.place', '')", "grant"),
        ("UPDATE \"grant\" SET grant_ = json_set(grant_, '$.args.amount', 9)", "grant"),
        ("UPDATE \"grant\" SET grant_ = json_set(grant_, '$.pack', 'other')", "grant"),
        ('UPDATE "grant" SET revoked_at = NULL', "grant"),
        ("UPDATE delegation SET receiver = 'cyd', delegation = json_set(delegation, '$.to', 'cyd')", "delegation"),
        ("UPDATE delegation SET delegation = json_set(delegation, '$.roles', json('[\"board\"]'))", "delegation"),
        ("UPDATE delegation SET delegation = json_set(delegation, '$.until', '2099-01-01T00:00:00Z')", "delegation"),
        ("UPDATE delegation SET revoked_at = NULL", "delegation"),
    ],
)
async def test_what_was_changed_behind_its_back_does_not(house: House, statement: str, found: str) -> None:
    rules(house)
    async with house.open("gates:paying") as service:
        given = await service.delegate("eve", voter=BOB, until=TOMORROW)
        await service.revoke_delegation(given.id, voter=BOB)
        await pays(house, service, {"voter": ADA, "grant": GrantOffer(reach="thread", arguments=["amount"])})
        await service.revoke_grant((await service.grants())[0].id, voter=ADA)
        await pays(house, service)
    assert problems(house) == []

    behind_its_back(house, statement)

    assert any(problem.startswith(f"{found} ") and "not as the records say" in problem for problem in problems(house))


async def test_terms_that_were_others_while_people_voted_do_not(house: House) -> None:
    rules(house, quorum=2)
    lower = "UPDATE approval SET request = json_set(request, '$.terms.stages[0].any', {}) WHERE id = ?"
    async with house.open("gates:paying") as service:
        id = await pays(house, service)
    assert problems(house) == []
    behind_its_back(house, lower.format(1), id)
    async with house.open("gates:paying") as service:
        await service.decide(id, "approve", voter=ADA)
        assert (await service.wait((await service.approval(id)).run_id, timeout=30)).status == "succeeded"
    behind_its_back(house, lower.format(2), id)

    (found,) = problems(house)

    assert f"request {id!r} had other terms than when it opened" in found


async def test_a_vote_for_somebody_who_never_said_so_does_not(house: House) -> None:
    rules(house, roles=["treasury"])
    async with house.open("gates:paying") as service:
        await service.delegate("cyd", voter=BOB, until=TOMORROW)
    behind_its_back(house, "UPDATE delegation SET receiver = 'eve', delegation = json_set(delegation, '$.to', 'eve')")
    async with house.open("gates:paying") as service:
        await pays(house, service, {"voter": EVE, "on_behalf_of": "bob"})
    assert any("'eve' voted for 'bob', who never said so" in problem for problem in problems(house))


async def test_what_was_let_pass_without_anybodys_decision_does_not(house: House) -> None:
    rules(house)
    async with house.open("gates:paying") as service:
        id = await pays(house, service)
        run_id = (await service.approval(id)).run_id
    behind_its_back(house, "UPDATE effect SET status = 'parked' WHERE run_id = ? AND status = 'asked'", run_id)
    behind_its_back(house, QUEUED, run_id)
    async with house.open("gates:paying") as service:
        await service.wait(run_id, timeout=30)

    assert house.done == [["pay", 5]]
    assert any("'pay' was performed, and no record says that people agreed" in problem for problem in problems(house))
