from __future__ import annotations

import pytest
from tests.scenarios.suites.offices import Office

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.environments.claims.world import ClaimsWorld
from gatewright.scenarios import suites
from gatewright.scenarios.suites.cases import simulated


def test_generated_cases_have_the_seed_and_the_numbers_that_are_named(desk: Office) -> None:
    text = "seed: 3\ncases:\n- generate: {count: 2, first: 5}\n- {generate: {count: 1, seed: 9}, tags: other}\n"
    cases = desk.prepared(text, deployment="claims").cases
    assert [(case.id, case.tags) for case in cases] == [("C-3-5", ()), ("C-3-6", ()), ("C-9-0", ("other",))]


def test_a_case_says_otherwise_than_its_suite_and_checks_of_both_hold(desk: Office) -> None:
    text = "trials: 3\nseverity: block\nchecks: {one: 'true'}\ncases:\n- {id: a, input: 1}\n"
    text += "- {id: b, input: 1, trials: 1, severity: warn, checks: {two: 'true', succeeded: 'true'}}\n"
    first, second = desk.prepared(text).cases
    assert (first.trials, first.severity, list(first.checks)) == (3, "block", ["succeeded", "one"])
    assert (second.trials, second.severity, list(second.checks)) == (1, "warn", ["succeeded", "one", "two"])
    assert second.checks["succeeded"] == "true"


def test_every_case_is_tried_once_before_any_is_tried_twice(desk: Office) -> None:
    tasks = desk.prepared("trials: 2\ncases:\n- {id: a, input: 1}\n- {id: b, input: 1}\n").tasks
    assert [(task.case.id, task.number) for task in tasks] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_two_cases_of_one_id_are_refused(desk: Office) -> None:
    with pytest.raises(UsageError, match=r"cases\.1: there is a case 'C-0-0' already"):
        desk.prepared("cases:\n- generate: {count: 1}\n- generate: {count: 2}\n", deployment="claims")


def test_what_the_world_does_not_have_is_named(desk: Office) -> None:
    with pytest.raises(UsageError, match=r"cases\.0: the deployment 'clerk' has no world"):
        desk.prepared("cases:\n- generate: {count: 1}\n")
    with pytest.raises(UsageError, match=r"cases\.0: the world DomainWorld generates no cases"):
        desk.prepared("cases:\n- generate: {count: 1}\n", deployment="support")
    with pytest.raises(NotFoundError, match=r"no conversation 'airline-1-9'; did you mean 'airline-1-0'"):
        desk.prepared("cases:\n- {conversations: built-in, only: airline-1-9}\n", deployment="support")


def test_only_some_cases_may_be_asked_for(desk: Office) -> None:
    read = suites.read(desk.suite("cases:\n- {id: a, input: 1}\n- {id: b, input: 1}\n"))
    assert [case.id for case in suites.prepare(read, desk.config, name="it", only=["b"], of_each=2).cases] == ["b"]
    with pytest.raises(NotFoundError, match="the suite has no case 'c'"):
        suites.prepare(read, desk.config, name="it", only=["c"])


def test_a_world_that_trials_would_act_on_for_good_is_refused(desk: Office) -> None:
    class Bank:
        tools = conversations = score = close = ClaimsWorld.tools

    with pytest.raises(UsageError, match="the world Bank of deployment 'payments' is not a simulated one"):
        simulated(Bank(), "payments")  # type: ignore[arg-type]


def test_a_release_is_another_when_its_rules_policies_or_settings_are(desk: Office) -> None:
    def release() -> str:
        return desk.prepared("cases:\n- {id: a, input: 1}\n").header.about["release"]

    before = release()
    assert release() == before
    desk.rules((desk.folder / "rules.yaml").read_text().replace("100.0", "99.0"))
    assert release() != before
