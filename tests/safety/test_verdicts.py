"""Laws of the verdict lattice and of changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.verdicts import ORDER, Change, Decision, Finding, RuleHit, Verdict, changed, conflict, strongest

verdict_lists = st.lists(st.sampled_from(ORDER))
changes = st.builds(
    Change,
    rule_id=st.sampled_from(["a", "b", "c"]),
    path=st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3).map(lambda path: ("args", *path)),
    value=st.integers(0, 2),
)


def rank(verdict: Verdict) -> int:
    return ORDER.index(verdict)


@given(verdict_lists, verdict_lists)
def test_verdicts_join_in_any_order_and_grouping(one: list[Verdict], other: list[Verdict]) -> None:
    assert strongest(one + other) == strongest(other + one) == strongest([strongest(one), strongest(other)])


@given(verdict_lists)
def test_a_verdict_joined_with_itself_stays(verdicts: list[Verdict]) -> None:
    assert strongest(verdicts + verdicts) == strongest(verdicts)


@given(verdict_lists, st.sampled_from(ORDER))
def test_another_verdict_only_restricts(verdicts: list[Verdict], more: Verdict) -> None:
    assert rank(strongest([*verdicts, more])) == max(rank(strongest(verdicts)), rank(more))


def test_no_verdict_allows() -> None:
    assert strongest([]) == "allow"


@given(st.lists(changes))
def test_changes_without_a_conflict_give_the_same_in_any_order(wishes: list[Change]) -> None:
    if conflict(wishes) is None:
        assert changed({}, wishes) == changed({}, wishes[::-1])


@given(st.lists(changes))
def test_a_conflict_does_not_depend_on_order(wishes: list[Change]) -> None:
    assert (conflict(wishes) is None) == (conflict(wishes[::-1]) is None)


@given(st.lists(changes))
def test_the_same_changes_twice_are_no_conflict(wishes: list[Change]) -> None:
    assert (conflict(wishes + wishes) is None) == (conflict(wishes) is None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("args", "a"), ("args", "a", "b")),
        (("result",), ("result", "text")),
        (("args", "a"), ("args", "a")),
    ],
)
def test_places_that_overlap_conflict(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    wishes = [Change(rule_id="one", path=one, value=1), Change(rule_id="other", path=other, value=2)]

    assert conflict(wishes) == (wishes[0], wishes[1])


def test_true_and_one_are_different_values() -> None:
    wishes = [Change(rule_id="a", path=("args", "x"), value=1), Change(rule_id="b", path=("args", "x"), value=True)]

    assert conflict(wishes) is not None


def test_changes_leave_the_original_as_it_was() -> None:
    args = {"to": {"name": "kim"}, "amount": 3}

    wanted = changed(args, [Change(rule_id="r", path=("args", "to", "name"), value="ada")])

    assert wanted == {"to": {"name": "ada"}, "amount": 3}
    assert args == {"to": {"name": "kim"}, "amount": 3}


def test_a_change_inside_something_that_is_no_object_raises() -> None:
    with pytest.raises(TypeError, match="'name' cannot be set in a value of type str"):
        changed({"to": "kim"}, [Change(rule_id="r", path=("args", "to", "name"), value="ada")])


def test_the_reason_of_a_decision_is_that_of_its_strongest_rules() -> None:
    decision = Decision(
        verdict="deny",
        hits=(
            RuleHit(rule_id="a", verdict="ask", reason="large"),
            RuleHit(rule_id="b", verdict="deny", reason="unknown account"),
        ),
        findings=(Finding(rule_id="c", kind="error", message="rule 'c': no such key"),),
    )

    assert decision.reason == "unknown account\nrule 'c': no such key"
