"""Approval terms: how a rule pack writes them, and the laws of joining those of several rules."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gatewright.safety.approvals.terms import Approval, ApprovalTerms, Escalation, Stage, joined

ROLES = st.frozensets(st.sampled_from(["ops", "lead", "treasury"]))
DURATIONS = st.sampled_from([60.0, 900.0, 3600.0])
terms = st.builds(
    ApprovalTerms,
    stages=st.lists(st.builds(Stage, any=st.integers(1, 3), roles=ROLES), min_size=1, max_size=3).map(tuple),
    excluded=st.frozensets(st.sampled_from(["requester", "agent_owner", "editor", "name:kim", "name:ada"])),
    expires=st.none() | DURATIONS,
    on_expiry=st.sampled_from(["approve", "hold", "escalate", "reject"]),
    escalation=st.sets(
        st.builds(Escalation, after=DURATIONS, to=st.sampled_from(["role:lead", "name:ada"])), max_size=3
    ).map(lambda steps: tuple(sorted(steps))),
    repeat=st.integers(0, 2),
    reminders=st.sets(DURATIONS).map(lambda times: tuple(sorted(times))),
    always_ask=st.booleans(),
)


def written(**fields: Any) -> ApprovalTerms:
    return Approval.model_validate(fields).terms()


@given(terms, terms, terms)
def test_terms_join_in_any_order_and_grouping(a: ApprovalTerms, b: ApprovalTerms, c: ApprovalTerms) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a


@given(terms, terms)
def test_joined_terms_satisfy_both(a: ApprovalTerms, b: ApprovalTerms) -> None:
    both = a.join(b)

    assert both.quorum >= max(a.quorum, b.quorum)
    for one in (a, b):
        for stage, of_both in zip(one.stages, both.stages, strict=False):
            assert of_both.any >= stage.any
            assert of_both.roles >= stage.roles
        assert both.excluded >= one.excluded
        assert set(both.escalation) >= set(one.escalation)
        assert both.always_ask >= one.always_ask
        if one.expires is not None:
            assert both.expires is not None and both.expires <= one.expires


def test_the_end_of_terms_that_never_expire_says_nothing() -> None:
    held = written(expires="4h", on_expiry="hold")

    assert ApprovalTerms().join(held).on_expiry == "hold"
    assert written(expires="2h", on_expiry="approve").join(held) == written(expires="2h", on_expiry="hold")


def test_the_terms_of_no_rule_are_one_person_who_is_not_a_party() -> None:
    assert joined([]) == ApprovalTerms() == written()
    assert ApprovalTerms().quorum == 1
    assert ApprovalTerms().excluded == {"requester", "agent_owner", "editor"}


def test_an_exclusion_is_lifted_by_name_only() -> None:
    assert written(allow="requester").excluded == {"agent_owner", "editor"}
    assert written(excluded=["name:bob"]).excluded == {"requester", "agent_owner", "editor", "name:bob"}
    assert written(allow=["requester"]).join(written()).excluded == {"requester", "agent_owner", "editor"}


@pytest.mark.parametrize("name", ["name:José", "name: José ", "name:Jose\u0301"])
def test_one_person_is_excluded_or_called_however_their_name_is_written(name: str) -> None:
    assert "name:José" in written(excluded=[name]).excluded
    assert written(escalation=[{"to": name, "after": "1h"}]).escalation == (Escalation(after=3600.0, to="name:José"),)


def test_the_short_form_is_one_stage() -> None:
    assert written(quorum=2, roles=["treasury"]) == written(stages=[{"any": 2, "roles": "treasury"}])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stages": [{"any": 1}], "quorum": 2}, "write it all as stages"),
        ({"excluded": ["kim"]}, "'kim' is nobody; write requester, agent_owner, editor or name:PERSON"),
        ({"excluded": ["requester"], "allow": ["requester"]}, "both allows and excludes 'requester'"),
        ({"allow": ["name:bob"]}, "`allow` lifts 'name:bob', which is not excluded by itself"),
        ({"on_expiry": "hold"}, "never happens without `expires`"),
        ({"expires": "1h", "on_expiry": "escalate"}, "has nobody to call; add `escalation`"),
        ({"repeat": 2}, "has nothing to repeat"),
        ({"escalation": [{"to": "lead", "after": "5m"}]}, "'lead' is nobody; write role:NAME or name:PERSON"),
        ({"roles": ["role:lead"]}, "'role:lead' is no role"),
        ({"quorum": 0}, "greater than or equal to 1"),
        ({"expires": "soon"}, "'soon' is not a duration"),
        ({"quorums": 2}, "Extra inputs are not permitted"),
    ],
)
def test_terms_that_mean_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Approval.model_validate(fields)

    assert message in str(refused.value)


def test_the_terms_of_the_documentation_are_read() -> None:
    page = Path(__file__).parents[3] / "docs" / "approvals.md"
    block = page.read_text("utf-8").split("```yaml\n")[1].split("```")[0]

    terms = Approval.model_validate(yaml.safe_load(block)["approval"]).terms()

    assert (terms.quorum, terms.expires, terms.repeat) == (3, 4 * 3600, 2)
    assert [step.to for step in terms.escalation] == ["role:lead", "name:ada"]
