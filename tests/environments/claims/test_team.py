"""The team `claims` in the running service: it earns what the model says, and large payouts wait for a person."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gatewright.environments.claims.case import Claim
from gatewright.environments.claims.core import Core
from gatewright.environments.claims.model import default
from gatewright.environments.claims.optimum import rules
from gatewright.environments.claims.world import conversation
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service
from gatewright.safety.approvals.ballots import Answer, Voter

SEED = 5


def expected(count: int) -> list[float]:
    """What the desk's rules earn with the first claims of the seed, by the model."""
    core = Core("triage", 1)
    core.reset([SEED])
    chosen = rules().triage.argmax(axis=1)
    return [float(core.step(chosen[core.cells]).rewards[0]) for _ in range(count)]


async def held(folder: Path, count: int) -> tuple[Holding, list[float]]:
    """The first claims of the seed in the running service, and what they earned."""
    batch = folder / "batch.json"
    batch.write_text(json.dumps({"seed": SEED, "claims": count}))
    config = Config(data_dir=folder / "data", deployments={"claims": Deployment(team="claims")})
    async with await Service.open(config) as service:
        holding = Holding(service, "claims", approve=lambda _: True, tell=lambda _: None)
        await holding.start(await service.conversations("claims", batch))
        await holding.follow()
        await holding.compare()
        assert not holding.divergences  # every run succeeded, and there is no recording to differ from
        scores = [await service.score("claims", case.conversation, case.id, []) for case in holding.cases]
    return holding, scores


async def test_the_team_earns_what_the_model_says(tmp_path: Path) -> None:
    count = 6
    holding, scores = await held(tmp_path, count)
    assert scores == pytest.approx(expected(count))
    assert holding.outcome.effects["message"] == count  # one order to payout for each claim
    assert holding.outcome.effects["decision"] > count


def large_and_clear() -> Claim:
    """A claim that the desk's rules pay on the standard lane, above what it pays alone."""
    for number in range(1_000):
        claim = Claim.of(default(), SEED, number)
        known = claim.features
        if known.amount == 12_000 and known.coverage == "inside" and known.documents_complete:
            if known.fraud_score == 0 and claim.assessments[0] == "clear":
                return claim
    raise AssertionError("a thousand claims, and none is large and clear")


@pytest.mark.parametrize(("vote", "closed"), [("approve", "paid"), ("reject", "open")])
async def test_a_large_payout_is_what_a_person_says(tmp_path: Path, vote: Answer, closed: str) -> None:
    claim = large_and_clear()
    config = Config(data_dir=tmp_path, deployments={"claims": Deployment(team="claims")})
    async with await Service.open(config) as service:
        said = {"messages": [{"role": "user", "content": f"I report {claim.id}"}]}
        run = await service.start_run("claims", said)
        async with asyncio.timeout(60):
            while not (waiting := await service.approvals(state="open")):
                await asyncio.sleep(0.02)
        assert "5,000 euros" in waiting[0].reason
        await service.decide(waiting[0].id, vote, reason="I know", voter=Voter(name="ada", authenticated=True))
        ended = await service.wait(run.id, timeout=30)
        assert ended.output["closed"] == closed
        score = await service.score("claims", conversation(SEED, claim.number), ended.case_id, [])
    paid = claim.model.settlement[1, claim.model.profile[claim.cell], claim.truth].sum()
    lane = claim.model.lane_cost[int(claim.features.unit_busy), 1, claim.model.profile[claim.cell]].sum()
    assert score == pytest.approx(lane + paid if closed == "paid" else lane)


@pytest.mark.slow
async def test_hundreds_of_claims_earn_what_the_model_says_and_large_payouts_are_approved(tmp_path: Path) -> None:
    count = 300
    holding, scores = await held(tmp_path, count)
    assert scores == pytest.approx(expected(count))
    paid = [case for case in holding.cases if "12,000" in case.conversation.customer[0]]
    assert 0 < holding.outcome.approvals <= len(paid)
    assert holding.outcome.verdicts["ask"] == holding.outcome.approvals
