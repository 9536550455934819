from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.gate.tables import side

from gatewright.agents.errors import UsageError
from gatewright.scenarios.gate import Settings, Table, Trial, compare, judge, statistics, table

RESULTS = st.dictionaries(st.sampled_from("abcdefgh"), st.text("01", min_size=2, max_size=3), min_size=2, max_size=8)


def test_cases_that_changed_are_named_by_more_than_half_of_their_trials() -> None:
    base = side({"a": "1100", "b": "1110", "c": "0000", "d": "11", "e": "10", "f": "1"})
    candidate = side({"a": "1000", "b": "1000", "c": "1011", "d": "11", "e": "11", "f": "?"})
    found = {case.name: case.change for case in compare(base, candidate).cases}
    assert found == {"a": "worse", "b": "broken", "c": "fixed", "d": "same", "e": "fixed", "f": "unknown"}


def test_cases_are_in_the_order_in_which_people_count() -> None:
    names = dict.fromkeys(["case 10", "case 9", "B", "case", "101", "27", "case 9b"], "1")
    assert [case.name for case in compare(side(names), side(names)).cases] == [
        "27", "101", "B", "case", "case 9", "case 9b", "case 10",
    ]  # fmt: skip


@given(RESULTS, RESULTS, st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_either_table_is_irrelevant(before: dict[str, str], after: dict[str, str], random: Any) -> None:
    base, candidate = side({**before, "z": "10"}), side({**after, "z": "01"})
    one, other = (table("side", random.sample(each.trials, len(each.trials))) for each in (base, candidate))
    first, second = judge(base, candidate), judge(one, other)
    assert (first.outcome, first.findings) == (second.outcome, second.findings)
    # As text: what is not known is NaN, which is not equal to itself.
    assert str(first.comparison.metrics) == str(second.comparison.metrics)


def test_a_metric_is_the_mean_over_cases_and_not_over_trials() -> None:
    found = compare(side({"a": "1111", "b": "0"}), side({"a": "1", "b": "0000"})).metrics["success"]
    assert (found.base, found.candidate, found.difference) == (0.5, 0.5, 0.0)


def test_the_sign_of_a_cost_is_turned() -> None:
    base = table("base", [Trial(case=str(case), trial=0, cost=1.0) for case in range(12)])
    dearer = table("dearer", [Trial(case=str(case), trial=0, cost=2.0 + case / 100) for case in range(12)])
    assert compare(base, dearer).metrics["cost"].p_worse < 0.001
    assert compare(dearer, base).metrics["cost"].p_worse > 0.999


def test_cases_of_one_side_are_left_out_of_the_means_and_named() -> None:
    found = compare(side({"a": "1", "b": "1", "gone": "0"}), side({"b": "1", "a": "1", "new": "0"}))
    assert (found.only_base, found.only_candidate) == (("gone",), ("new",))
    assert found.metrics["success"].difference == 0 and found.metrics["success"].cases == 2


def test_tables_without_a_common_case_are_refused() -> None:
    with pytest.raises(UsageError, match="no case in common"):
        compare(side({"a": "1"}), side({"b": "1"}))


def test_a_metric_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"'speed'.*success.*pass\^k"):
        compare(side({"a": "1"}), side({"a": "1"}), ["speed"])


def test_mcnemar_is_for_single_trials_only() -> None:
    base, candidate = side({"a": "1", "b": "0", "c": "1"}), side({"a": "0", "b": "0", "c": "0"})
    assert compare(base, candidate).mcnemar == statistics.mcnemar(0, 2)
    assert compare(side({"a": "11"}), side({"a": "10"})).mcnemar is None
    assert compare(side({"a": "1"}), side({"a": "?"})).mcnemar is None


def test_pass_k_is_made_up_to_the_fewest_trials() -> None:
    found = compare(side({"a": "1101", "b": "111"}), side({"a": "1111", "b": "1111"})).metrics
    assert [name for name in found if name.startswith("pass")] == ["pass^2", "pass^3"]
    assert found["pass^2"].base == pytest.approx((0.5 + 1) / 2)


def test_variants_of_one_case_count_as_one() -> None:
    def variants(result: str) -> Any:
        return table("t", [Trial(case=f"{n}", trial=0, success=result == "1", group="one") for n in range(20)])

    found = compare(variants("1"), variants("0"), settings=Settings(margins={})).metrics["success"]
    assert found.p_worse == 0.25  # a sign of one group
    assert found.detectable is None and math.isnan(found.interval.low)


def test_the_clustered_test_can_be_chosen() -> None:
    base = side({str(case): "1110" for case in range(9)})
    candidate = side({str(case): "1100" if case % 3 else "1110" for case in range(9)})
    p = compare(base, candidate, settings=Settings(margins={}, test="clustered")).metrics["success"].p_worse
    assert p == pytest.approx(statistics.clustered(statistics.floats([0, -0.25, -0.25] * 3)))


def test_a_margin_is_proven_alike_whatever_the_scale_of_the_reward() -> None:
    """A thousand times the reward and the margin, say cents for tens of euros, is the same comparison."""

    def rewarded(name: str, step: int, scale: float) -> Table:
        return table(name, [Trial(case=f"c{n}", trial=0, reward=scale * ((n * step) % 7)) for n in range(40)])

    def chance(scale: float) -> float:
        settings = Settings(margins={"reward": 0.5 * scale})
        found = compare(rewarded("base", 3, scale), rewarded("candidate", 5, scale), settings=settings)
        assert (chance := found.metrics["reward"].p_margin) is not None
        return chance

    assert chance(1000.0) == pytest.approx(chance(1.0))
