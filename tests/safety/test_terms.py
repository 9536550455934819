"""Laws of approval terms."""

from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.terms import ApprovalTerms

terms = st.builds(
    ApprovalTerms,
    roles=st.frozensets(st.sampled_from(["ops", "lead", "treasury"])),
    excluded=st.frozensets(st.sampled_from(["kim", "ada"])),
    expires=st.none() | st.floats(min_value=1, max_value=1e6),
)


@given(terms, terms, terms)
def test_terms_join_in_any_order_and_grouping(a: ApprovalTerms, b: ApprovalTerms, c: ApprovalTerms) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a


@given(terms, terms)
def test_joined_terms_satisfy_both(a: ApprovalTerms, b: ApprovalTerms) -> None:
    both = a.join(b)

    assert both.roles >= a.roles | b.roles
    assert both.excluded >= a.excluded | b.excluded
    if a.expires is not None:
        assert both.expires is not None and both.expires <= a.expires
