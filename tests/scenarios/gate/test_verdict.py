from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.gate.tables import side, suite

from gatewright.scenarios.gate import Gate, Table, Trial, Verdict, judge, table

GOOD = suite(50, "1101")
RESULTS = st.dictionaries(st.text(min_size=1, max_size=3), st.text("01?", min_size=1, max_size=4), min_size=1)


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in verdict.findings}


def reason(verdict: Verdict, rule: str) -> str:
    return next(finding.reason for finding in verdict.findings if finding.rule == rule)


def valued(name: str, *values: Any) -> Table:
    return table("side", [Trial(case=f"c{n}", trial=0, success=True, **{name: v}) for n, v in enumerate(values)])


@given(RESULTS)
@settings(max_examples=25, deadline=None)
def test_identical_sides_never_fail(results: dict[str, str]) -> None:
    assert judge(side(results), side(results)).outcome != "fail"


def test_an_unchanged_suite_passes_and_a_ruined_one_fails() -> None:
    assert judge(GOOD, GOOD).exit_code == 0
    ruined = judge(GOOD, suite(50, "0100"))
    assert (ruined.outcome, ruined.exit_code) == ("fail", 1)


@pytest.mark.parametrize(("count", "trials"), [(1, "1111"), (3, "1"), (20, "1")])
def test_a_suite_too_small_to_see_anything_is_inconclusive(count: int, trials: str) -> None:
    found = judge(suite(count, trials), suite(count, trials))
    assert (found.outcome, found.exit_code) == ("inconclusive", 3)
    assert "could not have been seen" in reason(found, "success") or "one case" in reason(found, "success")


def test_cases_that_the_candidate_did_not_run_make_it_inconclusive() -> None:
    found = judge(suite(52, "1101"), GOOD)
    assert outcomes(found) == {"cases": "inconclusive", "success": "pass"}
    assert "case 50, case 51" in reason(found, "cases")


def test_cases_that_the_baseline_does_not_have_are_no_obstacle() -> None:
    assert judge(GOOD, suite(60, "1101")).outcome == "pass"


def test_trials_of_which_the_end_is_not_known_make_it_inconclusive() -> None:
    known = {f"case {number}": "1101" for number in range(49)}
    found = judge(side({**known, "case 49": "1101"}), side({**known, "case 49": "110?"}))
    assert found.outcome == "inconclusive"
    assert "1 of the candidate lack it" in reason(found, "success")


def test_one_failed_trial_of_a_case_that_must_not_fail_is_too_many() -> None:
    found = judge(GOOD, GOOD, Gate(block=("case 3",)))
    assert outcomes(found)["zero tolerance"] == "fail" and "case 3 (1 of 4 trials)" in reason(found, "zero tolerance")
    assert judge(GOOD, GOOD, Gate(block=("case 3",), block_failures=2)).outcome == "pass"


def test_a_case_stays_one_that_must_not_fail_whatever_the_candidates_file_says() -> None:
    found = judge(suite(50, "1101", severity="block"), GOOD, Gate(block_failures=1))
    assert outcomes(found)["zero tolerance"] == "fail"


def test_a_case_that_must_not_fail_and_was_not_run_is_inconclusive() -> None:
    assert outcomes(judge(GOOD, GOOD, Gate(block=("payout",))))["zero tolerance"] == "inconclusive"


def test_a_case_that_must_not_fail_and_of_which_the_end_is_not_known_is_inconclusive() -> None:
    found = judge(suite(50, "1111"), side({f"case {n}": "111?" for n in range(50)}), Gate(block=("case 1",)))
    assert outcomes(found)["zero tolerance"] == "inconclusive"


def test_a_margin_must_be_proven() -> None:
    wide, narrow = (judge(GOOD, GOOD, Gate(margins={"success": margin})) for margin in (0.1, 0.01))
    assert (wide.outcome, narrow.outcome) == ("pass", "inconclusive")
    assert "worse by less than 10.0 points" in reason(wide, "success")


def test_a_few_ties_prove_no_margin() -> None:
    few = suite(10, "1")
    assert judge(few, few, Gate(margins={"success": 0.05})).outcome == "inconclusive"


def test_a_small_loss_within_the_margin_passes_where_it_is_proven() -> None:
    base = side({str(n): "1111" for n in range(300)})
    slightly = side({str(n): "1110" if n % 25 == 0 else "1111" for n in range(300)})
    assert judge(base, slightly).outcome == "fail"
    assert judge(base, slightly, Gate(margins={"success": 0.05})).outcome == "pass"


def test_several_metrics_are_held_to_one_error_rate() -> None:
    worse = side({f"case {n}": "1001" if n < 5 else "1101" for n in range(50)}, latency=2.0)
    base = side({f"case {n}": "1101" for n in range(50)}, latency=2.0)
    alone, beside = judge(base, worse), judge(base, worse, Gate(metrics=("success", "latency")))
    assert alone.findings[0].p == pytest.approx(1 / 64)
    assert beside.findings[0].p == pytest.approx(2 / 64)


def test_a_cost_that_is_not_known_is_inconclusive_and_never_0() -> None:
    base = suite(50, "1101", cost=0.01)
    found = judge(base, GOOD, Gate(metrics=("success", "cost"), budgets={"cost": 0.02}))
    assert outcomes(found) == {"success": "pass", "cost": "inconclusive", "budget cost": "inconclusive"}
    assert "unknown is not 0" in reason(found, "budget cost")
    assert "cost" not in judge(GOOD, GOOD).comparison.metrics


def test_one_unknown_cost_among_many_keeps_a_budget_open() -> None:
    costs = [0.01] * 49
    found = judge(valued("cost", *costs, 0.01), valued("cost", *costs, None), Gate(budgets={"cost": 0.02}))
    assert outcomes(found)["budget cost"] == "inconclusive"


@pytest.mark.parametrize(
    ("costs", "limit", "expected"),
    [
        ([0.01, 0.02] * 10, 0.03, "pass"),
        ([0.01, 0.02] * 10, 0.005, "fail"),
        ([0.01, 0.02] * 10, 0.0151, "inconclusive"),
        ([0.01] * 10, 0.02, "pass"),
        ([0.01], 0.02, "inconclusive"),
        ([0.0] * 10, 0.0, "pass"),
        ([0.0] * 9 + [0.1], 0.0, "fail"),
    ],
)
def test_a_budget_holds_where_the_mean_is_shown_to_lie_on_its_side(
    costs: list[float], limit: float, expected: str
) -> None:
    found = judge(valued("cost", *costs), valued("cost", *costs), Gate(budgets={"cost": limit}))
    assert outcomes(found)["budget cost"] == expected


@pytest.mark.parametrize(("count", "expected"), [(5, "inconclusive"), (60, "pass")])
def test_five_successes_do_not_show_that_nine_of_ten_succeed(count: int, expected: str) -> None:
    found = judge(suite(count, "1"), suite(count, "1"), Gate(budgets={"success": 0.9}))
    assert outcomes(found)["budget success"] == expected


def test_a_budget_is_of_all_that_the_candidate_ran() -> None:
    base = valued("cost", *[0.01] * 10)
    candidate = valued("cost", *[0.01] * 10, *[1.0] * 10)
    assert outcomes(judge(base, candidate, Gate(budgets={"cost": 0.05})))["budget cost"] == "fail"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0, 1, 0], [1, 0, 0], "pass"),
        ([0, 1, 0], [1, 1, 0], "fail"),
        ([0, 1, 0], [0, 0, None], "inconclusive"),
        ([None] * 3, [1, 0, 0], "inconclusive"),
        ([None] * 3, [None] * 3, None),
    ],
)
def test_there_may_be_no_more_violations_than_before(before: list[Any], after: list[Any], expected: str | None) -> None:
    assert outcomes(judge(valued("violations", *before), valued("violations", *after))).get("violations") == expected


def test_violations_can_be_asked_for_and_then_must_be_known() -> None:
    assert outcomes(judge(GOOD, GOOD, Gate(violations="strict")))["violations"] == "inconclusive"
    assert "violations" not in outcomes(judge(GOOD, GOOD, Gate(violations="ignored")))


def test_a_failure_outweighs_a_doubt() -> None:
    found = judge(suite(52, "1101"), suite(50, "0000"))
    assert (outcomes(found)["cases"], found.outcome) == ("inconclusive", "fail")
