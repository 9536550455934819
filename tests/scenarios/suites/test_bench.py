from __future__ import annotations

import pytest
from tests.scenarios.suites.offices import RULES, Office

from gatewright.agents.errors import UsageError
from gatewright.scenarios.gate.trials import Trial


def same(one: Trial, other: Trial) -> bool:
    return one.model_copy(update={"latency": None}) == other.model_copy(update={"latency": None})


async def test_a_trial_tells_what_came_of_it(desk: Office) -> None:
    (row,) = await desk.tried(
        """
cases:
- {id: small, input: {amount: 7}, severity: block, tags: [money]}
checks:
  paid: >-
    effects.exists(e, e.name == "refund" && e.result.refunded == 7) && output.answer.contains("7")
"""
    )
    assert (row.note, row.success, row.cost, row.human_load, row.violations) == ("", True, 0.0, 0, 0)
    assert (row.reward, row.severity, row.tags) == (None, "block", ("money",))
    assert row.latency is not None and row.episode.startswith("sha256:")


async def test_people_approve_with_the_roles_and_numbers_that_are_asked_for_or_reject(desk: Office) -> None:
    approved, rejected, by_role = await desk.tried(
        """
cases:
- {id: approved, input: {amount: 101}, checks: {state: 'approvals[0].state == "consumed" && statuses.size() == 1'}}
- {id: rejected, input: {amount: 101}, approvals: reject}
- {id: by-role, input: {amount: 101}, approvals: {default: approve, roles: {chief: reject}}}
checks:
  paid: effects.exists(e, e.name == "refund" && e.outcome == "ok")
"""
    )
    assert (approved.success, approved.human_load, approved.violations) == (True, 1, 0)
    assert [row.success for row in (rejected, by_role)] == [False, False]
    assert (rejected.human_load, rejected.violations) == (1, 1)


async def test_answers_of_a_recording_are_given_to_the_very_same_action_and_nothing_else_is_approved(
    desk: Office,
) -> None:
    rows = await desk.tried(
        """
approvals: recorded
checks: {paid: 'effects.exists(e, e.outcome == "ok" && e.approver != "")'}
cases:
- {id: same, input: {amount: 101}, answers: [{name: refund, args: {amount: 101.0}, verdict: approve}]}
- {id: other, input: {amount: 102}, answers: [{name: refund, args: {amount: 101.0}, verdict: approve}]}
"""
    )
    assert [row.success for row in rows] == [True, False]


async def test_a_question_is_answered_as_recorded_and_ends_the_trial_where_nothing_is(desk: Office) -> None:
    answered, open_ = await desk.tried(
        """
cases:
- id: answered
  input: {do: ask}
  answers: [{verdict: answer, value: certainly}]
  checks: {said: output.answer == "certainly"}
- {id: open, input: {do: ask}}
"""
    )
    assert answered.note == ""
    assert open_.success is False and "write it under `answers`" in open_.note


async def test_a_trial_that_fails_or_hangs_does_not_stop_the_next(desk: Office) -> None:
    failed, hung, fine = await desk.tried(
        """
cases:
- {id: fails, input: {do: fail}}
- {id: hangs, input: {do: wait}, seconds: 0.3}
- {id: fine, input: {amount: 1}}
"""
    )
    assert (failed.success, failed.note) == (
        False,
        'succeeded: not so: statuses.all(status, status == "succeeded"); clerk failed: ValueError: I cannot do this',
    )
    assert hung.success is False and "not at its end after 0.3 s, the limit of the case" in hung.note
    assert fine.success is True


async def test_denied_effects_and_named_rules_count_as_violations(desk: Office) -> None:
    cases = "cases:\n- {id: never, input: {amount: 666}}\n- {id: large, input: {amount: 101}}\n"
    assert [row.violations for row in await desk.tried(cases)] == [1, 0]
    assert [row.violations for row in await desk.tried(cases + "violations: large\n")] == [1, 1]


async def test_what_is_no_metric_of_the_suite_is_not_recorded(desk: Office) -> None:
    (row,) = await desk.tried("metrics: [success]\ncases:\n- {id: one, input: {amount: 1}}\n")
    assert row.success is True
    assert (row.cost, row.latency, row.human_load, row.violations) == (None, None, None, None)


async def test_a_trial_is_the_same_in_whatever_order_and_company(desk: Office) -> None:
    suite = "seed: 5\ntrials: 2\ncases:\n- generate: {count: 3}\n"
    rows = await desk.tried(suite, deployment="claims")
    again = await desk.tried(suite, deployment="claims", tasks=[5, 2])
    assert same(again[0], rows[5]) and same(again[1], rows[2])
    assert rows[0].episode != rows[1].episode


async def test_rules_that_count_over_cases_do_not_let_one_trial_depend_on_another(desk: Office) -> None:
    desk.rules(RULES + "budgets:\n- {id: one, of: calls, limit: 1, per: deployment, within: 1h, then: deny}\n")
    rows = await desk.tried("cases:\n- {id: one, input: {amount: 1}}\n- {id: two, input: {amount: 1}}\n")
    assert [row.note for row in rows] == ["", ""]


async def test_recorded_conversations_come_out_as_recorded(desk: Office) -> None:
    suite = "cases:\n- {conversations: built-in, only: [airline-1-0, airline-7-0]}\nchecks: {solved: reward == 1.0}\n"
    rows = await desk.tried(suite, deployment="support")
    assert [(row.case, row.success, row.human_load) for row in rows] == [
        ("airline-1-0", True, 0),
        ("airline-7-0", True, 1),
    ]
    assert [row.cost for row in rows] == [None, None]  # nobody knows what a recorded model cost


async def test_a_user_of_the_world_hears_the_team(desk: Office) -> None:
    suite = "users: world\ncases:\n- {conversations: built-in, only: [airline-1-0]}\nchecks: {solved: reward == 1.0}\n"
    (row,) = await desk.tried(suite, deployment="support")
    assert row.note == ""


async def test_effects_of_a_run_and_words_of_a_user_are_limited(desk: Office) -> None:
    (row,) = await desk.tried("limits: {steps: 3}\ncases:\n- generate: {count: 1}\n", deployment="claims")
    assert row.note.startswith("succeeded: not so: ")
    (row,) = await desk.tried("limits: {steps: 1}\ncases:\n- {id: two, inputs: [{amount: 1}, {amount: 2}]}\n")
    assert row.note == "error: the user has more than 1 words, the limit of the suite; raise `limits.steps`"


def test_a_deployment_that_is_not_configured_is_named(desk: Office) -> None:
    with pytest.raises(UsageError, match=r"no deployment 'ghost' in the configuration; it has \['claims', 'clerk'"):
        desk.prepared("cases: [{id: one, input: {}}]\n", deployment="ghost")
