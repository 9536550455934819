from __future__ import annotations

import functools
import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import needs

from gatewright.scenarios.gate import statistics
from gatewright.scenarios.gate.statistics import Floats, floats

COUNTS = st.lists(st.integers(-4, 4).map(lambda count: count / 4), max_size=12).map(floats)
NUMBERS = st.lists(st.integers(-(10**5), 10**5).map(lambda count: count / 10**5), max_size=9).map(floats)


@pytest.fixture
def scipy() -> Any:
    return needs.module("scipy.stats", "audit")


def enumerated(differences: Floats) -> float:
    """The mid-p of all signs, by trying them."""
    sums = [float(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    observed = float(differences.sum())
    below = sum(each < observed - 1e-9 for each in sums)
    equal = sum(abs(each - observed) <= 1e-9 for each in sums)
    return (below + equal / 2) / len(sums)


@given(COUNTS)
def test_signs_of_counts_are_flipped_exactly(differences: Floats) -> None:
    assert statistics.sign_flip(differences) == pytest.approx(enumerated(differences), abs=1e-12)


@given(NUMBERS)
def test_signs_of_few_differences_of_any_size_are_flipped_exactly(differences: Floats) -> None:
    assert statistics.sign_flip(differences) == pytest.approx(enumerated(differences), abs=1e-9)


@given(st.lists(st.floats(-1, 1, width=32), max_size=30).map(floats), st.sampled_from(["sign_flip", "clustered"]))
@settings(max_examples=30)
def test_better_and_worse_are_symmetric(differences: Floats, test: str) -> None:
    chance = getattr(statistics, test)
    assert chance(differences) + chance(-differences) == pytest.approx(1, abs=1e-9)


@given(COUNTS, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_cases_is_irrelevant_to_a_test(differences: Floats, random: Any) -> None:
    order = random.sample(range(len(differences)), len(differences))
    shuffled = differences[order]
    margin = functools.partial(statistics.non_inferior, margin=0.1)
    for test in (statistics.sign_flip, statistics.clustered, margin):
        assert test(shuffled) == pytest.approx(test(differences), abs=1e-12)


def test_many_differences_are_drawn_close_to_the_exact_answer_and_alike_for_one_seed() -> None:
    counts = floats([-1, -1, -0.5, 0.25, 0.25, -0.75, 0.5, -0.25, -0.25, -0.5, 1, -0.25, -1, 0.5, -0.5, -0.25])
    uneven = counts + np.arange(16) * 1e-5 / 7  # of no common step
    drawn = statistics.sign_flip(uneven, seed=3)
    assert drawn == statistics.sign_flip(uneven, seed=3) != statistics.sign_flip(uneven, seed=4)
    assert drawn == pytest.approx(statistics.sign_flip(counts), abs=0.012)


def test_drawn_signs_never_say_that_a_change_is_impossible() -> None:
    assert 0 < statistics.sign_flip(floats([-math.pi - each / 7 for each in range(40)])) < 1e-3


@pytest.mark.parametrize("counts", [[-4, 1, 0, 2, -3, 1], [1, 1, -1, 0, 0], [-2, -2, -1, -4, 3, -1, -1]])
def test_flipping_signs_agrees_with_scipy(scipy: Any, counts: list[int]) -> None:
    differences = floats([count / 4 for count in counts])

    def tail(alternative: str) -> float:
        found = scipy.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=alternative
        )
        return float(found.pvalue)

    assert statistics.sign_flip(differences) == pytest.approx((tail("less") + 1 - tail("greater")) / 2, abs=1e-9)


@pytest.mark.parametrize(("fixed", "broken"), [(6, 3), (6, 6), (12, 0), (16, 2), (0, 0), (4, 3), (300, 340)])
def test_mcnemar_is_the_binomial_test_of_what_changed(scipy: Any, fixed: int, broken: int) -> None:
    expected = scipy.binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert statistics.mcnemar(fixed, broken) == pytest.approx(float(expected), abs=1e-12)


def test_mcnemar_of_published_pairs() -> None:
    found = [statistics.mcnemar(*pair) for pair in ((6, 3), (6, 6), (12, 0), (16, 2))]
    assert found == pytest.approx([0.5078, 1.0, 0.000488, 0.001312], abs=5e-5)


def test_flipping_single_trials_is_the_mid_p_of_mcnemar(scipy: Any) -> None:
    differences = floats([1.0] * 4 + [-1.0] * 9 + [0.0] * 20)
    one_sided = float(scipy.binomtest(4, 13, alternative="less").pvalue)
    half = float(scipy.binom.pmf(4, 13, 0.5)) / 2
    assert statistics.sign_flip(differences) == pytest.approx(one_sided - half)


def test_without_groups_the_clustered_test_is_the_paired_t_test(scipy: Any) -> None:
    differences = floats([-0.5, 0.25, 0, -0.25, -0.75, 0.5, -0.25])
    expected = scipy.ttest_1samp(differences, 0, alternative="less").pvalue
    assert statistics.clustered(differences) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 5, 30, 400, 1200])
@pytest.mark.parametrize("t", [-8.0, -1.3, 0.0, 0.2, 2.5])
def test_student_agrees_with_scipy(scipy: Any, t: float, freedom: int) -> None:
    tolerance = 1e-9 if freedom <= 1000 else 1e-3
    assert statistics.student_below(t, freedom) == pytest.approx(float(scipy.t.cdf(t, freedom)), abs=tolerance)


def test_copies_of_cases_in_one_group_are_no_more_evidence() -> None:
    differences = floats([-0.5, 0.25, -0.25, -0.75, -0.5])
    copies, groups = np.repeat(differences, 3), np.repeat(np.arange(5), 3).tolist()
    for test in (statistics.sign_flip, statistics.clustered):
        assert test(copies, groups) == pytest.approx(test(differences), abs=1e-12)
        assert test(copies) < test(differences)
    assert statistics.standard_error(copies, groups) == pytest.approx(statistics.standard_error(differences))
    assert statistics.bootstrap(copies, groups) == pytest.approx(statistics.bootstrap(differences))


def test_two_cases_that_broke_are_not_taken_for_certainty() -> None:
    assert statistics.clustered(floats([-1, -1])) == statistics.sign_flip(floats([-1, -1])) == 0.125


def test_one_case_can_show_nothing() -> None:
    one = floats([-1.0])
    assert statistics.clustered(one) == 0.5
    assert statistics.sign_flip(one) == 0.25
    assert statistics.standard_error(one) is None
    assert all(map(math.isnan, statistics.bootstrap(one)))


def test_no_case_is_no_evidence() -> None:
    none = floats([])
    assert statistics.sign_flip(none) == statistics.clustered(none) == 0.5
    assert all(map(math.isnan, statistics.bootstrap(none)))


def test_ties_prove_a_margin_only_where_there_are_enough() -> None:
    found = {count: statistics.non_inferior(np.zeros(count), 0.05) for count in (10, 40, 100)}
    assert found[10] > 0.3 and found[40] > 0.05 and found[100] < 0.05


def test_a_margin_is_the_adjusted_wald_test_of_bonett_and_price() -> None:
    fixed, broken, cases, margin = 6, 9, 200, 0.05
    gains = np.array([1.0] * fixed + [-1.0] * broken + [0.0] * (cases - fixed - broken))
    up, down = (fixed + 1) / (cases + 2), (broken + 1) / (cases + 2)
    error = math.sqrt((up + down - (up - down) ** 2) / (cases + 2))
    centre = (fixed - broken) / (cases + 2)
    # Theirs takes the normal distribution, ours Student's, and adds the margin to all but the two.
    expected = 1 - statistics.NORMAL.cdf((centre + margin) / error)
    assert statistics.non_inferior(gains, margin) == pytest.approx(expected, abs=0.005)


@given(NUMBERS.filter(len), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_margin_is_never_harder_to_prove(gains: Floats, margin: float, more: float) -> None:
    wide, narrow = (statistics.non_inferior(gains, each) for each in (margin + more, margin))
    assert wide <= narrow + 1e-9


def test_intervals_by_drawing_cases_agree_with_scipy(scipy: Any) -> None:
    values = np.random.default_rng(5).beta(0.65, 0.85, 50)
    theirs = scipy.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert statistics.bootstrap(values) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_the_published_agreement_of_trials_comes_out() -> None:
    # Shrout and Fleiss 1979 (Psychol. Bull. 86), table 2: ICC(1,1) = .17
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert statistics.icc([floats(each) for each in ratings]) == pytest.approx(0.1657, abs=1e-4)


def test_trials_that_always_agree_or_cannot_be_told_have_their_own_agreement() -> None:
    assert statistics.icc([floats([1, 1]), floats([0, 0, 0])]) == pytest.approx(1)
    assert statistics.icc([floats([1]), floats([0])]) is None
    assert statistics.icc([floats([1, 1]), floats([1, 1])]) is None


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_k_is_the_share_of_choices_of_k_that_all_succeed(drawn: tuple[int, int, int]) -> None:
    trials, successes, k = drawn
    found = statistics.pass_k(successes, trials, k)
    expected = math.prod((successes - each) / (trials - each) for each in range(k))
    assert found == pytest.approx(max(0.0, expected))


def test_fewer_trials_than_k_have_no_pass_k() -> None:
    assert statistics.pass_k(2, 2, 3) is None


def test_holm_adjusts_as_in_his_example() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_each_and_bonferroni(chances: list[float]) -> None:
    adjusted = statistics.holm(chances)
    assert all(after >= chance for chance, after in zip(chances, adjusted, strict=True))
    assert min(adjusted, default=0) == min(1.0, len(chances) * min(chances, default=0))
    ranked = [after for _, after in sorted(zip(chances, adjusted, strict=True))]
    assert ranked == sorted(ranked)
