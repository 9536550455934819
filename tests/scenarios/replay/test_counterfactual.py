"""Counterfactual replay: the record answers as long as it can, then the simulated world or nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.offices import CLOSING, Office

from gatewright.agents.claims import TRIAGE, TriageFeatures
from gatewright.agents.errors import UsageError
from gatewright.environments.claims.world import ClaimsWorld
from gatewright.environments.worlds import SimulatedWorld
from gatewright.runtime import episodes
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config
from gatewright.runtime.episodes import Episode
from gatewright.runtime.policies.artefact import Origin, compose
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.networks import majority
from gatewright.runtime.policy import recorded
from gatewright.runtime.service import Service
from gatewright.runtime.store import database
from gatewright.scenarios.replay import counterfactual, release, strict
from gatewright.scenarios.replay.counterfactual import Branch

CLAIMS = 12


async def branches(config: Config, found: Sequence[Episode], **more: Any) -> list[Branch]:
    with release.loaded(config) as tried:
        return [await counterfactual.replay(episode, tried, **more) for episode in found]


async def test_what_stays_as_it_was_is_answered_from_the_record(office: Office) -> None:
    found = await office.hold([5, 7])
    done = office.done

    for branch in await branches(office.config, found):
        assert (branch.left, branch.changes, branch.stopped) == (None, [], "")
        assert branch.answered == 9

    assert office.done == done


async def test_failures_refusals_and_answers_of_the_record_stay_what_they_were(office: Office) -> None:
    found = await office.hold([13, 50, 666])

    for branch in await branches(office.config, found):
        assert (branch.left, branch.changes, branch.stopped) == (None, [], "")


NOTHING = """
- id: nothing
  on: {hook: input}
  then: deny
  reason: closed today
  examples:
    match: [{}]
"""


async def test_an_input_that_rules_refuse_now_is_not_worked_on(office: Office) -> None:
    found = await office.hold([5])
    rules = office.folder / "rules.yaml"
    rules.write_text(rules.read_text("utf-8") + NOTHING, "utf-8")

    (branch,) = await branches(office.config, found)

    assert branch.left is not None
    assert branch.left.kind == "verdict"
    assert [(change.kind, change.how, change.result) for change in branch.changes] == [
        ("input", "refused", "closed today")
    ]


async def test_another_choice_stops_at_what_nobody_can_say(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await office.hold([7])
    done = office.done
    monkeypatch.setenv("PLANTED", "threshold")

    (branch,) = await branches(office.config, found)

    assert branch.left is not None
    assert branch.left.kind == "choice"
    assert [(change.kind, change.how) for change in branch.changes] == [("decision", "decided")]
    assert branch.changes[0].result["option"] == "large"
    assert branch.stopped == "function 'rate' is not on record"
    assert office.done == done


async def test_rules_that_ask_stop_where_a_person_would_be_asked(office: Office) -> None:
    found = await office.hold([5])
    office.rules(limit=5)

    (branch,) = await branches(office.config, found)

    assert branch.left is not None
    assert branch.left.kind == "verdict"
    assert branch.stopped == "a person would be asked about tool 'pay'"


async def test_an_agent_that_was_asked_may_leave_the_record(office: Office) -> None:
    found = await office.hold([1])  # of which the clerk pays 2, where people are not asked about 1
    office.rules(limit=2)

    (branch,) = await branches(office.config, found)

    assert branch.left is not None
    assert (branch.left.kind, branch.left.run_id == found[0].runs[0].id) == ("verdict", False)
    assert branch.stopped == "a person would be asked about tool 'pay'"


async def test_rules_that_close_options_leave_the_record_where_the_choice_is_another(office: Office) -> None:
    found = await office.hold([5, 7])  # both small
    office.rules(closed="small")

    below, above = await branches(office.config, found)

    assert (below.left, below.changes) == (None, [])
    assert above.left is not None
    assert above.left.kind == "choice"
    assert above.changes[0].args["closed"] == {"small": "closing"}
    assert above.changes[0].result["option"] == "large"


async def test_rules_that_close_what_was_not_chosen_stay_on_record(office: Office) -> None:
    found = await office.hold([7])
    office.rules(closed="large")

    (branch,) = await branches(office.config, found)

    assert (branch.left, branch.changes) == (None, [])


@pytest.mark.parametrize(("closed", "option"), [("small", "large"), ("", "small")])
async def test_a_decision_that_had_no_option_left_is_made_where_rules_leave_one(
    office: Office, closed: str, option: str
) -> None:
    office.rules(closed="small, large")
    found = await office.hold([7])
    (same,) = await branches(office.config, found)
    office.rules(closed=closed)

    (branch,) = await branches(office.config, found)

    assert (same.left, same.changes) == (None, [])
    assert branch.left is not None
    assert branch.left.kind == "verdict"
    assert [(change.how, change.result["option"]) for change in branch.changes] == [("decided", option)]


async def test_a_decision_that_rules_refused_is_made_where_they_do_not(office: Office) -> None:
    rules, refusing = office.folder / "rules.yaml", CLOSING.replace("then: modify\n  close: [OPTION]", "then: deny")
    rules.write_text(rules.read_text("utf-8") + refusing, "utf-8")
    found = await office.hold([7])
    office.rules()

    (branch,) = await branches(office.config, found)

    assert branch.left is not None
    assert branch.left.what == "rules say 'allow' of decision.before 'size', and had said 'deny'"
    assert [(change.how, change.result["option"]) for change in branch.changes] == [("decided", "small")]


async def test_a_decision_that_has_no_option_left_leaves_the_record_there(office: Office) -> None:
    found = await office.hold([7])
    office.rules(closed="small, large")

    (branch,) = await branches(office.config, found)

    assert branch.left is not None
    assert branch.left.what == "rules say 'modify' of decision.before 'size', and had said 'allow'"
    assert [(change.kind, change.how) for change in branch.changes] == [("decision", "refused"), ("run", "failed")]


async def test_a_rule_that_was_waived_closes_nothing_again(office: Office) -> None:
    office.rules(closed="small")
    found = await office.hold([7], waived="closing")

    (branch,) = await branches(office.config, found)

    assert (branch.left, branch.changes) == (None, [])


async def test_what_a_person_would_refuse_is_refused_and_marked(office: Office) -> None:
    found = await office.hold([5])
    office.rules(limit=5)

    (branch,) = await branches(office.config, found, approvals="reject")

    assert [(change.name, change.how) for change in branch.changes] == [("pay", "refused")]
    assert branch.stopped == "message 'clerk' is not on record"


async def test_a_write_that_is_not_on_record_is_never_executed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await office.hold([5])
    done = office.done
    monkeypatch.setenv("PLANTED", "more")

    (branch,) = await branches(office.config, found, approvals="approve")

    assert branch.stopped == "tool 'pay' is not on record"
    assert office.done == done


async def test_a_world_that_is_not_simulated_is_not_gone_on_in(office: Office) -> None:
    found = await office.hold([5])

    with pytest.raises(UsageError, match="'office' works in no simulated world"):
        await branches(office.config, found, simulate=True)


def config_of(folder: Path, **deployment: Any) -> Config:
    return Config.model_validate(
        {"data_dir": folder / "data", "deployments": {"claims": {"team": "claims", **deployment}}}
    )


@pytest.fixture
async def decided(tmp_path: Path) -> list[Episode]:
    """Episodes of claims that the desk's own rules have decided, whatever people were asked approved."""
    file = tmp_path / "batch.json"
    file.write_text(json.dumps({"seed": 7, "first": 0, "claims": CLAIMS}), "utf-8")
    async with await Service.open(config_of(tmp_path)) as service:
        holding = Holding(service, "claims", approve=lambda approval: True, tell=lambda approval: None)
        await holding.start(await service.conversations("claims", file))
        await holding.follow()
    engine = database.of("", tmp_path / "data").connect(readonly=True)
    with engine.connect() as connection:
        found = [episodes.read(connection, case) for case in recorded.cases(connection)]
    engine.dispose()
    return found


def always(option: int, file: Path) -> Path:
    """A policy that prefers one option of triage, whatever the claim."""
    encoding = Encoding.of(TriageFeatures)
    counts = [float(number == option) for number in range(len(TRIAGE.options))]
    network = majority(len(encoding.columns), counts)
    compose(
        network, point=TRIAGE.name, options=TRIAGE.options, encoding=encoding, origin=Origin(algorithm="majority")
    ).save(file)
    return file


async def test_another_policy_goes_on_in_the_simulated_world_and_is_scored(
    decided: list[Episode], tmp_path: Path
) -> None:
    policy = always(TRIAGE.options.index("special_unit"), tmp_path / "triage.policy")

    found = await branches(
        config_of(tmp_path / "other", policies={"triage": str(policy)}), decided, simulate=True, approvals="approve"
    )

    left = [branch for branch in found if branch.left is not None]
    assert len(found) == CLAIMS
    assert left
    for branch in left:
        assert branch.left is not None
        assert branch.left.kind == "choice"
        assert branch.changes[0].result["option"] == "special_unit"
        assert not branch.stopped
        assert branch.reward is not None
    assert {change.how for branch in left for change in branch.changes} == {"decided", "simulated", "asked"}


NO_PAYOUTS = """
apiVersion: gatewright/v1
kind: RulePack
name: claims
version: 2
rules:
- id: no-payouts
  on: {hook: tool.before, name: pay_claim}
  then: deny
  reason: nothing is paid today
  examples:
    match: [{}]
"""


async def test_rules_about_what_another_agent_does_are_followed_there(decided: list[Episode], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(NO_PAYOUTS, "utf-8")
    config = config_of(tmp_path / "other", rules=str(tmp_path / "rules.yaml"))

    found = await branches(config, decided, simulate=True)

    with release.loaded(config) as tried:
        differing = [not (await strict.replay(episode, tried)).equal for episode in decided]
    assert [branch.left is not None for branch in found] == differing
    assert any(differing)
    for branch in found:
        if branch.left is not None:
            assert ("pay_claim", "refused") in {(change.name, change.how) for change in branch.changes}
            assert not branch.stopped
            assert branch.reward is not None


async def test_the_same_policy_leaves_nothing(decided: list[Episode], tmp_path: Path) -> None:
    for branch in await branches(config_of(tmp_path / "other"), decided, simulate=True):
        assert (branch.left, branch.changes) == (None, [])


def test_the_claims_world_is_a_simulated_one(tmp_path: Path) -> None:
    assert isinstance(ClaimsWorld(tmp_path), SimulatedWorld)
