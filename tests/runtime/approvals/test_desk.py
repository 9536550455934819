"""Votes, delegations, grants and emergencies, through the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatewright.agents.errors import ConflictError, NotFoundError, UsageError
from gatewright.runtime.service import Service
from gatewright.runtime.views import ApprovalView, GrantOffer, RecordView, RunView
from gatewright.safety.approvals.ballots import Voter

House = Any  # of the conftest above, which cannot be imported

ADA, BOB, CYD = (
    Voter(name=name, roles=frozenset({"treasury"}), authenticated=True, via="api") for name in ("ada", "bob", "cyd")
)
OPS = Voter(name="opal", roles=frozenset({"ops"}), authenticated=True, via="console")
RISK = Voter(name="rita", roles=frozenset({"break_glass"}), authenticated=True)
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@asynccontextmanager
async def asking(house: House, graph: str = "gates:paying", **approval: Any) -> AsyncGenerator[Service]:
    """A service whose agent may pay only when people say so."""
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask", "approval": approval})
    async with house.open(graph) as service:
        yield service


async def begin(house: House, service: Service, amount: int = 5, **more: Any) -> tuple[RunView, ApprovalView]:
    run = await house.finish(service, {"amount": amount}, **more)
    (approval,) = await house.waiting(service, run)
    return run, approval


async def entries(service: Service, event: str) -> list[RecordView]:
    found = await service.records(kind="approval", limit=1000)
    return [view for view in found if view.record["detail"].get("event") == event]


async def test_a_run_goes_on_when_every_stage_has_its_people(house: House) -> None:
    stages = [{"any": 1, "roles": ["ops"]}, {"any": 2, "roles": ["treasury"]}]
    async with asking(house, stages=stages) as service:
        run, approval = await begin(house, service)

        seen: list[tuple[str, int, list[str]]] = []
        for voter in (OPS, ADA, BOB):
            view = await service.decide(approval.id, "approve", voter=voter, shown=approval.digest)
            seen.append((view.state, view.given, view.roles))
        run = await service.wait(run.id, timeout=30)

        assert seen == [("open", 1, ["treasury"]), ("open", 2, ["treasury"]), ("approved", 3, ["treasury"])]
        assert (run.status, house.done) == ("succeeded", [["pay", 5]])
        (effect,) = [effect for effect in await house.effects(service) if effect["effect"]["name"] == "pay"]
        assert effect["approval"]["by"] == "opal, ada, bob"
        votes = await entries(service, "vote")
        assert [(vote.record["approval"]["by"], vote.record["detail"]["via"]) for vote in votes] == [
            ("opal", "console"),
            ("ada", "api"),
            ("bob", "api"),
        ]
        assert all(vote.opened["shown"]["action"] == {"amount": 5} for vote in votes)


async def test_who_started_the_run_does_not_approve_it(house: House) -> None:
    async with asking(house) as service:
        run, approval = await begin(house, service, requester="ada")

        assert (approval.requester, approval.excluded) == ("ada", {"ada": "started the run"})
        with pytest.raises(UsageError, match="'ada' started the run and may not decide"):
            await service.decide(approval.id, "approve", voter=ADA)
        with pytest.raises(UsageError, match="nothing proves that this is 'bob'"):
            await service.decide(approval.id, "approve", by="bob")
        await service.decide(approval.id, "approve", voter=BOB)
        assert (await service.wait(run.id, timeout=30)).status == "succeeded"


async def test_an_agent_that_was_asked_acts_for_who_started_the_first_run(house: House) -> None:
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"})
    async with house.open("teams:asking_twice") as service:
        await service.start_run("x", {"amount": 5}, requester="ada")
        waiting = await service.approvals()
        while not waiting:
            await asyncio.sleep(0.02)
            waiting = await service.approvals()

        assert [(view.agent, view.requester) for view in waiting] == [("clerk", "ada")]


async def test_a_rejection_reaches_the_agent_as_text(house: House) -> None:
    async with asking(house, "gates:calls", quorum=2) as service:
        run = await house.finish(service, {"messages": []})
        while run.status == "waiting":  # for both calls, or for one after the other
            for approval in await house.waiting(service, run):
                await service.decide(approval.id, "reject", voter=ADA, reason="the account is frozen")
            run = await service.wait(run.id, timeout=30)

        told = [message["content"] for message in run.output["messages"] if message["type"] == "tool"]
        assert len(told) == 2
        assert all("refused by ada: the account is frozen" in text for text in told)
        assert house.done == []


async def test_an_edit_is_judged_again_and_put_before_others(house: House) -> None:
    async with asking(house) as service:
        run, first = await begin(house, service)
        edited = await service.decide(first.id, "edit", voter=ADA, value={"amount": 3, "note": "!"})
        run = await service.wait(run.id, timeout=30)
        (second,) = await house.waiting(service, run)

        assert (edited.state, second.about, second.action["args"]) == (
            "superseded",
            first.id,
            {"amount": 3, "note": "!"},
        )
        with pytest.raises(UsageError, match="'ada' wrote the arguments"):
            await service.decide(second.id, "approve", voter=ADA)
        await service.decide(second.id, "approve", voter=BOB)
        run = await service.wait(run.id, timeout=30)
        assert (run.status, run.output["out"], house.done) == ("succeeded", ["paid 3!"], [["pay", 3]])


async def test_an_edit_that_rules_refuse_is_refused(house: House) -> None:
    house.rules(
        {"id": "ask", "on": {"hook": "tool.before", "name": "pay"}, "then": "ask"},
        {
            "id": "huge",
            "on": {"hook": "tool.before", "name": "pay"},
            "when": "args.amount > 100",
            "then": "deny",
            "examples": {"match": [{"args": {"amount": 101}}], "pass": [{"args": {"amount": 100}}]},
        },
    )
    async with house.open("gates:calls") as service:
        run = await house.finish(service, {"messages": []})
        for approval in await house.waiting(service, run):
            await service.decide(approval.id, "edit", voter=ADA, value={"amount": 500})
        run = await service.wait(run.id, timeout=30)

        told = [message["content"] for message in run.output["messages"] if message["type"] == "tool"]
        assert len(told) == 2
        assert all("the arguments that ada gave are refused: because of huge" in text for text in told)
        assert house.done == []


async def test_several_are_decided_together_each_for_itself(house: House) -> None:
    async with asking(house, "gates:side_by_side") as service:
        run = await house.finish(service, {"amount": 5})
        ids = [approval.id for approval in await house.waiting(service, run)]
        await service.decide(ids[0], "reject", voter=ADA, reason="no")

        outcomes = await service.decide_many([*ids, "nothing"], "approve", voter=BOB)

        assert [outcome.id for outcome in outcomes] == [*ids, "nothing"]
        assert [outcome.state in ("approved", "consumed") for outcome in outcomes] == [False, True, False]
        assert [outcome.error.type for outcome in outcomes if outcome.error] == ["ConflictError", "NotFoundError"]
        assert len(await entries(service, "vote")) == 2
        with pytest.raises(UsageError, match="each by itself"):
            await service.decide_many(ids, "edit", voter=BOB)


async def test_a_repeated_vote_is_one_vote_and_one_entry(house: House) -> None:
    async with asking(house, quorum=2) as service:
        _run, approval = await begin(house, service)

        both = await asyncio.gather(
            *(service.decide(approval.id, "approve", voter=ADA, vote_id="webhook-1") for _ in range(2))
        )

        assert [(view.state, view.given) for view in both] == [("open", 1), ("open", 1)]
        assert len(await entries(service, "vote")) == 1


async def test_a_delegate_votes_until_the_delegation_is_revoked(house: House) -> None:
    async with asking(house, quorum=2, roles=["treasury"]) as service:
        _run, first = await begin(house, service)
        _run, second = await begin(house, service)
        given = await service.delegate("opal", voter=ADA, until=TOMORROW, deployment="x", reason="on leave")

        view = await service.decide(first.id, "approve", voter=OPS, on_behalf_of="ada")
        assert [(vote.by, vote.on_behalf_of, vote.roles) for vote in view.votes] == [("opal", "ada", ["treasury"])]
        with pytest.raises(ConflictError, match="'ada' has had a say"):
            await service.decide(first.id, "approve", voter=ADA)
        assert [found.id for found in await service.delegations(person="opal")] == [given.id]

        with pytest.raises(UsageError, match="was given by 'ada'; ask them, or an operator"):
            await service.revoke_delegation(given.id, voter=BOB)
        assert not (await service.revoke_delegation(given.id, voter=ADA)).active
        with pytest.raises(ConflictError, match="was revoked before"):
            await service.revoke_delegation(given.id, voter=ADA)
        with pytest.raises(UsageError, match="holds no delegation of 'ada'"):
            await service.decide(second.id, "approve", voter=OPS, on_behalf_of="ada")
        assert await service.delegations() == []
        assert [found.id for found in await service.delegations(every=True)] == [given.id]
        assert len(await entries(service, "delegation")) == len(await entries(service, "delegation revoked")) == 1


async def test_what_was_granted_is_not_asked_again_until_it_is_revoked(house: House) -> None:
    async with asking(house) as service:
        run, approval = await begin(house, service)
        offer = GrantOffer(reach="until", arguments=["amount"], until=TOMORROW)
        await service.decide(approval.id, "approve", voter=ADA, grant=offer)
        await service.wait(run.id, timeout=30)
        (grant,) = await service.grants()

        passed = await house.finish(service, {"amount": 5})
        other = await house.finish(service, {"amount": 6})
        own = await house.finish(service, {"amount": 5}, requester="ada")

        assert (passed.status, other.status, own.status) == ("succeeded", "waiting", "waiting")
        assert (grant.args, grant.rules, grant.by, grant.active) == ({"amount": 5}, ["ask"], "ada", True)
        used = [effect["approval"] for effect in await house.effects(service, passed)]
        assert used == [{"id": grant.id, "verdict": "grant", "by": "ada", "reason": ""}]

        assert not (await service.revoke_grant(grant.id, voter=OPS, operates=True)).active
        assert (await house.finish(service, {"amount": 5})).status == "waiting"
        assert await service.grants() == []
        assert len(await entries(service, "grant")) == len(await entries(service, "grant revoked")) == 1


async def test_what_is_always_asked_cannot_be_granted_and_stays_undecided(house: House) -> None:
    async with asking(house, always_ask=True) as service:
        _run, approval = await begin(house, service)

        with pytest.raises(UsageError, match="under `always_ask`; approve it once"):
            await service.decide(approval.id, "approve", voter=ADA, grant=GrantOffer(reach="run"))
        assert (await service.approval(approval.id)).state == "open"
        assert await entries(service, "vote") == []


async def test_breaking_the_glass_decides_and_leaves_a_review_that_outlives_the_run(house: House) -> None:
    async with asking(house, quorum=3, roles=["treasury"]) as service:
        run, approval = await begin(house, service, requester="zoe")
        await service.decide(approval.id, "approve", voter=RISK, break_glass=True, reason="the bank closes at five")
        run = await service.wait(run.id, timeout=30)
        (review,) = await service.approvals()

        assert (run.status, house.done) == ("succeeded", [["pay", 5]])
        assert (review.kind, review.about, review.answers) == ("review", approval.id, ["approve", "reject"])
        assert "the bank closes at five" in review.reason
        with pytest.raises(UsageError, match="'rita' is excluded"):
            await service.decide(review.id, "approve", voter=RISK)
        assert (await service.decide(review.id, "approve", voter=ADA)).state == "approved"


async def test_an_unknown_request_cannot_be_decided(house: House) -> None:
    async with asking(house) as service:
        with pytest.raises(NotFoundError):
            await service.decide("ask-none", "approve", voter=ADA)


async def test_what_people_gave_who_have_left_or_lost_a_role_ends_when_the_service_opens(house: House) -> None:
    from gatewright.runtime.approvals import roster

    async with asking(house) as service:
        run, approval = await begin(house, service)
        await service.decide(approval.id, "approve", voter=ADA, grant=GrantOffer(reach="thread"))
        await service.wait(run.id, timeout=30)
        await service.delegate("opal", voter=BOB, until=TOMORROW)
        kept = await service.delegate("opal", voter=CYD, until=TOMORROW)
        people = {"ada": frozenset({"clerk"}), "cyd": frozenset({"treasury"}), "opal": frozenset({"ops"})}

        async def withdraw(known: dict[str, frozenset[str]]) -> int:
            future = service._writer.submit(lambda tx: roster.withdraw(tx, known, now=service._clock.now()))  # pyright: ignore[reportPrivateUsage]
            return await asyncio.wrap_future(future)

        assert await withdraw({}) == 0
        assert await withdraw(people) == 2
        assert await service.grants() == []
        assert [found.id for found in await service.delegations()] == [kept.id]
