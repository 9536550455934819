"""The desk as a world: cases are about claims of the model, keep what was done, and come to what the model says."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.effects import ACTIVE, IDEMPOTENCY_KEY, RunContext
from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.environments.claims.case import Claim
from gatewright.environments.claims.model import default
from gatewright.environments.claims.world import BEGAN, ClaimsWorld, claims, conversation
from gatewright.environments.worlds import SimulatedWorld

Call = Callable[..., Any]


@contextmanager
def working(case_id: str, settings: Mapping[str, Any], key: str | None) -> Generator[None]:
    context = RunContext(
        run_id="run",
        thread_id=case_id,
        case_id=case_id,
        deployment="test",
        agent="intake",
        chain=None,  # type: ignore[arg-type]  # tools are called as the chain calls them
        settings=settings,
    )
    active, keyed = ACTIVE.set(context), IDEMPOTENCY_KEY.set(key)
    try:
        yield
    finally:
        IDEMPOTENCY_KEY.reset(keyed)
        ACTIVE.reset(active)


@pytest.fixture
def world(tmp_path: Path) -> Generator[ClaimsWorld]:
    opened = claims(tmp_path, {})
    yield opened
    opened.close()


@pytest.fixture
def call(world: ClaimsWorld) -> Call:
    tools = {tool.name: tool for tool in world.tools()}

    def perform(
        tool: str, *, case: str = "case", number: int | None = None, key: str | None = None, **args: Any
    ) -> Any:
        settings = {} if number is None else {"world": {"seed": 9, "claim": number}}
        with working(case, settings, key):
            text = tools[tool]._run(**args)  # pyright: ignore[reportPrivateUsage]  # beside the chain
        return text if text.startswith("Error") else json.loads(text)

    return perform


def claim_number(wanted: Callable[[Claim], bool]) -> tuple[int, str]:
    """The first claim of the seed 9 that is so: its number and its id."""
    number = next(number for number in range(1_000) if wanted(Claim.of(default(), 9, number)))
    return number, f"C-9-{number}"


def test_it_is_a_simulated_world(world: ClaimsWorld) -> None:
    assert isinstance(world, SimulatedWorld)


def test_the_tools_say_what_the_model_drew(call: Call) -> None:
    claim = Claim.of(default(), 9, 4)
    found: dict[str, Any] = {}
    for tool in ("get_claim", "check_coverage", "check_fraud", "check_workload"):
        found |= call(tool, number=4, claim_id="C-9-4")
    assert found.pop("claim_id") == claim.id and found.pop("risk") == claim.risk
    assert found == claim.features.model_dump()


def test_a_claim_earns_what_the_model_says_and_takes_its_time(world: ClaimsWorld, call: Call) -> None:
    number, name = claim_number(lambda claim: claim.features.claim_type == "motor" and claim.truth == 2)
    claim = Claim.of(default(), 9, number)
    settings = conversation(9, number).settings
    assert call("assign_claim", number=number, claim_id=name, lane="standard")["assessment"] == claim.assessments[0]
    assert world.components("case", settings)["avoided_loss"] == 0
    assert call("request_documents", number=number, claim_id=name) == {"documents": claim.documents}
    assert call("inspect_damage", number=number, claim_id=name) == {"inspection": claim.inspection}
    assert call("deny_claim", number=number, claim_id=name, reason="fraud") == {"denied": "fraud"}
    earned = world.components("case", settings)
    assert earned["avoided_loss"] == claim.features.amount / 1_000
    assert earned["human"] == pytest.approx(-0.080) and earned["handling"] == pytest.approx(-0.195)
    assert world.score(conversation(9, number), "case", []) == pytest.approx(sum(earned.values()))
    assert world.now("case") == BEGAN + timedelta(days=13)


def test_paying_above_the_limit_waits_a_day_for_the_person_who_approves(world: ClaimsWorld, call: Call) -> None:
    number, name = claim_number(lambda claim: claim.features.amount == 12_000)
    call("assign_claim", number=number, claim_id=name, lane="standard")
    call("pay_claim", number=number, claim_id=name, amount=12_000)
    assert world.now("case") == BEGAN + timedelta(days=4)


def test_the_queue_of_the_special_unit_takes_time(world: ClaimsWorld, call: Call) -> None:
    number, name = claim_number(lambda claim: claim.features.unit_busy)
    assert world.now("case") == BEGAN
    call("assign_claim", number=number, claim_id=name, lane="special_unit")
    assert world.now("case") == BEGAN + timedelta(days=14)


def test_what_the_desk_does_not_do_is_an_error_and_changes_nothing(world: ClaimsWorld, call: Call) -> None:
    number, name = claim_number(lambda claim: claim.features.claim_type == "travel")
    amount = Claim.of(default(), 9, number).features.amount

    def refused(tool: str, **args: Any) -> str:
        before = world.digest("case")
        text = call(tool, number=number, **({"claim_id": name} | args))
        assert isinstance(text, str) and text.startswith("Error: ") and world.digest("case") == before
        return text

    assert "not assigned" in refused("pay_claim", amount=amount)
    assert "no lane 'express'" in refused("assign_claim", lane="express")
    assert "no claim 'C-1-1'" in refused("get_claim", claim_id="C-1-1")
    assert "missing 1 required" in refused("assign_claim")
    call("assign_claim", number=number, claim_id=name, lane="standard")
    assert "already" in refused("assign_claim", lane="reject")
    assert "nothing to inspect" in refused("inspect_damage")
    assert f"for {amount:g} euros, not for 1" in refused("pay_claim", amount=1)
    call("request_documents", number=number, claim_id=name)
    assert "requested before" in refused("request_documents")
    call("pay_claim", number=number, claim_id=name, amount=amount)
    assert "it was paid" in refused("deny_claim", reason="late")


def test_nobody_investigates_on_the_fast_track(call: Call) -> None:
    call("assign_claim", number=0, claim_id="C-9-0", lane="fast_track")
    assert "nobody investigates" in call("request_documents", number=0, claim_id="C-9-0")


def test_a_call_that_is_repeated_with_its_key_is_carried_out_once(world: ClaimsWorld, call: Call) -> None:
    once = call("assign_claim", number=0, claim_id="C-9-0", lane="standard", key="a")
    assert call("assign_claim", number=0, claim_id="C-9-0", lane="standard", key="a") == once


def test_a_case_that_was_reset_is_about_its_seed_s_first_claim_again(world: ClaimsWorld, call: Call) -> None:
    world.reset("case", 9)
    before = world.digest("case")
    assert call("get_claim", claim_id="C-9-0")["claim_id"] == "C-9-0"
    call("assign_claim", claim_id="C-9-0", lane="reject")
    assert world.digest("case") != before
    world.reset("case", 9)
    assert world.digest("case") == before
    assert call("assign_claim", claim_id="C-9-0", lane="standard")["lane"] == "standard"


def test_cases_are_apart_and_have_claims_of_their_own(world: ClaimsWorld, call: Call) -> None:
    call("assign_claim", case="one", number=0, claim_id="C-9-0", lane="reject")
    assert call("assign_claim", case="other", number=0, claim_id="C-9-0", lane="standard")["lane"] == "standard"
    assert world.digest("one") != world.digest("other")


def test_conversations_are_the_claims_of_a_batch(world: ClaimsWorld, tmp_path: Path) -> None:
    batch = tmp_path / "batch.json"
    batch.write_text('{"seed": 3, "first": 10, "claims": 2}')
    assert [each.id for each in world.conversations(batch)] == ["C-3-10", "C-3-11"]
    assert len(world.conversations(None)) == 12
    assert "C-3-10" in world.conversations(batch)[0].customer[0]


def test_a_file_that_is_no_batch_is_refused(world: ClaimsWorld, tmp_path: Path) -> None:
    wrong = tmp_path / "batch.json"
    wrong.write_text('{"seed": 3}')
    with pytest.raises(UsageError, match="no batch of claims"):
        world.conversations(wrong)
    with pytest.raises(UnavailableError, match="cannot read"):
        world.conversations(tmp_path / "absent.json")


def test_a_case_that_was_told_nothing_is_about_the_claim_that_is_named(world: ClaimsWorld, call: Call) -> None:
    assert call("get_claim", claim_id="C-4-11")["claim_id"] == "C-4-11"
    call("assign_claim", claim_id="C-4-11", lane="standard")
    assert "no claim 'C-4-12'" in call("get_claim", claim_id="C-4-12")
    assert world.components("case", {})["human"] < 0


def test_a_case_is_about_a_claim(world: ClaimsWorld, call: Call) -> None:
    assert call("get_claim", claim_id="mine") == "Error: there is no claim 'mine'; ids look like 'C-1-7'"
    with pytest.raises(UsageError, match="is about no claim"):
        world.components("case", {})


@pytest.mark.parametrize("settings", [{"world": {"claim": -1}}, {"world": {"seed": 1}}, {"world": "C-1-7"}])
def test_settings_that_name_no_claim_are_refused(world: ClaimsWorld, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must name a claim"):
        world.components("case", settings)


def test_there_are_no_options(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option 'seed'"):
        claims(tmp_path, {"seed": 1})
